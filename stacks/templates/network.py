"""
The network: a VPC of our own over at least two zones, or nothing where one is given.

Partners come in through the public subnets, where only the load balancer
stands. Container instances are in the private ones; S3 and DynamoDB they reach
through gateway endpoints, the rest of AWS by NAT or by interface endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from awacs import dynamodb as dynamodb_actions
from awacs import s3 as s3_actions
from troposphere import GetAtt, Join, Ref, Sub, Tags, Template
from troposphere.ec2 import (
    EIP,
    VPC,
    InternetGateway,
    NatGateway,
    Route,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    SubnetRouteTableAssociation,
    VPCEndpoint,
    VPCGatewayAttachment,
)

from stacks import naming
from stacks.environment import SUBNET_BITS, Egress, Environment, OwnNetwork
from stacks.naming import Output
from stacks.permissions import EVERYBODY, PolicyDocument, allow, arn, policy
from stacks.templates.joints import begin, offer

_EVERYWHERE: Final = "0.0.0.0/0"
_FIRST_PUBLIC_PART: Final = 8
"""Of the VPC's sixteen: private subnets of zones a to h first and then public ones, so another zone moves none."""
_INTERFACE_ENDPOINTS: Final = {
    "EcrApiEndpoint": "ecr.api",
    "EcrRegistryEndpoint": "ecr.dkr",
    "EcsEndpoint": "ecs",
    "EcsAgentEndpoint": "ecs-agent",
    "EcsTelemetryEndpoint": "ecs-telemetry",
    "LogsEndpoint": "logs",
    "KmsEndpoint": "kms",
    "SsmEndpoint": "ssm",
    "SsmMessagesEndpoint": "ssmmessages",
    "Ec2MessagesEndpoint": "ec2messages",
}
"""What an ECS instance and its tasks call, beside S3 and DynamoDB (ECS guide, interface VPC endpoints)."""
_EC2_ENDPOINT: Final = {"Ec2Endpoint": "ec2"}
"""For auditors who ask for it (EC2.10); nothing of ours calls the EC2 API."""
_CHINESE: Final = ("ec2", "ecr.api", "ecr.dkr")
"""Whose endpoints have names of their own in China, `cn.com.amazonaws.cn-north-1.ecr.api` (ECR guide for China)."""


def build(environment: Environment) -> Template:
    """Build the network's template; it has no resources where the VPC is somebody else's."""
    template = begin(environment, "the network")
    if isinstance(environment.network, OwnNetwork):
        _own_network(template, environment, environment.network)
    return template


def _own_network(template: Template, environment: Environment, network: OwnNetwork) -> None:
    vpc = template.add_resource(
        VPC(
            "Vpc",
            CidrBlock=str(network.vpc_cidr),
            EnableDnsSupport=True,
            EnableDnsHostnames=True,
            Tags=_name(environment, "vpc"),
        )
    )
    attachment = _internet_gateway(template, environment, vpc)
    public_route_table = _public_route_table(template, environment, attachment)
    zones = [_Zone(environment, network, name) for name in network.zones]
    private_route_tables = []
    for zone in zones:
        public_subnet = _public_subnet(template, zone, public_route_table)
        private_route_table = _private_subnet(template, zone)
        if network.egress is Egress.NAT:
            _nat_gateway(template, zone, public_subnet, attachment)
        private_route_tables.append(Ref(private_route_table))
    s3_endpoint = _s3_endpoint(template, environment, private_route_tables)
    dynamodb_endpoint = _dynamodb_endpoint(template, environment, private_route_tables)
    private_subnets = [Ref(zone.id("PrivateSubnet")) for zone in zones]
    services = _INTERFACE_ENDPOINTS if network.egress is Egress.ENDPOINTS else {}
    if network.ec2_endpoint:
        services = services | _EC2_ENDPOINT
    if services:
        group = template.add_resource(_endpoint_security_group(environment, network))
        for title, service in services.items():
            template.add_resource(_interface_endpoint(environment, title, service, (group, private_subnets)))
    offer(template, Output.VPC_ID, Ref(vpc))
    offer(template, Output.PUBLIC_SUBNET_IDS, Join(",", [Ref(zone.id("PublicSubnet")) for zone in zones]))
    offer(template, Output.PRIVATE_SUBNET_IDS, Join(",", private_subnets))
    offer(template, Output.S3_ENDPOINT_ID, Ref(s3_endpoint))
    offer(template, Output.DYNAMODB_ENDPOINT_ID, Ref(dynamodb_endpoint))


@dataclass(frozen=True, slots=True)
class _Zone:
    """One availability zone; its letter is in the logical ids and decides which parts of the VPC are its subnets."""

    environment: Environment
    network: OwnNetwork
    name: str

    @property
    def letter(self) -> str:
        return self.name[-1]

    def id(self, noun: str) -> str:
        """Say which one of this kind is meant, `PublicSubnetA`."""
        return noun + self.letter.upper()

    def tags(self, noun: str) -> Tags:
        return _name(self.environment, f"{noun}-{self.letter}")

    def part(self, first: int) -> str:
        parts = list(self.network.vpc_cidr.subnets(new_prefix=self.network.vpc_cidr.prefixlen + SUBNET_BITS))
        return str(parts[first + ord(self.letter) - ord("a")])


def _internet_gateway(template: Template, environment: Environment, vpc: VPC) -> VPCGatewayAttachment:
    gateway = template.add_resource(InternetGateway("InternetGateway", Tags=_name(environment, "internet")))
    return template.add_resource(
        VPCGatewayAttachment("InternetGatewayAttachment", VpcId=Ref(vpc), InternetGatewayId=Ref(gateway))
    )


def _public_route_table(template: Template, environment: Environment, attachment: VPCGatewayAttachment) -> RouteTable:
    table = template.add_resource(RouteTable("PublicRouteTable", VpcId=Ref("Vpc"), Tags=_name(environment, "public")))
    template.add_resource(
        Route(
            "PublicRoute",
            RouteTableId=Ref(table),
            DestinationCidrBlock=_EVERYWHERE,
            GatewayId=Ref("InternetGateway"),
            DependsOn=attachment,
        )
    )
    return table


def _public_subnet(template: Template, zone: _Zone, route_table: RouteTable) -> Subnet:
    subnet = template.add_resource(
        Subnet(
            zone.id("PublicSubnet"),
            VpcId=Ref("Vpc"),
            AvailabilityZone=Sub(f"${{AWS::Region}}{zone.letter}"),
            CidrBlock=zone.part(_FIRST_PUBLIC_PART),
            MapPublicIpOnLaunch=False,
            Tags=zone.tags("public"),
        )
    )
    template.add_resource(
        SubnetRouteTableAssociation(
            zone.id("PublicSubnetRouteTableAssociation"), SubnetId=Ref(subnet), RouteTableId=Ref(route_table)
        )
    )
    return subnet


def _private_subnet(template: Template, zone: _Zone) -> RouteTable:
    subnet = template.add_resource(
        Subnet(
            zone.id("PrivateSubnet"),
            VpcId=Ref("Vpc"),
            AvailabilityZone=Sub(f"${{AWS::Region}}{zone.letter}"),
            CidrBlock=zone.part(0),
            MapPublicIpOnLaunch=False,
            Tags=zone.tags("private"),
        )
    )
    table = template.add_resource(RouteTable(zone.id("PrivateRouteTable"), VpcId=Ref("Vpc"), Tags=zone.tags("private")))
    template.add_resource(
        SubnetRouteTableAssociation(
            zone.id("PrivateSubnetRouteTableAssociation"), SubnetId=Ref(subnet), RouteTableId=Ref(table)
        )
    )
    return table


def _nat_gateway(template: Template, zone: _Zone, subnet: Subnet, attachment: VPCGatewayAttachment) -> None:
    address = template.add_resource(
        EIP(zone.id("NatAddress"), Domain="vpc", Tags=zone.tags("nat"), DependsOn=attachment)
    )
    gateway = template.add_resource(
        NatGateway(
            zone.id("NatGateway"),
            AllocationId=GetAtt(address, "AllocationId"),
            SubnetId=Ref(subnet),
            Tags=zone.tags("nat"),
        )
    )
    template.add_resource(
        Route(
            zone.id("PrivateRoute"),
            RouteTableId=Ref(zone.id("PrivateRouteTable")),
            DestinationCidrBlock=_EVERYWHERE,
            NatGatewayId=Ref(gateway),
        )
    )


def _s3_endpoint(template: Template, environment: Environment, route_tables: list[Ref]) -> VPCEndpoint:
    return template.add_resource(
        VPCEndpoint(
            "S3Endpoint",
            VpcId=Ref("Vpc"),
            VpcEndpointType="Gateway",
            ServiceName=_endpoint_service(environment, "s3"),
            RouteTableIds=route_tables,
            PolicyDocument=_s3_policy(environment),
        )
    )


def _dynamodb_endpoint(template: Template, environment: Environment, route_tables: list[Ref]) -> VPCEndpoint:
    return template.add_resource(
        VPCEndpoint(
            "DynamoDbEndpoint",
            VpcId=Ref("Vpc"),
            VpcEndpointType="Gateway",
            ServiceName=_endpoint_service(environment, "dynamodb"),
            RouteTableIds=route_tables,
            PolicyDocument=_dynamodb_policy(environment),
        )
    )


def _s3_policy(environment: Environment) -> PolicyDocument:
    """
    Let through what belongs here, and nothing else in S3.

    Images' layers and the operating system's packages lie in buckets of AWS;
    without them no task starts (ECR guide, gateway endpoint for S3).
    """
    bucket = f"arn:{environment.partition}:s3:::"
    region = environment.region
    layers = [
        f"{bucket}prod-{region}-starport-layer-bucket/*",
        f"{bucket}al2023-repos-{region}-de612dc2/*",
        f"{bucket}amazon-ssm-{region}/*",
    ]
    store = f"{bucket}{naming.certificate_bucket(environment)}"
    return policy(
        allow("CertificateStore", [s3_actions.GetObject, s3_actions.GetObjectVersion], [f"{store}/*"], to=EVERYBODY),
        allow("ImagesAndPackages", [s3_actions.GetObject], layers, to=EVERYBODY),
    )


def _dynamodb_policy(environment: Environment) -> PolicyDocument:
    table = arn(environment, "dynamodb", f"table/{naming.client_registry_table(environment)}")
    return policy(
        allow(
            "ClientRegistry",
            [dynamodb_actions.GetItem],
            [table],
            to=EVERYBODY,
        )
    )


def _endpoint_security_group(environment: Environment, network: OwnNetwork) -> SecurityGroup:
    return SecurityGroup(
        "EndpointSecurityGroup",
        GroupDescription="Interface endpoints: from the VPC alone",
        VpcId=Ref("Vpc"),
        SecurityGroupIngress=[_https(network, "From the VPC")],
        SecurityGroupEgress=[_https(network, "Answers need none; replaces the allow-all rule AWS adds")],
        Tags=_name(environment, "endpoints"),
    )


def _interface_endpoint(
    environment: Environment, title: str, service: str, where: tuple[SecurityGroup, list[Ref]]
) -> VPCEndpoint:
    security_group, subnets = where
    return VPCEndpoint(
        title,
        VpcId=Ref("Vpc"),
        VpcEndpointType="Interface",
        ServiceName=_endpoint_service(environment, service),
        SubnetIds=subnets,
        SecurityGroupIds=[Ref(security_group)],
        PrivateDnsEnabled=True,
    )


def _endpoint_service(environment: Environment, service: str) -> str:
    is_chinese = environment.partition == "aws-cn" and service in _CHINESE
    return f"{'cn.' if is_chinese else ''}com.amazonaws.{environment.region}.{service}"


def _https(network: OwnNetwork, description: str) -> SecurityGroupRule:
    return SecurityGroupRule(
        IpProtocol="tcp", FromPort=443, ToPort=443, CidrIp=str(network.vpc_cidr), Description=description
    )


def _name(environment: Environment, noun: str) -> Tags:
    return Tags(Name=f"{environment.project}-{environment.name}-{noun}")
