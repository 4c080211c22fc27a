"""A plan shows what would change, property by property, and what would lose its state."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.deployment.plan import (
    Action,
    EnvironmentPlan,
    Outlook,
    StackPlan,
    StateAtRiskError,
    parse_changes,
    refuse_lost_state,
)
from stacks.deployment.plan_page import page, records


def resource_change(action: str, logical_id: str, kind: str, **more: object) -> dict[str, Any]:
    """One entry of `Changes`, as DescribeChangeSet gives it."""
    change = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, **more}
    return {"Type": "Resource", "ResourceChange": change}


def detail(path: str, before: str | None, after: str | None, recreation: str = "Never") -> dict[str, Any]:
    target = {"Attribute": "Properties", "Path": path, "RequiresRecreation": recreation}
    values = {"BeforeValue": before, "AfterValue": after}
    return {"Target": {**target, **{name: value for name, value in values.items() if value is not None}}}


ADDED = resource_change("Add", "Listener", "AWS::ElasticLoadBalancing::LoadBalancer")
CHANGED = resource_change(
    "Modify",
    "Alarm",
    "AWS::CloudWatch::Alarm",
    Replacement="False",
    PhysicalResourceId="alarm-1",
    Details=[detail("/Properties/Threshold", "1", "2")],
)
REPLACED = resource_change(
    "Modify",
    "Table",
    "AWS::DynamoDB::Table",
    Replacement="True",
    PhysicalResourceId="clients",
    Details=[detail("/Properties/TableName", "clients", "partners", "Always")],
)
REMOVED = resource_change("Remove", "Bucket", "AWS::S3::Bucket", PhysicalResourceId="logs")


def lines(*changes: dict[str, Any]) -> list[str]:
    plan = StackPlan("ingress", "mtls-ingress-local-ingress", Outlook.UPDATE, parse_changes(changes, {}))
    return [line for line, _tone in page(EnvironmentPlan("local", (plan,)))]


def test_each_change_has_its_symbol_and_its_word() -> None:
    assert lines(ADDED, CHANGED, REPLACED, REMOVED) == [
        "ingress: update",
        "  +   add Listener AWS::ElasticLoadBalancing::LoadBalancer",
        "  ~   change Alarm AWS::CloudWatch::Alarm alarm-1",
        "        Threshold: 1 -> 2",
        "  -/+ replace Table AWS::DynamoDB::Table clients  HOLDS STATE",
        "        TableName: clients -> partners  forces replacement",
        "  -   remove Bucket AWS::S3::Bucket logs  HOLDS STATE",
        "local: 1 to add, 1 to change, 1 to replace, 1 to remove",
    ]


def test_a_property_that_comes_or_goes_is_shown_as_absent_on_the_other_side() -> None:
    change = resource_change(
        "Modify", "Alarm", "AWS::CloudWatch::Alarm", Details=[detail("/Properties/Tags/0/Value", None, "x")]
    )

    assert "        Tags.0.Value: (absent) -> x" in lines(change)


def test_of_two_long_values_the_part_that_differs_is_shown() -> None:
    """A task definition's variables begin alike; who plans a change of the policy must see the policy."""
    alike = '[{"Name": "MTLS_ENVIRONMENT_NAME", "Value": "local"}, {"Name": "MTLS_HOST_NAME", "Value": "a.test"}, '
    alike += '{"Name": "'
    before, after = alike + 'MTLS_WORKERS"}]', alike + 'MTLS_POLICY"}]'
    change = resource_change(
        "Modify", "TaskDefinition", "AWS::ECS::TaskDefinition", Details=[detail("/Properties/All", before, after)]
    )

    (shown,) = (line for line in lines(change) if "All: " in line)

    assert (
        shown
        == '        All: ...e": "a.test"}, {"Name": "MTLS_WORKERS"}] -> ...e": "a.test"}, {"Name": "MTLS_POLICY"}]'
    )


def test_a_replacement_cloudformation_is_not_sure_of_counts_as_one() -> None:
    (change,) = parse_changes(
        [resource_change("Modify", "Key", "AWS::KMS::Key", Replacement="Conditional")], {"Resources": {}}
    )

    assert change.action is Action.REPLACE
    assert change.is_conditional
    assert change.risks_state


def test_what_may_be_replaced_is_not_summed_up_as_replaced() -> None:
    perhaps = resource_change(
        "Modify", "Balancer", "AWS::ElasticLoadBalancing::LoadBalancer", Replacement="Conditional"
    )

    assert lines(REPLACED, perhaps)[-1] == "local: 1 to replace, 1 that may be replaced"


def test_a_property_evaluated_twice_is_shown_once() -> None:
    change = resource_change(
        "Modify", "Alarm", "AWS::CloudWatch::Alarm", Details=[detail("/Properties/Period", "1", "2")] * 2
    )

    assert sum("Period" in line for line in lines(change)) == 1


def test_a_resource_the_template_keeps_holds_state_whatever_its_type() -> None:
    template = {"Resources": {"Address": {"Type": "AWS::EC2::EIP", "DeletionPolicy": "Retain"}}}

    (change,) = parse_changes([resource_change("Modify", "Address", "AWS::EC2::EIP", Replacement="True")], template)

    assert change.risks_state


def test_a_load_balancer_is_not_replaced_unnoticed() -> None:
    """Its DNS name would be another one, and partners' firewalls know the old one (U1)."""
    balancer = "AWS::ElasticLoadBalancing::LoadBalancer"

    changes = parse_changes([resource_change("Modify", "Balancer", balancer, Replacement="Conditional")], {})

    with pytest.raises(StateAtRiskError):
        refuse_lost_state("ingress", changes, allowed=frozenset())


def test_losing_state_stops_until_each_resource_is_named() -> None:
    changes = parse_changes([REPLACED, REMOVED], {})

    with pytest.raises(StateAtRiskError) as refused:
        refuse_lost_state("client_registry", changes, allowed=frozenset({"Bucket"}))

    assert refused.value.exit_code == 3
    assert refused.value.logical_ids == ("Table",)
    assert refused.value.hint == "if that is meant, the same with --allow-replacement Bucket --allow-replacement Table"


def test_named_resources_may_lose_their_state() -> None:
    refuse_lost_state("x", parse_changes([REPLACED, REMOVED], {}), allowed=frozenset({"Bucket", "Table"}))


def test_a_stack_whose_inputs_do_not_exist_yet_is_known_after_those_that_make_them() -> None:
    plan = EnvironmentPlan(
        "staging",
        (
            StackPlan("network", "n", Outlook.UNCHANGED),
            StackPlan("capacity", "c", Outlook.KNOWN_AFTER, waits_for=("identity", "ingress"), resource_count=6),
        ),
    )

    assert [line for line, _ in page(plan)] == [
        "network: unchanged",
        "capacity: known after identity, ingress (6 resources)",
        "staging: 1 stack not known yet",
    ]


def test_nothing_to_do_is_said_in_one_line() -> None:
    plan = EnvironmentPlan("staging", (StackPlan("network", "n", Outlook.UNCHANGED),))

    assert plan.changes_nothing
    assert [line for line, _ in page(plan)][-1] == "staging: nothing to do"


def test_programs_get_a_record_per_stack_and_per_change() -> None:
    stack = StackPlan("registry", "mtls-registry", Outlook.UPDATE, parse_changes([REPLACED], {}))

    first, second = records(EnvironmentPlan("local", (stack,)))

    assert (first["type"], first["outlook"]) == ("plan", "update")
    assert second == {
        "type": "change",
        "stack": "registry",
        "action": "replace",
        "logical_id": "Table",
        "resource_type": "AWS::DynamoDB::Table",
        "physical_id": "clients",
        "is_conditional": False,
        "holds_state": True,
        "properties": [{"path": "TableName", "before": "clients", "after": "partners", "replaces": True}],
    }
