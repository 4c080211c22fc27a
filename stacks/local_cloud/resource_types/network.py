"""Rows of the network: VPC, subnets, routes, gateways and endpoints."""

from __future__ import annotations

from functools import partial
from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, document, flag, tag_list, unless_gone
from stacks.local_cloud.row import Resource, ResourceFailedError, Row, Setting

_ROUTE_DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
_ROUTE_TARGETS = (
    "EgressOnlyInternetGatewayId",
    "GatewayId",
    "InstanceId",
    "NatGatewayId",
    "NetworkInterfaceId",
    "TransitGatewayId",
    "VpcEndpointId",
    "VpcPeeringConnectionId",
)
_ENDPOINT_MEMBERS = ("RouteTableIds", "SecurityGroupIds", "SubnetIds")
_FULL_ACCESS = {"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}


def ec2_tags(resource: Resource, identity: str = "") -> None:
    """Bring the tags of an EC2 resource to the template's and the stack's; identity where Ref is not its EC2 id."""
    ec2, bearer, wanted = resource.client("ec2"), identity or resource.physical_id, resource.tags()
    worn = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [bearer]}])["Tags"]
    if surplus := [{"Key": tag["Key"]} for tag in worn if tag["Key"] not in wanted]:
        ec2.delete_tags(Resources=[bearer], Tags=surplus)
    if wanted:
        ec2.create_tags(Resources=[bearer], Tags=tag_list(wanted))


EC2_TAGS = Setting(("Tags",), ec2_tags)


def same_as_ref(resource: Resource) -> str:
    """Give the physical id, for an attribute that says the same as Ref."""
    return resource.physical_id


# -- the VPC -----------------------------------------------------------------


def _create_vpc(resource: Resource) -> str:
    ec2 = resource.client("ec2")
    given = arguments(ec2, "create_vpc", resource.properties, "CidrBlock", "InstanceTenancy")
    return str(ec2.create_vpc(**given)["Vpc"]["VpcId"])


def _set_vpc_attribute(resource: Resource, name: str, *, default: bool) -> None:
    value = flag(resource.properties.take(name, default))
    resource.client("ec2").modify_vpc_attribute(VpcId=resource.physical_id, **{name: {"Value": value}})


def _vpc_cidr(resource: Resource) -> str:
    answer = resource.client("ec2").describe_vpcs(VpcIds=[resource.physical_id])
    return str(answer["Vpcs"][0]["CidrBlock"])


def _default_security_group(resource: Resource) -> str:
    filters = [
        {"Name": "vpc-id", "Values": [resource.physical_id]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    return str(resource.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"])


def _default_network_acl(resource: Resource) -> str:
    filters = [{"Name": "vpc-id", "Values": [resource.physical_id]}, {"Name": "default", "Values": ["true"]}]
    return str(resource.client("ec2").describe_network_acls(Filters=filters)["NetworkAcls"][0]["NetworkAclId"])


def _delete_vpc(resource: Resource) -> None:
    """Remove the VPC. Its default network ACL stays listed: moto cannot remove one whose subnets are gone."""
    with unless_gone("InvalidVpcID.NotFound"):
        resource.client("ec2").delete_vpc(VpcId=resource.physical_id)


_VPC = Row(
    type="AWS::EC2::VPC",
    create=_create_vpc,
    delete=_delete_vpc,
    settings=(
        # The defaults of a VPC made by the API: Amazon VPC User Guide, "DNS attributes for your VPC".
        Setting(("EnableDnsSupport",), partial(_set_vpc_attribute, name="EnableDnsSupport", default=True)),
        Setting(("EnableDnsHostnames",), partial(_set_vpc_attribute, name="EnableDnsHostnames", default=False)),
        EC2_TAGS,
    ),
    attributes={
        "VpcId": same_as_ref,
        "CidrBlock": _vpc_cidr,
        "DefaultSecurityGroup": _default_security_group,
        "DefaultNetworkAcl": _default_network_acl,
    },
)

# -- the internet gateway ----------------------------------------------------


def _create_internet_gateway(resource: Resource) -> str:
    return str(resource.client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"])


def _delete_internet_gateway(resource: Resource) -> None:
    with unless_gone("InvalidInternetGatewayID.NotFound"):
        resource.client("ec2").delete_internet_gateway(InternetGatewayId=resource.physical_id)


_INTERNET_GATEWAY = Row(
    type="AWS::EC2::InternetGateway",
    create=_create_internet_gateway,
    delete=_delete_internet_gateway,
    settings=(EC2_TAGS,),
    attributes={"InternetGatewayId": same_as_ref},
)


def _attach_gateway(resource: Resource) -> str:
    vpc = resource.properties.require("VpcId")
    _attach(resource, vpc)
    return f"IGW|{vpc}"


def _attach(resource: Resource, vpc: str) -> None:
    gateway = resource.properties.require("InternetGatewayId")
    resource.client("ec2").attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    resource.memory["gateway"] = gateway


def _reattach_gateway(resource: Resource) -> None:
    if resource.memory["gateway"] != resource.properties.require("InternetGatewayId"):
        _detach_gateway(resource)
        _attach(resource, resource.properties.require("VpcId"))


def _detach_gateway(resource: Resource) -> None:
    vpc = resource.physical_id.partition("|")[2]
    with unless_gone("Gateway.NotAttached", "InvalidInternetGatewayID.NotFound"):
        resource.client("ec2").detach_internet_gateway(InternetGatewayId=resource.memory["gateway"], VpcId=vpc)


_GATEWAY_ATTACHMENT = Row(
    type="AWS::EC2::VPCGatewayAttachment",
    create=_attach_gateway,
    delete=_detach_gateway,
    settings=(Setting(("InternetGatewayId",), _reattach_gateway),),
    attributes={"AttachmentType": lambda _: "IGW"},
)

# -- subnets -----------------------------------------------------------------


def _create_subnet(resource: Resource) -> str:
    ec2 = resource.client("ec2")
    carried = ("VpcId", "CidrBlock", "AvailabilityZone", "AvailabilityZoneId")
    given = arguments(ec2, "create_subnet", resource.properties, *carried)
    return str(ec2.create_subnet(**given)["Subnet"]["SubnetId"])


def _set_public_addresses(resource: Resource) -> None:
    value = {"Value": flag(resource.properties.take("MapPublicIpOnLaunch", default=False))}
    resource.client("ec2").modify_subnet_attribute(SubnetId=resource.physical_id, MapPublicIpOnLaunch=value)


def _subnet_fact(resource: Resource, *, name: str) -> str:
    answer = resource.client("ec2").describe_subnets(SubnetIds=[resource.physical_id])
    return str(answer["Subnets"][0][name])


def _delete_subnet(resource: Resource) -> None:
    with unless_gone("InvalidSubnetID.NotFound"):
        resource.client("ec2").delete_subnet(SubnetId=resource.physical_id)


_SUBNET = Row(
    type="AWS::EC2::Subnet",
    create=_create_subnet,
    delete=_delete_subnet,
    settings=(Setting(("MapPublicIpOnLaunch",), _set_public_addresses), EC2_TAGS),
    attributes={
        "SubnetId": same_as_ref,
        **{
            name: partial(_subnet_fact, name=name)
            for name in ("AvailabilityZone", "AvailabilityZoneId", "CidrBlock", "VpcId")
        },
    },
)

# -- routes ------------------------------------------------------------------


def _create_route_table(resource: Resource) -> str:
    answer = resource.client("ec2").create_route_table(VpcId=resource.properties.require("VpcId"))
    return str(answer["RouteTable"]["RouteTableId"])


def _delete_route_table(resource: Resource) -> None:
    with unless_gone("InvalidRouteTableID.NotFound"):
        resource.client("ec2").delete_route_table(RouteTableId=resource.physical_id)


_ROUTE_TABLE = Row(
    type="AWS::EC2::RouteTable",
    create=_create_route_table,
    delete=_delete_route_table,
    settings=(EC2_TAGS,),
    attributes={"RouteTableId": same_as_ref},
)


def _create_route(resource: Resource) -> str:
    ec2, properties = resource.client("ec2"), resource.properties
    given = arguments(ec2, "create_route", properties, "RouteTableId", *_ROUTE_DESTINATIONS, *_ROUTE_TARGETS)
    ec2.create_route(**given)
    return f"{properties.require('RouteTableId')}|{_destination(resource)}"


def _replace_route(resource: Resource) -> None:
    if resource.previous is None:
        return
    ec2 = resource.client("ec2")
    carried = ("RouteTableId", *_ROUTE_DESTINATIONS, *_ROUTE_TARGETS)
    ec2.replace_route(**arguments(ec2, "replace_route", resource.properties, *carried))


def _destination(resource: Resource) -> str:
    return str(next(resource.properties.require(name) for name in _ROUTE_DESTINATIONS if name in resource.properties))


def _delete_route(resource: Resource) -> None:
    table, _, destination = resource.physical_id.partition("|")
    kind = next(
        (name for name in _ROUTE_DESTINATIONS if resource.properties.take(name) == destination), "DestinationCidrBlock"
    )
    with unless_gone("InvalidRoute.NotFound", "InvalidRouteTableID.NotFound"):
        resource.client("ec2").delete_route(RouteTableId=table, **{kind: destination})


_ROUTE = Row(
    type="AWS::EC2::Route",
    create=_create_route,
    delete=_delete_route,
    settings=(Setting(_ROUTE_TARGETS, _replace_route),),
    attributes={"CidrBlock": _destination},
)


def _associate_route_table(resource: Resource) -> str:
    ec2 = resource.client("ec2")
    given = arguments(ec2, "associate_route_table", resource.properties, "SubnetId", "RouteTableId")
    subnet = given["SubnetId"]
    if ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]:
        raise ResourceFailedError(
            f"the specified association for subnet {subnet} conflicts with an existing association"
            " (Resource.AlreadyAssociated)"
        )
    return str(ec2.associate_route_table(**given)["AssociationId"])


def _disassociate_route_table(resource: Resource) -> None:
    with unless_gone("InvalidAssociationID.NotFound"):
        resource.client("ec2").disassociate_route_table(AssociationId=resource.physical_id)


_ROUTE_TABLE_ASSOCIATION = Row(
    type="AWS::EC2::SubnetRouteTableAssociation",
    create=_associate_route_table,
    delete=_disassociate_route_table,
    attributes={"Id": same_as_ref},
)

# -- NAT ---------------------------------------------------------------------


def _allocate_address(resource: Resource) -> str:
    ec2 = resource.client("ec2")
    given = arguments(ec2, "allocate_address", resource.properties, "Domain", "NetworkBorderGroup", "PublicIpv4Pool")
    answer = ec2.allocate_address(**given)
    resource.memory["allocation"] = answer["AllocationId"]
    return str(answer["PublicIp"])


def _allocation(resource: Resource) -> str:
    return str(resource.memory["allocation"])


def _tag_address(resource: Resource) -> None:
    ec2_tags(resource, _allocation(resource))


def _release_address(resource: Resource) -> None:
    with unless_gone("InvalidAllocationID.NotFound"):
        resource.client("ec2").release_address(AllocationId=_allocation(resource))


_ELASTIC_IP = Row(
    type="AWS::EC2::EIP",
    create=_allocate_address,
    delete=_release_address,
    settings=(Setting(("Tags",), _tag_address),),
    attributes={"AllocationId": _allocation, "PublicIp": same_as_ref},
)


def _create_nat_gateway(resource: Resource) -> str:
    ec2 = resource.client("ec2")
    carried = ("AllocationId", "ConnectivityType", "SubnetId")
    answer = ec2.create_nat_gateway(**arguments(ec2, "create_nat_gateway", resource.properties, *carried))
    return str(answer["NatGateway"]["NatGatewayId"])


def _nat_gateway(resource: Resource) -> dict[str, Any]:
    answer: dict[str, Any] = resource.client("ec2").describe_nat_gateways(NatGatewayIds=[resource.physical_id])
    return dict(answer["NatGateways"][0])


def _nat_gateway_is_available(resource: Resource) -> bool:
    gateway = _nat_gateway(resource)
    if gateway["State"] == "failed":
        raise ResourceFailedError(gateway.get("FailureMessage", "the NAT gateway failed"))
    return bool(gateway["State"] == "available")


def _delete_nat_gateway(resource: Resource) -> None:
    ec2 = resource.client("ec2")
    with unless_gone("NatGatewayNotFound", "InvalidNatGatewayID.NotFound"):
        ec2.delete_nat_gateway(NatGatewayId=resource.physical_id)
    # moto leaves the gateway's network interface behind; on AWS it goes with its gateway.
    for address in _nat_gateway(resource)["NatGatewayAddresses"]:
        with unless_gone("InvalidNetworkInterfaceID.NotFound"):
            ec2.delete_network_interface(NetworkInterfaceId=address["NetworkInterfaceId"])


_NAT_GATEWAY = Row(
    type="AWS::EC2::NatGateway",
    create=_create_nat_gateway,
    delete=_delete_nat_gateway,
    settings=(EC2_TAGS,),
    attributes={"NatGatewayId": same_as_ref},
    is_stable=_nat_gateway_is_available,
)

# -- endpoints ---------------------------------------------------------------


def _create_endpoint(resource: Resource) -> str:
    ec2, properties = resource.client("ec2"), resource.properties
    carried = ("VpcId", "ServiceName", "VpcEndpointType", "PrivateDnsEnabled", *_ENDPOINT_MEMBERS)
    # Without a type it is a gateway (EC2 API Reference, CreateVpcEndpoint).
    given = {"VpcEndpointType": "Gateway", **arguments(ec2, "create_vpc_endpoint", properties, *carried)}
    _refuse_second_gateway(ec2, given)
    if "PolicyDocument" in properties:
        given["PolicyDocument"] = document(properties.take("PolicyDocument"))
    return str(ec2.create_vpc_endpoint(**given)["VpcEndpoint"]["VpcEndpointId"])


def _refuse_second_gateway(ec2: Any, given: dict[str, Any]) -> None:
    """Refuse a gateway endpoint in a route table that leads to the service already; moto overlooks it."""
    filters = [{"Name": "service-name", "Values": [given["ServiceName"]]}]
    for endpoint in ec2.describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]:
        for table in set(endpoint["RouteTableIds"]) & set(given.get("RouteTableIds", [])):
            raise ResourceFailedError(
                f"route table {table} already has a route to {given['ServiceName']},"
                f" by {endpoint['VpcEndpointId']} (RouteAlreadyExists)"
            )


def _modify_endpoint(resource: Resource) -> None:
    if resource.previous is None:
        return
    properties, changes = resource.properties, dict[str, Any]()
    worn = _endpoint_members(resource)
    for name in _ENDPOINT_MEMBERS:
        wanted = properties.take(name, [])
        if added := [member for member in wanted if member not in worn[name]]:
            changes[f"Add{name}"] = added
        if removed := [member for member in worn[name] if member not in wanted]:
            changes[f"Remove{name}"] = removed
    # Not ResetPolicy, which moto overlooks; the text is the one AWS resets to.
    changes["PolicyDocument"] = document(properties.take("PolicyDocument", _FULL_ACCESS))
    resource.client("ec2").modify_vpc_endpoint(VpcEndpointId=resource.physical_id, **changes)


def _endpoint_members(resource: Resource) -> dict[str, list[str]]:
    answer = resource.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[resource.physical_id])
    found = answer["VpcEndpoints"][0]
    groups = [group["GroupId"] for group in found["Groups"]]
    return {"RouteTableIds": found["RouteTableIds"], "SubnetIds": found["SubnetIds"], "SecurityGroupIds": groups}


def _delete_endpoint(resource: Resource) -> None:
    with unless_gone("InvalidVpcEndpointId.NotFound"):
        resource.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[resource.physical_id])


_VPC_ENDPOINT = Row(
    type="AWS::EC2::VPCEndpoint",
    create=_create_endpoint,
    delete=_delete_endpoint,
    settings=(
        # PrivateDnsEnabled is not among them: moto's ModifyVpcEndpoint overlooks it.
        Setting(("PolicyDocument", *_ENDPOINT_MEMBERS), _modify_endpoint),
        EC2_TAGS,
    ),
    attributes={"Id": same_as_ref},
)

ROWS: tuple[Row, ...] = (
    _VPC,
    _INTERNET_GATEWAY,
    _GATEWAY_ATTACHMENT,
    _SUBNET,
    _ROUTE_TABLE,
    _ROUTE,
    _ROUTE_TABLE_ASSOCIATION,
    _ELASTIC_IP,
    _NAT_GATEWAY,
    _VPC_ENDPOINT,
)
