"""Stacks are joined by the names of what they offer and take, and come in an order that can be deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stacks.catalog import CatalogError, OutputReference, assemble, join, render
from stacks.environment_file import parse_environment
from tests.stacks.environments import NAMES, catalog, environment, with_existing_network


def template(*, takes: Sequence[str] = (), offers: Sequence[str] = ()) -> Mapping[str, Any]:
    """Make the least template that takes and offers these."""
    return {
        "Parameters": {name: {"Type": "String"} for name in takes},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": name} for name in offers},
    }


def test_a_parameter_is_joined_to_the_output_of_its_name() -> None:
    found = join(environment(), {"network": template(offers=["VpcId"]), "ingress": template(takes=["VpcId"])})

    assert found["ingress"].inputs == {"VpcId": OutputReference("network", "VpcId")}
    assert found["ingress"].needs == {"network"}


def test_a_stack_comes_after_those_it_needs_and_else_where_it_was() -> None:
    found = join(
        environment(),
        {
            "ingress": template(takes=["VpcId"]),
            "images": template(),
            "network": template(offers=["VpcId"]),
            "workload": template(),
        },
    )

    assert [entry.name for entry in found.stacks] == ["images", "network", "ingress", "workload"]


def test_everything_that_does_not_fit_is_told_at_once() -> None:
    bodies = {
        "network": template(offers=["VpcId"]),
        "other": template(offers=["VpcId"], takes=["Nothing"]),
        "ingress": template(takes=["VpcIdd"]),
    }

    with pytest.raises(CatalogError) as refused:
        join(environment(), bodies)

    assert refused.value.faults == (
        "VpcId is offered by network and other",
        "other takes Nothing, which no stack offers",
        "ingress takes VpcIdd, which no stack offers",
    )


def test_stacks_that_wait_for_each_other_are_refused() -> None:
    bodies = {"one": template(takes=["B"], offers=["A"]), "two": template(takes=["A"], offers=["B"])}

    with pytest.raises(CatalogError, match="stacks wait for each other: "):
        join(environment(), bodies)


def test_what_the_deployer_finds_out_is_joined_to_nothing() -> None:
    found = join(environment(), {"workload": template(takes=["ImageDigest"])})

    assert found["workload"].operator_parameters == {"ImageDigest"}
    assert found["workload"].inputs == {}


def test_a_parameter_with_a_default_waits_for_nobody() -> None:
    body = {**template(), "Parameters": {"InstanceImageId": {"Type": "String", "Default": "/aws/image"}}}

    assert join(environment(), {"capacity": body})["capacity"].needs == frozenset()


def test_a_stack_that_is_not_there_is_not_found() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        catalog()["nowhere"]


@pytest.mark.parametrize("name", NAMES)
def test_the_bootstrap_stack_is_rendered_first_and_deployed_by_itself(name: str) -> None:
    found = catalog(name)

    assert found.every[0] == found["bootstrap"] == found.bootstrap
    assert found.every[1:] == found.stacks
    assert not found["bootstrap"].template.get("Parameters")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_deployment_stops_before_what_needs_image_and_certificate(name: str) -> None:
    *others, last = catalog(name).stacks

    assert last.name == "workload"
    assert [entry.name for entry in others if entry.operator_parameters] == []
    assert last.needs >= {"certificate_store", "client_registry", "images", "ingress", "capacity", "observability"}


def test_roles_are_named_in_their_own_stack_and_acknowledged() -> None:
    capabilities = {entry.name: entry.capabilities for entry in catalog().stacks if entry.capabilities}

    assert capabilities == {
        "identity": ("CAPABILITY_NAMED_IAM",),
        "certificate_store": ("CAPABILITY_IAM",),
        "client_registry": ("CAPABILITY_IAM",),
    }


def test_in_somebody_elses_network_there_is_no_network_stack() -> None:
    found = assemble(parse_environment(with_existing_network(), Path("staging.toml")))
    parameters = found["capacity"].template["Parameters"]

    assert "network" not in [entry.name for entry in found.stacks]
    assert parameters["PrivateSubnetIds"]["Default"] == "subnet-2a1b2c3d,subnet-3a1b2c3d"


def test_text_follows_from_values_alone() -> None:
    assert render({"b": 1, "a": {"d": 1, "c": 2}}) == render({"a": {"c": 2, "d": 1}, "b": 1})
