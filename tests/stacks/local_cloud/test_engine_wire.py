"""CloudFormation's API as unmodified boto3 speaks it: codes, pages, waiters, and what is not built."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.stacks.local_cloud.things import THING, Hand, Json, template, thing, things_cloud

_BODY = json.dumps(template({"Box": thing()}))


@pytest.fixture(scope="module")
def hand() -> Iterator[Hand]:
    with things_cloud() as hand:
        yield hand


def _refused(hand: Hand, operation: str, **request: Json) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        getattr(hand.api, operation)(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    ("operation", "request_", "code", "sentence"),
    [
        ("describe_stacks", {"StackName": "none"}, "ValidationError", "Stack with id none does not exist"),
        ("describe_stack_events", {"StackName": "none"}, "ValidationError", "Stack [none] does not exist"),
        ("list_stack_resources", {"StackName": "none"}, "ValidationError", "Stack with id none does not exist"),
        ("update_stack", {"StackName": "none", "TemplateBody": _BODY}, "ValidationError", "[none] does not exist"),
        (
            "describe_change_set",
            {"ChangeSetName": "arn:aws:cloudformation:us-east-1:123456789012:changeSet/none/1"},
            "ChangeSetNotFound",
            "does not exist",
        ),
        ("describe_change_set", {"ChangeSetName": "none"}, "ValidationError", "StackName must be specified"),
        ("create_stack", {"StackName": "1st", "TemplateBody": _BODY}, "ValidationError", "at 'stackName' failed"),
        ("create_stack", {"StackName": "new"}, "ValidationError", "Template Body must be specified"),
        ("create_stack", {"StackName": "new", "TemplateBody": "{"}, "ValidationError", "JSON not well-formed"),
        (
            "create_stack",
            {"StackName": "new", "TemplateBody": json.dumps(template({"A": {"Type": "AWS::S3::Buckett"}}))},
            "ValidationError",
            "Unrecognized resource types: [AWS::S3::Buckett (A)]",
        ),
        (
            "create_stack",
            {
                "StackName": "new",
                "TemplateBody": json.dumps(template({"A": thing(), "B": thing(Secret={"Fn::GetAtt": "A.Smell"})})),
            },
            "ValidationError",
            "resource A does not support attribute type Smell in Fn::GetAtt (in resource B)",
        ),
        (
            "create_stack",
            {"StackName": "new", "TemplateBody": _BODY, "DisableRollback": True, "OnFailure": "DELETE"},
            "ValidationError",
            "not both",
        ),
    ],
)
def test_a_refusal_has_the_code_and_words_of_aws(
    hand: Hand, operation: str, request_: dict[str, Json], code: str, sentence: str
) -> None:
    found_code, message = _refused(hand, operation, **request_)

    assert found_code == code
    assert sentence in message


def test_a_name_that_is_taken_is_refused(hand: Hand) -> None:
    name = hand.create(template({"Box": thing()}))

    assert _refused(hand, "create_stack", StackName=name, TemplateBody=_BODY)[0] == "AlreadyExistsException"


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("detect_stack_drift", {"StackName": "any"}),
        ("cancel_update_stack", {"StackName": "any"}),
        ("continue_update_rollback", {"StackName": "any"}),
        ("list_exports", {}),
        ("create_stack_set", {"StackSetName": "any"}),
    ],
)
def test_an_operation_that_is_not_built_is_refused_by_name(
    hand: Hand, operation: str, request_: dict[str, Json]
) -> None:
    code, message = _refused(hand, operation, **request_)

    assert code == "ValidationError"
    assert f"{operation.title().replace('_', '')} is not built in the embedded cloud" in message


@pytest.mark.parametrize(
    "argument",
    [
        {"EnableTerminationProtection": True},
        {"TimeoutInMinutes": 5},
        {"StackPolicyBody": "{}"},
        {"TemplateURL": "https://bucket.s3.amazonaws.com/template.json"},
    ],
)
def test_an_argument_that_is_not_carried_is_refused_by_name(hand: Hand, argument: dict[str, Json]) -> None:
    _, message = _refused(hand, "create_stack", StackName="new", TemplateBody=_BODY, **argument)

    assert f"does not carry {next(iter(argument))}" in message


def test_a_stack_that_is_busy_refuses_an_update(hand: Hand) -> None:
    hand.shelf.unstable.add("slow")
    name = hand.new_name()
    body = json.dumps(template({"Box": thing(Name="slow")}))
    hand.api.create_stack(StackName=name, TemplateBody=body)

    _, message = _refused(hand, "update_stack", StackName=name, TemplateBody=_BODY)

    assert "is in CREATE_IN_PROGRESS state and can not be updated" in message
    hand.shelf.unstable.clear()
    assert hand.ended(name) == "CREATE_COMPLETE"


def test_deleting_what_is_not_there_is_a_success(hand: Hand) -> None:
    """API Reference, DeleteStack."""
    hand.api.delete_stack(StackName="never-was")


def test_the_waiters_of_boto3_work(hand: Hand) -> None:
    quick = {"Delay": 0, "MaxAttempts": 200}
    name = hand.new_name()
    hand.api.create_change_set(StackName=name, ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=_BODY)
    hand.api.get_waiter("change_set_create_complete").wait(StackName=name, ChangeSetName="c", WaiterConfig=quick)
    hand.api.execute_change_set(StackName=name, ChangeSetName="c")
    hand.api.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=quick)
    hand.api.get_waiter("stack_exists").wait(StackName=name, WaiterConfig=quick)
    hand.api.update_stack(StackName=name, TemplateBody=json.dumps(template({"Box": thing(Color="red")})))
    hand.api.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig=quick)
    hand.api.delete_stack(StackName=name)
    hand.api.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=quick)


def test_events_come_in_pages_the_newest_first(hand: Hand) -> None:
    """API Reference, DescribeStackEvents: reverse chronological order, NextToken."""
    name = hand.create(template({f"Box{number}": thing() for number in range(40)}))

    first = hand.api.describe_stack_events(StackName=name)
    second = hand.api.describe_stack_events(StackName=name, NextToken=first["NextToken"])

    assert len(first["StackEvents"]) == 100
    assert len(second["StackEvents"]) == 22
    assert first["StackEvents"][0]["ResourceStatus"] == "CREATE_COMPLETE"
    assert second["StackEvents"][-1]["ResourceStatusReason"] == "User Initiated"


def test_events_can_be_asked_by_operation_and_failure(hand: Hand) -> None:
    """API Reference, DescribeEvents: OperationId, Filters FailedEvents."""
    name = hand.create(template({"Box": thing(Forgotten={"a": 1})}))
    (operation,) = hand.stack(name)["LastOperations"]

    found = hand.api.describe_events(
        StackName=name, OperationId=operation["OperationId"], Filters={"FailedEvents": True}
    )["OperationEvents"]

    assert [(event["LogicalResourceId"], event["ResourceStatus"]) for event in found] == [("Box", "CREATE_FAILED")]
    assert found[0]["OperationType"] == "CREATE_STACK"


def test_a_resource_is_described_one_by_one_and_all_together(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(), "Bag": thing("bag")}))

    one = hand.api.describe_stack_resource(StackName=name, LogicalResourceId="Box")["StackResourceDetail"]
    every = hand.api.describe_stack_resources(StackName=name)["StackResources"]

    assert (one["ResourceType"], one["ResourceStatus"]) == (THING, "CREATE_COMPLETE")
    assert {entry["PhysicalResourceId"] for entry in every} == {found for found, _ in hand.resources(name).values()}
    assert _refused(hand, "describe_stack_resource", StackName=name, LogicalResourceId="Cup")[0] == "ValidationError"


def test_stacks_are_listed_by_status(hand: Hand) -> None:
    kept, gone = hand.create(template({"Box": thing()})), hand.create(template({"Box": thing()}))
    hand.delete(gone)

    deleted = hand.api.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    present = hand.api.describe_stacks()["Stacks"]

    assert gone in {stack["StackName"] for stack in deleted}
    assert kept in {stack["StackName"] for stack in present}
    assert gone not in {stack["StackName"] for stack in present}


def test_a_template_can_be_read_back(hand: Hand) -> None:
    body = template({"Box": thing()})
    name = hand.create(body)

    assert hand.api.get_template(StackName=name)["TemplateBody"] == body


def test_a_template_is_summed_up_without_a_stack(hand: Hand) -> None:
    """API Reference, GetTemplateSummary and ValidateTemplate."""
    body = template(
        {"Box": thing(Color={"Ref": "Paint"})},
        Parameters={"Paint": {"Type": "String", "Default": "red", "AllowedValues": ["red", "blue"]}},
        Description="a box",
    )

    for operation in (hand.api.get_template_summary, hand.api.validate_template):
        found = operation(TemplateBody=json.dumps(body))
        assert found["Description"] == "a box"
        assert found["Parameters"][0]["ParameterKey"] == "Paint"
        assert found["Parameters"][0]["DefaultValue"] == "red"
        assert found.get("Capabilities", []) == []
