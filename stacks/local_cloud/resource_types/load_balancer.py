"""Row of the Classic Load Balancer, whose listeners and policies are the heart of the ingress."""

from __future__ import annotations

from functools import partial
from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, fit, flag, tag_list, unless_gone
from stacks.local_cloud.row import Properties, Resource, ResourceFailedError, Row, Setting

_GONE = "LoadBalancerNotFound"
_IDLE_SECONDS = 60
_DRAINING_SECONDS = 300
"""Both: Elastic Load Balancing API Reference, ConnectionSettings and ConnectionDraining."""
_DEFENSIVE = [{"Key": "elb.http.desyncmitigationmode", "Value": "defensive"}]
"""What every load balancer says beside; given each time, because moto adds another one when it is not."""
_HEALTH_CHECK = {"Interval": 30, "Timeout": 5, "UnhealthyThreshold": 2, "HealthyThreshold": 10}
"""The check of a load balancer without one (Classic Load Balancer Guide, "Health checks"); TCP on the first port."""

_ZONES = {
    # The hosted zones an alias record names; moto does not tell them.
    # AWS General Reference, "Elastic Load Balancing endpoints and quotas", Classic Load Balancers.
    "eu-central-1": "Z215JYRZR1TBD5",
    "eu-west-1": "Z32O12XQLNTSW2",
    "us-east-1": "Z35SXDOTRQ7X7K",
    "us-east-2": "Z3AADJGX6KTTL2",
    "us-west-1": "Z368ELLRRE2KJ0",
    "us-west-2": "Z1H1FL5HABSF5",
}


def _create(resource: Resource) -> str:
    properties = resource.properties
    name = str(properties.take("LoadBalancerName") or resource.generated_name(limit=32))
    _create_named(resource, name)
    return name


def _create_named(resource: Resource, name: str) -> None:
    elb, properties = resource.client("elb"), resource.properties
    carried = ("AvailabilityZones", "Scheme", "SecurityGroups", "Subnets")
    listeners = [_listener(elb, branch) for branch in properties.branches("Listeners")]
    elb.create_load_balancer(
        LoadBalancerName=name,
        Listeners=listeners,
        **arguments(elb, "create_load_balancer", properties, *carried),
    )
    resource.memory["instance_ports"] = sorted(listener["InstancePort"] for listener in listeners)


def _listener(elb: Any, branch: Properties) -> dict[str, Any]:
    shape = elb.meta.service_model.shape_for("Listener")
    names = ("InstancePort", "InstanceProtocol", "LoadBalancerPort", "Protocol", "SSLCertificateId")
    given = {name: fit(value, shape.members[name]) for name, value in branch.same(*names).items()}
    branch.take("PolicyNames")  # bound afterwards, with the policies
    if given.get("InstanceProtocol", given["Protocol"]).upper() != given["Protocol"].upper():
        raise ResourceFailedError(
            f"listener {given['LoadBalancerPort']}: the embedded cloud keeps one protocol of a listener,"
            f" not {given['Protocol']} in front and {given['InstanceProtocol']} behind"
        )
    return given


# -- listeners and policies ----------------------------------------------------


def _set_listeners(resource: Resource) -> None:
    """Bring listeners, policies and their bindings to the template's; they name each other, so they go together."""
    _refuse_unbound_policies(resource.properties)
    if resource.previous is not None:
        if _are_set(resource):
            return  # a rollback of what never came to be; connections notice nothing
        _unbind(resource)
        if _needs_new_backend(resource):
            _make_anew(resource)
        else:
            _exchange_listeners(resource)
    _bind(resource)


def _refuse_unbound_policies(properties: Properties) -> None:
    """Refuse a policy for an instance port that no listener forwards to, before anything is touched."""
    ports = {int(listener.require("InstancePort")) for listener in properties.branches("Listeners")}
    for port, policies in _backend_policies(properties).items():
        if port not in ports:
            raise ResourceFailedError(f"policy {', '.join(policies)}: no listener has instance port {port}")


def _are_set(resource: Resource) -> bool:
    """Tell whether listeners, policies and bindings are as wanted already."""
    elb, properties, found = resource.client("elb"), resource.properties, _balancer(resource)
    descriptions = found["ListenerDescriptions"]
    worn = {each["Listener"]["LoadBalancerPort"]: each["Listener"] for each in descriptions}
    wanted = [_listener(elb, branch) for branch in properties.branches("Listeners")]
    told = elb.describe_load_balancer_policies(LoadBalancerName=resource.physical_id)["PolicyDescriptions"]
    backend = {each["InstancePort"]: each["PolicyNames"] for each in found["BackendServerDescriptions"]}
    front = {each["Listener"]["LoadBalancerPort"]: each["PolicyNames"] for each in descriptions}
    return (
        len(worn) == len(wanted)
        and all(_is_worn(listener, worn) for listener in wanted)
        and {each["PolicyName"]: each for each in told} == {each["PolicyName"]: each for each in _policies(properties)}
        and {port: names for port, names in backend.items() if names} == _backend_policies(properties)
        and {port: names for port, names in front.items() if names} == _listener_policies(properties)
    )


def _policies(properties: Properties) -> list[dict[str, Any]]:
    """Write the policies as the API tells them."""
    return [
        {
            "PolicyName": policy.require("PolicyName"),
            "PolicyTypeName": policy.require("PolicyType"),
            "PolicyAttributeDescriptions": [
                {"AttributeName": item.require("Name"), "AttributeValue": _text(item.require("Value"))}
                for item in policy.branches("Attributes")
            ],
        }
        for policy in properties.branches("Policies")
    ]


def _bind(resource: Resource) -> None:
    elb, name = resource.client("elb"), resource.physical_id
    for policy in _policies(resource.properties):
        elb.create_load_balancer_policy(
            LoadBalancerName=name,
            PolicyName=policy["PolicyName"],
            PolicyTypeName=policy["PolicyTypeName"],
            PolicyAttributes=policy["PolicyAttributeDescriptions"],
        )
    for port, policies in _backend_policies(resource.properties).items():
        _set_backend(resource, port, policies)
    for port, policies in _listener_policies(resource.properties).items():
        elb.set_load_balancer_policies_of_listener(LoadBalancerName=name, LoadBalancerPort=port, PolicyNames=policies)


def _unbind(resource: Resource) -> None:
    """Take every policy off and away, by what is there: an update that failed may have left anything."""
    elb, name = resource.client("elb"), resource.physical_id
    found = _balancer(resource)
    for backend in found["BackendServerDescriptions"]:
        _set_backend(resource, backend["InstancePort"], [])
    for listener in found["ListenerDescriptions"]:
        port = listener["Listener"]["LoadBalancerPort"]
        elb.set_load_balancer_policies_of_listener(LoadBalancerName=name, LoadBalancerPort=port, PolicyNames=[])
    for policy in found["Policies"]["OtherPolicies"]:
        elb.delete_load_balancer_policy(LoadBalancerName=name, PolicyName=policy)


def _set_backend(resource: Resource, port: int, policies: list[str]) -> None:
    resource.client("elb").set_load_balancer_policies_for_backend_server(
        LoadBalancerName=resource.physical_id, InstancePort=port, PolicyNames=policies
    )


def _backend_policies(properties: Properties) -> dict[int, list[str]]:
    bound: dict[int, list[str]] = {}
    for policy in properties.branches("Policies"):
        for port in policy.take("InstancePorts", []):
            bound.setdefault(int(port), []).append(policy.require("PolicyName"))
    return bound


def _listener_policies(properties: Properties) -> dict[int, list[str]]:
    bound: dict[int, list[str]] = {}
    for listener in properties.branches("Listeners"):
        if names := listener.take("PolicyNames", []):
            bound.setdefault(int(listener.require("LoadBalancerPort")), []).extend(names)
    for policy in properties.branches("Policies"):
        for port in policy.take("LoadBalancerPorts", []):
            bound.setdefault(int(port), []).append(policy.require("PolicyName"))
    return bound


def _exchange_listeners(resource: Resource) -> None:
    elb, name = resource.client("elb"), resource.physical_id
    worn = {
        found["Listener"]["LoadBalancerPort"]: found["Listener"]
        for found in _balancer(resource)["ListenerDescriptions"]
    }
    wanted = [_listener(elb, branch) for branch in resource.properties.branches("Listeners")]
    same = [listener["LoadBalancerPort"] for listener in wanted if _is_worn(listener, worn)]
    for port in worn:
        if port not in same:
            elb.delete_load_balancer_listeners(LoadBalancerName=name, LoadBalancerPorts=[port])
    if new := [listener for listener in wanted if listener["LoadBalancerPort"] not in same]:
        elb.create_load_balancer_listeners(LoadBalancerName=name, Listeners=new)


def _is_worn(listener: dict[str, Any], worn: dict[int, dict[str, Any]]) -> bool:
    found = worn.get(listener["LoadBalancerPort"], {})
    names = ("InstancePort", "Protocol", "SSLCertificateId")
    return all(found.get(name) == listener.get(name) for name in names)


def _needs_new_backend(resource: Resource) -> bool:
    ports = {int(branch.require("InstancePort")) for branch in resource.properties.branches("Listeners")}
    return not ports <= set(resource.memory["instance_ports"])


def _make_anew(resource: Resource) -> None:
    """
    Make the load balancer again under its name, hence with its DNS name, instances kept.

    moto knows the instance ports a policy can be bound to only from the
    creation; AWS changes the listener in place, and so it looks from outside.
    """
    elb, name = resource.client("elb"), resource.physical_id
    instances = _balancer(resource)["Instances"]
    elb.delete_load_balancer(LoadBalancerName=name)
    _create_named(resource, name)
    if instances:
        elb.register_instances_with_load_balancer(LoadBalancerName=name, Instances=instances)
    for apply in (_set_health_check, _set_attributes, _set_balancer_tags):
        apply(resource)


# -- the rest ------------------------------------------------------------------


def _set_health_check(resource: Resource) -> None:
    elb, properties = resource.client("elb"), resource.properties
    given = arguments(elb, "configure_health_check", properties, "HealthCheck").get("HealthCheck")
    if given is None:
        port = properties.branches("Listeners")[0].require("InstancePort")
        given = {"Target": f"TCP:{port}", **_HEALTH_CHECK}
    elb.configure_health_check(LoadBalancerName=resource.physical_id, HealthCheck=given)


def _set_attributes(resource: Resource) -> None:
    properties = resource.properties
    elb = resource.client("elb")
    shape = elb.meta.service_model.shape_for("LoadBalancerAttributes")

    def given(member: str, name: str, **defaults: Any) -> dict[str, Any]:
        """Read one structure, its defaults beneath."""
        branch, members = properties.branch(name), shape.members[member].members
        return defaults | {key: fit(value, members[key]) for key, value in branch.same(*members).items()}

    elb.modify_load_balancer_attributes(
        LoadBalancerName=resource.physical_id,
        LoadBalancerAttributes={
            "CrossZoneLoadBalancing": {"Enabled": flag(properties.take("CrossZone", default=False))},
            "ConnectionDraining": given(
                "ConnectionDraining", "ConnectionDrainingPolicy", Enabled=False, Timeout=_DRAINING_SECONDS
            ),
            "ConnectionSettings": given("ConnectionSettings", "ConnectionSettings", IdleTimeout=_IDLE_SECONDS),
            "AccessLog": given("AccessLog", "AccessLoggingPolicy", Enabled=False),
            "AdditionalAttributes": _DEFENSIVE,
        },
    )


def _set_subnets(resource: Resource) -> None:
    wanted, worn = resource.properties.take("Subnets", []), _balancer(resource)["Subnets"]
    _exchange(
        resource, ("attach_load_balancer_to_subnets", "detach_load_balancer_from_subnets"), "Subnets", worn, wanted
    )


def _exchange(
    resource: Resource, operations: tuple[str, str], argument: str, worn: list[Any], wanted: list[Any]
) -> None:
    """Add what is missing, then take away what is too much, so the load balancer is never without."""
    elb, (add, remove) = resource.client("elb"), operations
    if missing := [item for item in wanted if item not in worn]:
        getattr(elb, add)(LoadBalancerName=resource.physical_id, **{argument: missing})
    if surplus := [item for item in worn if item not in wanted]:
        getattr(elb, remove)(LoadBalancerName=resource.physical_id, **{argument: surplus})


def _set_security_groups(resource: Resource) -> None:
    groups = resource.properties.take("SecurityGroups", [])
    if resource.previous is not None:
        resource.client("elb").apply_security_groups_to_load_balancer(
            LoadBalancerName=resource.physical_id, SecurityGroups=groups
        )


def _set_balancer_tags(resource: Resource) -> None:
    elb, name, wanted = resource.client("elb"), resource.physical_id, resource.tags()
    worn = elb.describe_tags(LoadBalancerNames=[name])["TagDescriptions"][0]["Tags"]
    if surplus := [{"Key": tag["Key"]} for tag in worn if tag["Key"] not in wanted]:
        elb.remove_tags(LoadBalancerNames=[name], Tags=surplus)
    if wanted:
        elb.add_tags(LoadBalancerNames=[name], Tags=tag_list(wanted))


def _delete(resource: Resource) -> None:
    with unless_gone(_GONE):
        resource.client("elb").delete_load_balancer(LoadBalancerName=resource.physical_id)


def _balancer(resource: Resource) -> dict[str, Any]:
    answer = resource.client("elb").describe_load_balancers(LoadBalancerNames=[resource.physical_id])
    return dict(answer["LoadBalancerDescriptions"][0])


def _fact(resource: Resource, *, name: str) -> str:
    return str(_balancer(resource)[name])


def _zone(resource: Resource) -> str:
    region = resource.stack.region
    if region not in _ZONES:
        raise ResourceFailedError(f"the embedded cloud does not know the load balancers' hosted zone of {region}")
    return _ZONES[region]


def _source_group(resource: Resource, *, name: str) -> str:
    return str(_balancer(resource)["SourceSecurityGroup"][name])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::ElasticLoadBalancing::LoadBalancer",
        create=_create,
        delete=_delete,
        settings=(
            Setting(("Listeners", "Policies"), _set_listeners),
            Setting(("HealthCheck",), _set_health_check),
            Setting(
                ("AccessLoggingPolicy", "ConnectionDrainingPolicy", "ConnectionSettings", "CrossZone"), _set_attributes
            ),
            Setting(("Subnets",), _set_subnets),
            Setting(("SecurityGroups",), _set_security_groups),
            Setting(("Tags",), _set_balancer_tags),
        ),
        attributes={
            "CanonicalHostedZoneName": partial(_fact, name="CanonicalHostedZoneName"),
            "CanonicalHostedZoneNameID": _zone,
            "DNSName": partial(_fact, name="DNSName"),
            "SourceSecurityGroup.GroupName": partial(_source_group, name="GroupName"),
            "SourceSecurityGroup.OwnerAlias": partial(_source_group, name="OwnerAlias"),
        },
    ),
)
