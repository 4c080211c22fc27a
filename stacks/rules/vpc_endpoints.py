"""
The rules on VPC endpoints.

They judge a VPC of our own; which endpoints somebody else's has is not in
these templates.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from service.contract import CHAIN_KEY, KEY_SET_PREFIX, MANIFEST_KEY, PRIVATE_KEY_KEY, Variable
from stacks.access.request import AttachedPolicy, Principal, PrincipalKind
from stacks.rules.admission import refusal_by_endpoint
from stacks.rules.balanced_ports import Backend, backends
from stacks.rules.estate import Estate, Fault, Resource, Said
from stacks.rules.passages import STARTS_INSTANCES, Way, groups_of, passages_of, wearings
from stacks.rules.register import Entry
from stacks.rules.routes import SUBNET, instance_subnets, route_tables, ways_out, zone
from stacks.rules.rule import Rule, rule, rule_of
from stacks.rules.values import flag

_ENDPOINT: Final = "AWS::EC2::VPCEndpoint"
_GATEWAYS: Final = ("s3", "dynamodb")
_INTERFACES: Final = (
    *("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs", "kms"),
    *("ssm", "ssmmessages", "ec2messages"),
)
"""What an instance with tasks calls, beside S3 and DynamoDB (ECS, ECR and Systems Manager guides, VPC endpoints)."""
_CHINESE: Final = ("cloudformation", "ec2", "ecr.api", "ecr.dkr")
"""Whose endpoints' names begin with `cn.` in China."""
_SIGNALS: Final = ("cfn-signal", "cfn-init")
_HTTPS: Final = 443
_ECR: Final = "999999999999"
"""ECR's account, whichever it is: not ours. It signs the addresses that images' layers are fetched by."""
_ENDPOINTS: Final = "ECS guide, interface VPC endpoints; ECR guide, gateway endpoint for S3"
_EVERYTHING: Final = AttachedPolicy("everything", {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
_Network = IPv4Network | IPv6Network
_Need = tuple[Principal, str, str]
"""Who does what on which resource."""


@rule(
    "N6",
    why="no image is pulled and no task starts, or every byte of it is paid for at the NAT gateway",
    source=_ENDPOINTS,
)
def private_subnets_reach_s3_and_dynamodb(estate: Estate) -> Iterator[Fault]:
    """The route table of every subnet with instances has the gateway endpoints of S3 and of DynamoDB."""
    for subnet in instance_subnets(estate):
        tables = route_tables(subnet)
        if not tables:
            yield subnet.fault("", found=Said("no route table of its own"), expected="an association with one")
        for service in _GATEWAYS:
            endpoints = [each for each in _endpoints(subnet, service) if _kind(each) == "Gateway"]
            served = [table for each in endpoints for table in each.targets("RouteTableIds")]
            if tables and not any(table in served for table in tables):
                at = endpoints[0] if endpoints else subnet
                yield at.fault(
                    "RouteTableIds" if endpoints else "",
                    found=Said(f"no gateway endpoint of {service} for {subnet.name}"),
                    expected=f"one of {service} in this VPC with {tables[0].name} among its route tables",
                )


@rule(
    "N6",
    why="instances never register with the cluster, or no image is pulled and no line is logged",
    source=_ENDPOINTS,
)
def without_nat_every_endpoint_is_there(estate: Estate) -> Iterator[Fault]:
    """Subnets with instances and no way out have an interface endpoint, in their zone, of each service called."""
    for subnet in instance_subnets(estate):
        if ways_out(subnet):
            continue
        for service in _called_services(estate):
            endpoints = [each for each in _endpoints(subnet, service) if _kind(each) == "Interface"]
            if not endpoints:
                vpc = subnet.target("VpcId") or subnet
                yield vpc.fault("", found=Said(f"no interface endpoint of {service}"), expected="one: there is no NAT")
            elif not any(zone(subnet) in _zones(each) for each in endpoints):
                expected = f"a subnet of {zone(subnet)}, where instances are"
                yield endpoints[0].fault("SubnetIds", found=endpoints[0].get("SubnetIds"), expected=expected)


@rule_of(
    _ENDPOINT,
    requirement="N6",
    why="names of AWS lead past the endpoint, or to an endpoint that lets nobody in",
    source=_ENDPOINTS,
)
def interface_endpoints_answer_instances(endpoint: Resource) -> Iterator[Fault]:
    """Interface endpoints answer to AWS's own names, and a security group of theirs lets instances in by TCP 443."""
    if _kind(endpoint) != "Interface":
        return
    if flag(endpoint.get("PrivateDnsEnabled")) is not True:
        found = endpoint.get("PrivateDnsEnabled")
        yield endpoint.fault("PrivateDnsEnabled", found=found, expected="true")
    vpc = endpoint.target("VpcId")
    for name in ("EnableDnsSupport", "EnableDnsHostnames") if vpc is not None else ():
        if vpc is not None and flag(vpc.get(name)) is not True:
            yield vpc.fault(name, found=vpc.get(name), expected="true, or endpoints have no private names")
    if not endpoint.get("SecurityGroupIds"):
        yield endpoint.fault("SecurityGroupIds", found=None, expected="a group of its own, not the VPC's default one")
    elif not _lets_instances_in(endpoint):
        yield endpoint.fault(
            "SecurityGroupIds",
            found=Said("no rule that lets every instance in on 443"),
            expected="one from the instances' group or from their subnets",
        )


@rule("N7", why="tasks start without certificate, or no image is pulled and no package installed", source=_ENDPOINTS)
def endpoints_let_through_what_is_needed(estate: Estate) -> Iterator[Fault]:
    """
    The policies of endpoints let through what is fetched by their way.

    That is the certificate and its key, the layers of images in ECR's bucket,
    the packages of Amazon Linux 2023, and lookups in the client registry; of
    interface endpoints the calls that start a task and keep an instance.
    """
    for endpoint in estate.of_type(_ENDPOINT):
        for who, action, resource in _needs(estate, _service(endpoint)):
            refusal = refusal_by_endpoint(endpoint, who, action=action, resource=resource)
            if refusal is not None:
                yield endpoint.fault("PolicyDocument", found=Said(refusal), expected=f"{action} on {resource}")


# -- endpoints -------------------------------------------------------------------------------------


def _endpoints(subnet: Resource, service: str) -> list[Resource]:
    """Give the endpoints of a service of AWS in a subnet's VPC."""
    vpc = subnet.target("VpcId")
    return [
        endpoint
        for endpoint in subnet.estate.of_type(_ENDPOINT)
        if _service(endpoint) == service and endpoint.target("VpcId") == vpc
    ]


def _service(endpoint: Resource) -> str:
    """Say whose endpoint it is, `ecr.api`; empty for one of another region, or under no name that there is."""
    name, region = str(endpoint.get("ServiceName")), endpoint.estate.place.region
    _, _, service = name.partition(f"com.amazonaws.{region}.")
    is_chinese = region.startswith("cn-") and service in _CHINESE
    return service if name == f"{'cn.' if is_chinese else ''}com.amazonaws.{region}.{service}" else ""


def _kind(endpoint: Resource) -> str:
    return str(endpoint.get("VpcEndpointType") or "Gateway")


def _zones(endpoint: Resource) -> set[str]:
    return {zone(subnet) for subnet in endpoint.targets("SubnetIds") if subnet.type == SUBNET}


def _called_services(estate: Estate) -> list[str]:
    """Give what instances call; with signals to CloudFormation that too."""
    data = [str(each.get("LaunchTemplateData.UserData")) for each in estate.of_type("AWS::EC2::LaunchTemplate")]
    has_signals = any(word in text for text in data for word in _SIGNALS)
    return [*_INTERFACES, *(["cloudformation"] if has_signals else [])]


def _lets_instances_in(endpoint: Resource) -> bool:
    estate = endpoint.estate
    instance_groups = groups_of(estate.of_type(*STARTS_INSTANCES))
    blocks = [ip_network(str(subnet.get("CidrBlock"))) for subnet in instance_subnets(estate)]
    own = [wearing.group for wearing in wearings(endpoint) if wearing.group is not None]
    found = [each for each in passages_of(estate, own, Way.INGRESS) if each.covers(_HTTPS)]
    if any(passage.peer_group in instance_groups for passage in found):
        return True
    ranges = [passage.cidr for passage in found if passage.cidr is not None]
    return all(any(_lies_in(block, each) for each in ranges) for block in blocks)


def _lies_in(block: _Network, other: _Network) -> bool:
    return isinstance(block, IPv4Network) and isinstance(other, IPv4Network) and block.subnet_of(other)


# -- what is fetched through them ----------------------------------------------------------------------


def _needs(estate: Estate, service: str) -> Iterator[_Need]:
    found = backends(estate)
    match service:
        case "s3":
            yield from _objects_of_aws(estate)
            for backend in found:
                yield from _objects_of_ours(backend)
        case "dynamodb":
            for backend in found:
                table = estate.place.arn("dynamodb", f"table/{backend.variable(Variable.CLIENT_REGISTRY_TABLE)}")
                yield _role(backend, "TaskRoleArn"), "dynamodb:GetItem", table
        case _:
            yield from _calls(estate, service)


def _objects_of_aws(estate: Estate) -> Iterator[_Need]:
    place = estate.place
    buckets = f"arn:{place.partition}:s3:::"
    ecr = Principal(PrincipalKind.ROLE, f"arn:{place.partition}:iam::{_ECR}:role/layers", _ECR, policies=[_EVERYTHING])
    yield ecr, "s3:GetObject", f"{buckets}prod-{place.region}-starport-layer-bucket/0123-abcd/layer"
    everybody = Principal(PrincipalKind.ANONYMOUS, "", "")
    yield everybody, "s3:GetObject", f"{buckets}al2023-repos-{place.region}-de612dc2/core/mirrors/latest/mirror.list"


def _objects_of_ours(backend: Backend) -> Iterator[_Need]:
    partition = backend.task.estate.place.partition
    bucket = f"arn:{partition}:s3:::{backend.variable(Variable.CERTIFICATE_BUCKET)}"
    task = _role(backend, "TaskRoleArn")
    yield task, "s3:GetObject", f"{bucket}/{MANIFEST_KEY}"
    for key in (CHAIN_KEY, PRIVATE_KEY_KEY):
        yield task, "s3:GetObject", f"{bucket}/{key}"
        yield task, "s3:GetObjectVersion", f"{bucket}/{key}"
    key_set = str(backend.variable(Variable.TOKEN_KEY_SET))
    if key_set.startswith(KEY_SET_PREFIX):
        yield task, "s3:GetObject", f"{bucket}/{key_set}"


def _calls(estate: Estate, service: str) -> Iterator[_Need]:
    """Give what instances, and ECS on a task's behalf, call through an interface endpoint."""
    place = estate.place
    instance = place.arn("ecs", "container-instance/cluster/0123456789abcdef0123456789abcdef")
    calls = {
        "ecs": ("ecs:DiscoverPollEndpoint", "*"),
        "ecs-agent": ("ecs:Poll", instance),
        "ecs-telemetry": ("ecs:StartTelemetrySession", instance),
        "ssm": ("ssm:UpdateInstanceInformation", "*"),
        "ssmmessages": ("ssmmessages:CreateControlChannel", "*"),
        "ec2messages": ("ec2messages:GetMessages", "*"),
    }
    if service in calls:
        for role in _instance_roles(estate):
            yield _principal(estate, role), *calls[service]
    for backend in backends(estate):
        execution = _role(backend, "ExecutionRoleArn")
        repository, _, _ = str(backend.container.get("Image")).partition("@")
        options = backend.task.get(f"{backend.path}.LogConfiguration.Options") or {}
        group = place.arn("logs", f"log-group:{options.get('awslogs-group')}:log-stream:service/0123")
        pulled = {
            "ecr.api": ("ecr:GetAuthorizationToken", "*"),
            "ecr.dkr": ("ecr:BatchGetImage", place.arn("ecr", f"repository/{repository.partition('/')[2]}")),
            "logs": ("logs:PutLogEvents", group),
        }
        if service in pulled:
            yield execution, *pulled[service]


def _instance_roles(estate: Estate) -> list[str]:
    profiles = estate.of_type("AWS::IAM::InstanceProfile")
    return [estate.arn(role) for each in profiles for role in each.targets("Roles")]


def _role(backend: Backend, name: str) -> Principal:
    return _principal(backend.task.estate, str(backend.task.get(name)))


def _principal(estate: Estate, role_arn: str) -> Principal:
    """Give a role that is allowed everything by itself: what is asked is the endpoint alone."""
    return Principal(PrincipalKind.ROLE, role_arn, estate.place.account, policies=[_EVERYTHING])


RULES: Final[tuple[Rule, ...]] = (
    private_subnets_reach_s3_and_dynamodb,
    without_nat_every_endpoint_is_there,
    interface_endpoints_answer_instances,
    endpoints_let_through_what_is_needed,
)
ENTRIES: Final[tuple[Entry, ...]] = ()
