"""What the load balancer was told is read from the API's own words, and nothing of it is skipped."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.local_cloud.balancer_settings import BalancerSettings, HealthCheckSettings, ListenerSettings, read_settings

PROXY_POLICY = {
    "PolicyName": "proxy",
    "PolicyTypeName": "ProxyProtocolPolicyType",
    "PolicyAttributeDescriptions": [{"AttributeName": "ProxyProtocol", "AttributeValue": "true"}],
}


def described(**changes: Any) -> dict[str, Any]:
    """Describe a passthrough as DescribeLoadBalancers does."""
    listener = {"Protocol": "TCP", "LoadBalancerPort": 443, "InstanceProtocol": "TCP", "InstancePort": 8443}
    check = {"Target": "HTTP:8080/healthz", "Interval": 10, "Timeout": 5, "HealthyThreshold": 2,
             "UnhealthyThreshold": 3}  # fmt: skip
    return {
        "LoadBalancerName": "balancer",
        "ListenerDescriptions": [{"Listener": listener, "PolicyNames": []}],
        "BackendServerDescriptions": [{"InstancePort": 8443, "PolicyNames": ["proxy"]}],
        "Instances": [{"InstanceId": "i-1"}],
        "HealthCheck": check,
        **changes,
    }


def read(description: dict[str, Any], *policies: dict[str, Any], **attributes: Any) -> BalancerSettings:
    """Read a description with its policies and attributes."""
    return read_settings(description, policies=policies, attributes=attributes)


def test_a_passthrough_is_read_as_declared() -> None:
    settings = read(
        described(),
        PROXY_POLICY,
        ConnectionDraining={"Enabled": True, "Timeout": 30},
        ConnectionSettings={"IdleTimeout": 120},
    )

    assert settings == BalancerSettings(
        name="balancer",
        listeners=(ListenerSettings(443, 8443, sends_proxy_header=True),),
        health_check=HealthCheckSettings("HTTP", 8080, "/healthz", 10.0, 5.0, 2, 3),
        idle_timeout=120.0,
        draining_timeout=30.0,
        instance_ids=("i-1",),
    )


@pytest.mark.parametrize(
    ("bound", "policy"),
    [
        pytest.param([], PROXY_POLICY, id="the policy is bound nowhere"),
        pytest.param([{"InstancePort": 9443, "PolicyNames": ["proxy"]}], PROXY_POLICY, id="bound to another port"),
        pytest.param(
            [{"InstancePort": 8443, "PolicyNames": ["proxy"]}],
            {**PROXY_POLICY, "PolicyAttributeDescriptions": [{"AttributeName": "ProxyProtocol",
                                                              "AttributeValue": "false"}]},
            id="its attribute is false",
        ),
        pytest.param(
            [{"InstancePort": 8443, "PolicyNames": ["proxy"]}],
            {**PROXY_POLICY, "PolicyTypeName": "BackendServerAuthenticationPolicyType"},
            id="it is of another type",
        ),
    ],
)  # fmt: skip
def test_no_proxy_header_without_an_enabling_policy_on_the_port(
    bound: list[dict[str, Any]], policy: dict[str, Any]
) -> None:
    settings = read(described(BackendServerDescriptions=bound), policy)

    assert not settings.listeners[0].sends_proxy_header


def test_draining_that_is_off_lasts_no_time() -> None:
    assert read(described(), ConnectionDraining={"Enabled": False, "Timeout": 300}).draining_timeout == 0


def test_an_instance_registered_twice_counts_once() -> None:
    """Moto appends at every registration; ELB keeps a set."""
    assert read(described(Instances=[{"InstanceId": "i-1"}, {"InstanceId": "i-1"}])).instance_ids == ("i-1",)


def test_a_listener_that_is_not_tcp_is_a_fault() -> None:
    listener = {"Protocol": "SSL", "LoadBalancerPort": 443, "InstanceProtocol": "TCP", "InstancePort": 8443}

    settings = read(described(ListenerDescriptions=[{"Listener": listener, "PolicyNames": []}]))

    assert settings.listeners == ()
    assert settings.faults == ("listener 443 is SSL to TCP; the local balancer passes TCP to TCP only",)


@pytest.mark.parametrize("target", ["SSL:8443", "HTTPS:8443/healthz", "TPC:8443", "HTTP:8080healthz"])
def test_a_check_it_cannot_make_is_a_fault(target: str) -> None:
    settings = read(described(HealthCheck={**described()["HealthCheck"], "Target": target}))

    assert settings.health_check is None
    assert target in settings.faults[0]


def test_without_a_declared_check_the_instance_port_is_tried() -> None:
    """Classic Load Balancer guide: TCP to the instance port every 30 s."""
    assert read(described(HealthCheck={})).health_check == HealthCheckSettings("TCP", 8443, "/", 30.0, 5.0, 10, 2)
