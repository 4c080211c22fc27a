"""That instances reach what they call, and that endpoints' policies let it through."""

from __future__ import annotations

from collections.abc import Callable

from service.contract import Variable
from stacks.catalog import assemble
from stacks.rules import vpc_endpoints
from stacks.rules.estate import Estate
from stacks.rules.identities import Place
from tests.stacks.environments import changed, environment
from tests.stacks.rules.cases import Case, Document, Spoil, Templates, put, removed
from tests.stacks.rules.test_rules_on_balanced_ports import variable
from tests.stacks.rules.test_rules_on_network import added, resource

ENDPOINTS = "production"  # the environment whose instances reach AWS by endpoints alone


def endpoint(logical_id: str, name: str, value: object) -> Spoil:
    """Set a property of an endpoint."""
    return resource("network", logical_id, f"Properties.{name}", value)


def without(logical_id: str) -> Spoil:
    """Take a resource of the network away."""
    return lambda templates: templates.bodies["network"]["Resources"].pop(logical_id)


def policy(logical_id: str, spoil: Callable[[Document], object]) -> Spoil:
    """Change each statement of an endpoint's policy."""

    def change(templates: Templates) -> None:
        document = templates.bodies["network"]["Resources"][logical_id]["Properties"]["PolicyDocument"]
        for statement in document["Statement"]:
            spoil(statement)

    return change


def says(logical_id: str, **said: object) -> Spoil:
    """Say something else in each statement of an endpoint's policy."""
    return policy(logical_id, lambda statement: statement.update(said))


def written(logical_id: str, **said: object) -> Spoil:
    """Write a policy for an interface endpoint, one that lets everything through but for something."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"} | said
    return endpoint(logical_id, "PolicyDocument", {"Statement": [statement]})


def only(logical_id: str, sid: str) -> Spoil:
    """Leave one statement of an endpoint's policy."""

    def change(templates: Templates) -> None:
        document = templates.bodies["network"]["Resources"][logical_id]["Properties"]["PolicyDocument"]
        document["Statement"] = [each for each in document["Statement"] if each["Sid"] == sid]

    return change


def bucket_gone(fragment: str) -> Spoil:
    """Take a bucket out of the policy of S3's endpoint."""

    def change(statement: Document) -> None:
        statement["Resource"] = [each for each in statement["Resource"] if fragment not in each] or ["arn:aws:s3:::x"]

    return policy("S3Endpoint", change)


def _signals(templates: Templates) -> None:
    data = templates.properties("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    data["UserData"] = {"Fn::Base64": "#!/bin/bash\n/opt/aws/bin/cfn-signal --stack x\n"}


def _without_routes(templates: Templates) -> None:
    """Staging loses its NAT gateways, and nobody thinks of the endpoints."""
    for kind in ("AWS::EC2::NatGateway", "AWS::EC2::EIP"):
        templates.remove(kind)
    found = templates.bodies["network"]["Resources"]
    templates.bodies["network"]["Resources"] = {
        name: each for name, each in found.items() if "NatGatewayId" not in each["Properties"]
    }


def _one_zone(templates: Templates) -> None:
    found = templates.bodies["network"]["Resources"]["LogsEndpoint"]["Properties"]
    found["SubnetIds"] = found["SubnetIds"][:1]


def _one_network(cidr: str) -> Spoil:
    def spoil(templates: Templates) -> None:
        group = templates.bodies["network"]["Resources"]["EndpointSecurityGroup"]["Properties"]
        group["SecurityGroupIngress"][0]["CidrIp"] = cidr

    return spoil


_gateways = vpc_endpoints.private_subnets_reach_s3_and_dynamodb
_there = vpc_endpoints.without_nat_every_endpoint_is_there
_answer = vpc_endpoints.interface_endpoints_answer_instances
_needed = vpc_endpoints.endpoints_let_through_what_is_needed
_S3 = "network.S3Endpoint.Properties.PolicyDocument"
_DYNAMODB = "network.DynamoDbEndpoint"
_STRANGER = {"AWS": "arn:aws:iam::999999999999:root"}
_ELSEWHERE = "arn:aws:ecr:us-east-1:444455556666:repository/mtls-ingress-staging"
_STORE = "arn:aws:s3:::mtls-ingress-staging-certificate-111122223333-us-east-1"
_OURS = {"AWS": "arn:aws:iam::111122223333:root"}

CASES = [
    Case(_gateways, without("S3Endpoint"), "network.PrivateSubnetA", "no gateway endpoint of s3"),
    Case(_gateways, without("DynamoDbEndpoint"), "network.PrivateSubnetB", "no gateway endpoint of dynamodb"),
    Case(_gateways, endpoint("S3Endpoint", "RouteTableIds", []), "network.S3Endpoint.Properties.RouteTableIds"),
    Case(
        _gateways,
        endpoint("S3Endpoint", "RouteTableIds", [{"Ref": "PrivateRouteTableA"}, {"Ref": "PublicRouteTable"}]),
        "network.S3Endpoint.Properties.RouteTableIds",
        "PrivateSubnetB",
    ),
    Case(_gateways, endpoint("S3Endpoint", "ServiceName", "com.amazonaws.us-west-2.s3"), "network.PrivateSubnetA"),
    Case(_gateways, endpoint("S3Endpoint", "VpcEndpointType", "Interface"), "network.PrivateSubnetA"),
    Case(_gateways, endpoint("S3Endpoint", "VpcId", "vpc-0a1b2c3d"), "network.PrivateSubnetA"),
    Case(_gateways, removed("AWS::EC2::SubnetRouteTableAssociation"), "network.PrivateSubnetA", "no route table"),
    Case(_there, without("EcsAgentEndpoint"), "network.Vpc", "ecs-agent", of=ENDPOINTS),
    Case(_there, without("LogsEndpoint"), "network.Vpc", "logs", of=ENDPOINTS),
    Case(_there, endpoint("KmsEndpoint", "VpcEndpointType", "Gateway"), "network.Vpc", "kms", of=ENDPOINTS),
    Case(
        _there,
        endpoint("EcrApiEndpoint", "ServiceName", "com.amazonaws.us-east-1.ecr"),
        "network.Vpc",
        "ecr.api",
        of=ENDPOINTS,
    ),
    Case(
        _there,
        endpoint("EcrApiEndpoint", "ServiceName", "cn.com.amazonaws.us-east-1.ecr.api"),
        "network.Vpc",
        "ecr.api",
        of=ENDPOINTS,
    ),
    Case(_there, endpoint("KmsEndpoint", "VpcEndpointType", ...), "network.Vpc", "kms", of=ENDPOINTS),
    Case(_there, _one_zone, "network.LogsEndpoint.Properties.SubnetIds", "us-east-1b", of=ENDPOINTS),
    Case(_there, _signals, "network.Vpc", "cloudformation", of=ENDPOINTS),
    Case(_there, _without_routes, "network.Vpc", "ssmmessages"),
    Case(
        _answer,
        endpoint("LogsEndpoint", "PrivateDnsEnabled", False),
        "network.LogsEndpoint.Properties.PrivateDnsEnabled",
        of=ENDPOINTS,
    ),
    Case(
        _answer,
        endpoint("LogsEndpoint", "PrivateDnsEnabled", ...),
        "network.LogsEndpoint.Properties.PrivateDnsEnabled",
        of=ENDPOINTS,
    ),
    Case(_answer, endpoint("LogsEndpoint", "SecurityGroupIds", ...), "network.LogsEndpoint", "default", of=ENDPOINTS),
    Case(
        _answer,
        endpoint("LogsEndpoint", "SecurityGroupIds", ["sg-0123"]),
        "network.LogsEndpoint",
        "every instance",
        of=ENDPOINTS,
    ),
    Case(_answer, _one_network("10.22.0.0/20"), "network.LogsEndpoint", "every instance", of=ENDPOINTS),
    Case(_answer, put("AWS::EC2::VPC", "EnableDnsHostnames", ...), "network.Vpc", of=ENDPOINTS),
    Case(_answer, put("AWS::EC2::VPC", "EnableDnsSupport", False), "network.Vpc", of=ENDPOINTS),
    Case(_needed, only("S3Endpoint", "CertificateStore"), _S3, "starport"),
    Case(_needed, only("S3Endpoint", "ImagesAndPackages"), _S3, "server/key.pem"),
    Case(_needed, bucket_gone("starport"), _S3, "starport"),
    Case(_needed, bucket_gone("al2023"), _S3, "al2023"),
    Case(_needed, says("S3Endpoint", Principal=_OURS), _S3, "starport"),
    Case(_needed, says("S3Endpoint", Action="s3:GetObjectVersion"), _S3, "s3:GetObject on"),
    Case(_needed, says("S3Endpoint", Action="s3:GetObject"), _S3, "s3:GetObjectVersion on"),
    Case(_needed, says("S3Endpoint", Action="s3:ListBucket"), _S3),
    Case(_needed, says("S3Endpoint", Resource=f"{_STORE}/server/*"), _S3, "manifest/server.json"),
    Case(_needed, says("S3Endpoint", Resource=f"{_STORE}/manifest/*"), _S3, "s3:GetObject on arn:aws:s3:::mtls"),
    Case(_needed, says("S3Endpoint", Effect="Deny"), _S3, "denied"),
    Case(_needed, says("S3Endpoint", Resource="arn:aws:s3:::mtls-ingress-production-*"), _S3),
    Case(_needed, variable(Variable.CERTIFICATE_BUCKET, "another-bucket"), _S3, "another-bucket"),
    Case(_needed, says("DynamoDbEndpoint", Action=["dynamodb:Query"]), _DYNAMODB, "dynamodb:GetItem"),
    Case(_needed, says("DynamoDbEndpoint", Resource="arn:aws:dynamodb:us-east-1:1:table/x"), _DYNAMODB),
    Case(_needed, says("DynamoDbEndpoint", Condition={"StringLike": {"aws:PrincipalArn": "x"}}), _DYNAMODB),
    Case(_needed, endpoint("DynamoDbEndpoint", "PolicyDocument", {"Statement": []}), _DYNAMODB),
    Case(
        _needed, written("LogsEndpoint", Action="logs:CreateLogStream"), "network.LogsEndpoint", "PutLog", of=ENDPOINTS
    ),
    Case(_needed, written("EcrRegistryEndpoint", Resource=_ELSEWHERE), "network.EcrReg", "BatchGet", of=ENDPOINTS),
    Case(_needed, written("EcrApiEndpoint", Effect="Deny"), "network.EcrApiEndpoint", "denied", of=ENDPOINTS),
    Case(_needed, written("EcsAgentEndpoint", Principal=_STRANGER), "network.EcsAgentEndpoint", "Poll", of=ENDPOINTS),
    Case(_needed, written("SsmMessagesEndpoint", Action="ssm:*"), "network.SsmMessages", "Control", of=ENDPOINTS),
]


def test_what_says_no_type_is_a_gateway() -> None:
    """AWS's own default (CloudFormation reference, AWS::EC2::VPCEndpoint)."""
    templates = Templates.of()
    endpoint("S3Endpoint", "VpcEndpointType", ...)(templates)

    assert _gateways(templates.estate()) == []


def test_endpoints_of_a_region_in_china_are_there_under_their_names() -> None:
    moved = [(f"us-east-1{zone}", f"cn-north-1{zone}") for zone in "abc"]
    chinese = changed(('region = "us-east-1"', 'region = "cn-north-1"'), *moved, name=ENDPOINTS)
    estate = Estate({entry.name: entry.template for entry in assemble(chinese).every}, Place.of(chinese))

    assert [str(finding) for rule in vpc_endpoints.RULES for finding in rule(estate)] == []


def test_without_a_policy_everything_passes() -> None:
    templates = Templates.of()
    for logical_id in ("S3Endpoint", "DynamoDbEndpoint"):
        endpoint(logical_id, "PolicyDocument", ...)(templates)

    assert _needed(templates.estate()) == []


def test_a_policy_of_an_interface_endpoint_may_be_narrow() -> None:
    templates = Templates.of(ENDPOINTS)
    group = "arn:aws:logs:us-east-1:444455556666:log-group:/mtls-ingress/production/service:*"
    repository = "arn:aws:ecr:us-east-1:444455556666:repository/mtls-ingress-production"
    written("LogsEndpoint", Action="logs:PutLogEvents", Resource=group)(templates)
    written("EcrRegistryEndpoint", Action="ecr:*", Resource=repository)(templates)

    assert _needed(templates.estate(environment(ENDPOINTS))) == []


def test_where_keys_of_tokens_are_an_object_it_must_pass_too() -> None:
    templates = Templates.of()
    variable(Variable.TOKEN_KEY_SET, "tokens/issuer.json")(templates)
    assert _needed(templates.estate()) == []

    policy("S3Endpoint", lambda each: each.update(Resource=[f"{_STORE}/server/*", f"{_STORE}/manifest/*"]))(templates)

    assert any("tokens/issuer.json" in finding.message for finding in _needed(templates.estate()))


def test_the_instances_own_group_may_be_let_in_by_its_id() -> None:
    """A rule of its own, in the network's stack, by a group of another one."""
    templates = Templates.of(ENDPOINTS)
    _one_network("10.0.0.0/28")(templates)
    added(
        "ingress",
        "AWS::EC2::SecurityGroupIngress",
        GroupId={"Ref": "EndpointSecurityGroupId"},
        SourceSecurityGroupId={"Ref": "InstanceSecurityGroup"},
        IpProtocol="tcp",
        FromPort=443,
        ToPort=443,
        Description="Instances",
    )(templates)
    templates.bodies["ingress"]["Parameters"]["EndpointSecurityGroupId"] = {"Type": "String"}
    templates.bodies["network"]["Outputs"]["EndpointSecurityGroupId"] = {"Value": {"Ref": "EndpointSecurityGroup"}}

    assert _answer(templates.estate(environment(ENDPOINTS))) == []
