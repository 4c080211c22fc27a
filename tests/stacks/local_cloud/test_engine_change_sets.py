"""
Change sets tell every difference before anything happens.

User Guide, "Update CloudFormation stacks using change sets", "Example change
sets for CloudFormation stacks" and API Reference, DescribeChangeSet with
IncludePropertyValues.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest
from botocore.exceptions import ClientError

from stacks.local_cloud.engine.engine import NO_CHANGES, NO_UPDATES
from stacks.local_cloud.engine.intrinsics import UNKNOWN
from stacks.local_cloud.engine.resource_life import ScriptedFailure
from tests.stacks.local_cloud.things import OTHER, Hand, Json, template, thing, things_cloud


@pytest.fixture(scope="module")
def hand() -> Iterator[Hand]:
    with things_cloud() as hand:
        yield hand


def _changes(change_set: Mapping[str, Json]) -> dict[str, Json]:
    return {change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"] for change in change_set["Changes"]}


def _only(change_set: Mapping[str, Json]) -> Json:
    (change,) = _changes(change_set).values()
    return change


# -- For a new stack


def test_a_change_set_for_a_new_stack_makes_nothing(hand: Hand) -> None:
    """User Guide, "Create change sets": the stack is REVIEW_IN_PROGRESS and has no resources."""
    name = hand.new_name()

    change_set = hand.change_set(name, template({"Box": thing(Color="red")}), kind="CREATE")

    assert change_set["Status"] == "CREATE_COMPLETE"
    assert change_set["ExecutionStatus"] == "AVAILABLE"
    assert hand.stack(name)["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert hand.resources(name) == {}
    assert hand.shelf.of(name) == {}
    assert _only(change_set)["Action"] == "Add"
    assert json.loads(_only(change_set)["AfterContext"]) == {"Properties": {"Kind": "box", "Color": "red"}}


def test_an_executed_change_set_becomes_the_stack(hand: Hand) -> None:
    name = hand.new_name()
    body = template({"Box": thing()}, Outputs={"Box": {"Value": {"Ref": "Box"}}})
    change_set = hand.change_set(name, body, kind="CREATE", Capabilities=["CAPABILITY_IAM"], tags={"team": "ops"})

    assert hand.execute(change_set, ClientRequestToken="walk-1") == "CREATE_COMPLETE"

    assert hand.outputs(name) == {"Box": hand.resources(name)["Box"][0]}
    assert hand.stack(name)["ChangeSetId"] == change_set["ChangeSetId"]
    assert hand.stack(name)["Tags"] == [{"Key": "team", "Value": "ops"}]
    assert hand.events(name)[-1]["ClientRequestToken"] == "walk-1"
    described = hand.api.describe_change_set(ChangeSetName=change_set["ChangeSetId"])
    assert described["ExecutionStatus"] == "EXECUTE_COMPLETE"


def test_a_stack_under_review_can_be_deleted(hand: Hand) -> None:
    name = hand.new_name()
    hand.change_set(name, template({"Box": thing()}), kind="CREATE")

    assert hand.delete(name) == "DELETE_COMPLETE"


def test_a_value_of_a_resource_to_come_is_shown_as_known_later(hand: Hand) -> None:
    body = template({"Box": thing(), "Bag": thing("bag", Secret={"Fn::Sub": "in ${Box.Arn}"})})

    change_set = hand.change_set(hand.new_name(), body, kind="CREATE")

    assert json.loads(_changes(change_set)["Bag"]["AfterContext"])["Properties"]["Secret"] == f"in {UNKNOWN}"


def test_on_stack_failure_is_kept_for_the_execution(hand: Hand) -> None:
    """API Reference, CreateChangeSet: OnStackFailure."""
    name = hand.new_name()
    change_set = hand.change_set(name, template({"Box": thing()}), kind="CREATE", OnStackFailure="DO_NOTHING")
    hand.cloud.fail_next(ScriptedFailure("Box", on="create"))

    assert hand.execute(change_set) == "CREATE_FAILED"
    assert set(hand.shelf.by_logical_id(name)) == {"Box"}


# -- For an update: what changes and whether it needs a new resource


def test_a_changed_property_is_told_with_path_and_values(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red", Parts=[{"Name": "lid", "Count": 1}])}))

    change = _only(hand.change_set(name, template({"Box": thing(Color="red", Parts=[{"Name": "lid", "Count": 2}])})))

    assert change["Action"] == "Modify"
    assert change["Replacement"] == "False"
    assert change["Scope"] == ["Properties"]
    assert change["PhysicalResourceId"] == hand.resources(name)["Box"][0]
    assert change["Details"] == [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": "Parts",
                "RequiresRecreation": "Never",
                "Path": "/Properties/Parts/0/Count",
                "BeforeValue": "1",
                "AfterValue": "2",
                "AttributeChangeType": "Modify",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
    ]
    assert json.loads(change["BeforeContext"])["Properties"]["Parts"] == [{"Name": "lid", "Count": 1}]


@pytest.mark.parametrize(
    ("properties", "kind", "before", "after"),
    [
        ({"Color": "red", "Size": 1}, "Add", None, "1"),
        ({}, "Remove", "red", None),
        ({"Color": "blue"}, "Modify", "red", "blue"),
    ],
)
def test_a_value_comes_goes_or_changes(
    hand: Hand, properties: dict[str, Json], kind: str, before: str | None, after: str | None
) -> None:
    name = hand.create(template({"Box": thing(Color="red")}))

    target = _only(hand.change_set(name, template({"Box": thing(**properties)})))["Details"][0]["Target"]

    assert (target["AttributeChangeType"], target.get("BeforeValue"), target.get("AfterValue")) == (kind, before, after)


@pytest.mark.parametrize(
    ("changed", "replacement", "recreation", "policy"),
    [
        (thing("crate"), "True", "Always", "ReplaceAndDelete"),
        (thing("crate", attributes={"UpdateReplacePolicy": "Retain"}), "True", "Always", "ReplaceAndRetain"),
        (thing(Mood="calm"), "Conditional", "Conditionally", "ReplaceAndDelete"),
        (thing(Color="blue"), "False", "Never", None),
    ],
)
def test_replacement_follows_the_provider_schema(
    hand: Hand, changed: Json, replacement: str, recreation: str, policy: str | None
) -> None:
    name = hand.create(template({"Box": thing()}))

    change = _only(hand.change_set(name, template({"Box": changed})))

    assert change["Replacement"] == replacement
    assert change["Details"][0]["Target"]["RequiresRecreation"] == recreation
    assert change.get("PolicyAction") == policy


def test_who_refers_to_a_replaced_resource_may_be_replaced_too(hand: Hand) -> None:
    """API Reference, ResourceChangeDetail: Evaluation Dynamic, ChangeSource ResourceReference and CausingEntity."""
    resources = {"Box": thing(), "Bag": thing({"Ref": "Box"}), "Cup": thing("cup", Beside=[{"Ref": "Bag"}])}  # type: ignore[arg-type]
    name = hand.create(template(resources))

    changes = _changes(hand.change_set(name, template({**resources, "Box": thing("crate")})))

    assert [changes[logical_id]["Replacement"] for logical_id in ("Box", "Bag", "Cup")] == [
        "True",
        "Conditional",
        "False",
    ]
    (detail,) = changes["Bag"]["Details"]
    assert detail["Evaluation"] == "Dynamic"
    assert detail["ChangeSource"] == "ResourceReference"
    assert detail["CausingEntity"] == "Box"
    assert detail["Target"]["AfterValue"] == UNKNOWN


def test_who_asks_an_attribute_of_a_changed_resource_may_change(hand: Hand) -> None:
    resources = {"Box": thing(Color="red"), "Bag": thing("bag", Beside=[{"Fn::GetAtt": "Box.Arn"}])}
    name = hand.create(template(resources))
    change_set = hand.change_set(name, template({**resources, "Box": thing(Color="blue")}))

    (detail,) = _changes(change_set)["Bag"]["Details"]
    assert (detail["ChangeSource"], detail["CausingEntity"]) == ("ResourceAttribute", "Box.Arn")

    hand.execute(change_set)
    assert hand.history(name, "Bag")[-1] == "CREATE_COMPLETE"  # the attribute turned out to be the same


def test_the_cause_is_looked_for_at_the_place_of_the_difference(hand: Hand) -> None:
    """A structure may refer to several resources; each of its fields names the one it depends on."""
    parts = [{"Name": {"Ref": "Bag"}}, {"Name": {"Fn::Sub": "in ${Box.Color}"}}]
    resources = {"Box": thing(Color="red"), "Bag": thing("bag"), "Cup": thing("cup", Parts=parts)}
    name = hand.create(template(resources))

    change_set = hand.change_set(name, template({**resources, "Box": thing(Color="blue"), "Bag": thing("sack")}))

    causes = {detail["Target"]["Path"]: detail["CausingEntity"] for detail in _changes(change_set)["Cup"]["Details"]}
    assert causes == {"/Properties/Parts/0/Name": "Bag", "/Properties/Parts/1/Name": "Box.Color"}


def test_a_parameter_is_named_as_the_cause(hand: Hand) -> None:
    body = template({"Box": thing(Color={"Ref": "Paint"})}, Parameters={"Paint": {"Type": "String"}})
    name = hand.create(body, parameters={"Paint": "red"})

    (detail,) = _only(hand.change_set(name, body, parameters={"Paint": "blue"}))["Details"]

    assert (detail["ChangeSource"], detail["CausingEntity"]) == ("ParameterReference", "Paint")
    assert detail["Evaluation"] == "Static"


def test_a_masked_parameter_shows_nowhere_in_a_change_set(hand: Hand) -> None:
    """Template reference, "CloudFormation template Parameters syntax", NoEcho."""
    body = template({"Box": thing(Secret={"Ref": "Word"})}, Parameters={"Word": {"Type": "String", "NoEcho": True}})
    name = hand.create(body, parameters={"Word": "hush-old"})

    change_set = hand.change_set(name, body, parameters={"Word": "hush-new"})

    assert _only(change_set)["Details"][0]["Target"]["AfterValue"] == "****"
    assert "hush" not in json.dumps(change_set, default=str) + json.dumps(hand.events(name), default=str)


@pytest.mark.parametrize(("policy", "action"), [("Delete", "Delete"), ("RetainExceptOnCreate", "Retain")])
def test_a_removed_resource_is_told_with_its_policy(hand: Hand, policy: str, action: str) -> None:
    bag = thing("bag", attributes={"DeletionPolicy": policy})
    name = hand.create(template({"Box": thing(), "Bag": bag}))

    change = _only(hand.change_set(name, template({"Box": thing()})))

    assert (change["Action"], change["LogicalResourceId"], change["PolicyAction"]) == ("Remove", "Bag", action)


def test_a_changed_policy_is_an_update_that_touches_nothing(hand: Hand) -> None:
    name = hand.create(template({"Box": thing()}))
    hand.shelf.calls.clear()
    change_set = hand.change_set(name, template({"Box": thing(attributes={"DeletionPolicy": "Retain"})}))

    assert _only(change_set)["Scope"] == ["DeletionPolicy"]
    assert hand.execute(change_set) == "UPDATE_COMPLETE"

    assert hand.shelf.calls == []
    hand.delete(name)
    assert set(hand.shelf.by_logical_id(name)) == {"Box"}


def test_values_are_told_to_who_asks_for_them(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red")}))
    identity = hand.change_set(name, template({"Box": thing(Color="blue")}))["ChangeSetId"]

    (change,) = hand.api.describe_change_set(ChangeSetName=identity)["Changes"]

    assert "BeforeContext" not in change["ResourceChange"]
    assert change["ResourceChange"]["Details"][0]["Target"] == {
        "Attribute": "Properties",
        "Name": "Color",
        "RequiresRecreation": "Never",
    }


# -- What cannot be


def test_no_change_is_a_failed_change_set(hand: Hand) -> None:
    """User Guide, "Create change sets": the submitted information didn't contain changes."""
    name = hand.create(template({"Box": thing(Size=1)}))

    change_set = hand.change_set(name, template({"Box": thing(Size="1")}))

    assert (change_set["Status"], change_set["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert change_set["StatusReason"] == NO_CHANGES
    assert change_set["Changes"] == []


def test_an_update_without_changes_is_refused(hand: Hand) -> None:
    body = template({"Box": thing()})
    name = hand.create(body)

    with pytest.raises(ClientError, match=NO_UPDATES):
        hand.update(name, body)


def test_a_changed_output_alone_is_a_change(hand: Hand) -> None:
    name = hand.create(template({"Box": thing()}))

    status = hand.update(name, template({"Box": thing()}, Outputs={"O": {"Value": "new"}}))

    assert (status, hand.outputs(name)) == ("UPDATE_COMPLETE", {"O": "new"})


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({"Colour": "red"}, "Test::Thing: property Colour is unknown (resource Box)"),
        ({"Size": "big"}, "property Size is 'big' where integer is expected"),
        ({"Weight": 2}, "the embedded cloud does not update Weight in place"),
    ],
)
def test_what_cannot_be_is_told_by_the_change_set(hand: Hand, properties: dict[str, Json], fault: str) -> None:
    """User Guide, "Validate stack deployments": a failed change set, its faults one by one in DescribeEvents."""
    name = hand.create(template({"Box": thing(Weight=1), "Bag": thing("bag")}))

    change_set = hand.change_set(name, template({"Box": thing(**{"Weight": 1, **properties}), "Bag": thing("bag")}))

    assert change_set["Status"] == "FAILED"
    assert fault in change_set["StatusReason"]
    events = hand.api.describe_events(ChangeSetName=change_set["ChangeSetId"])["OperationEvents"]
    assert [event["EventType"] for event in events] == ["VALIDATION_ERROR"]
    assert fault in events[0]["ValidationStatusReason"]
    with pytest.raises(ClientError) as refused:
        hand.execute(change_set)
    assert refused.value.response["Error"]["Code"] == "InvalidChangeSetStatus"


def test_a_name_of_its_own_stands_in_the_way_of_a_replacement(hand: Hand) -> None:
    """Troubleshooting CloudFormation: a custom-named resource requires replacing."""
    name = hand.create(template({"Box": thing(Name="mine")}))

    change_set = hand.change_set(name, template({"Box": thing("crate", Name="mine")}))

    assert "Rename mine and update the stack again" in change_set["StatusReason"]


def test_a_resource_cannot_change_its_type(hand: Hand) -> None:
    """User Guide, "Update stacks": another type needs another logical id."""
    name = hand.create(template({"Box": thing()}))

    with pytest.raises(ClientError, match=r"Update of resource type is not permitted.*\[Box\]"):
        hand.change_set(name, template({"Box": {**thing(), "Type": OTHER}}))


def test_executing_one_change_set_makes_the_others_obsolete(hand: Hand) -> None:
    """User Guide, "Execute change sets": the others are no longer valid for the updated stack."""
    name = hand.create(template({"Box": thing(Color="red")}))
    first, second = (hand.change_set(name, template({"Box": thing(Color=color)})) for color in ("blue", "green"))

    hand.execute(first)

    listed = {
        entry["ChangeSetId"]: entry["ExecutionStatus"]
        for entry in hand.api.list_change_sets(StackName=name)["Summaries"]
    }
    assert listed == {first["ChangeSetId"]: "EXECUTE_COMPLETE", second["ChangeSetId"]: "OBSOLETE"}
    with pytest.raises(hand.api.exceptions.InvalidChangeSetStatusException):
        hand.execute(second)


def test_a_direct_update_makes_change_sets_obsolete(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red")}))
    change_set = hand.change_set(name, template({"Box": thing(Color="blue")}))

    hand.update(name, template({"Box": thing(Color="green")}))

    described = hand.api.describe_change_set(ChangeSetName=change_set["ChangeSetId"])
    assert described["ExecutionStatus"] == "OBSOLETE"


def test_a_deleted_change_set_is_not_found(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red")}))
    change_set = hand.change_set(name, template({"Box": thing(Color="blue")}))

    for _ in range(2):  # API Reference, DeleteChangeSet: an absent one is a success
        hand.api.delete_change_set(StackName=name, ChangeSetName=change_set["ChangeSetName"])

    with pytest.raises(hand.api.exceptions.ChangeSetNotFoundException):
        hand.api.describe_change_set(StackName=name, ChangeSetName=change_set["ChangeSetName"])


def test_a_change_set_for_a_stack_that_exists_cannot_create_it(hand: Hand) -> None:
    name = hand.create(template({"Box": thing()}))

    with pytest.raises(hand.api.exceptions.AlreadyExistsException):
        hand.change_set(name, template({"Box": thing()}), kind="CREATE")


def test_a_stack_that_failed_at_birth_cannot_be_updated(hand: Hand) -> None:
    """User Guide, "Stack status codes", ROLLBACK_COMPLETE: only a delete operation can be performed."""
    hand.cloud.fail_next(ScriptedFailure("Box", on="create"))
    name = hand.create(template({"Box": thing()}))

    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        hand.change_set(name, template({"Box": thing()}))


def test_the_template_and_the_previous_values_can_be_used_again(hand: Hand) -> None:
    body = template(
        {"Box": thing(Color={"Ref": "Paint"}, Size={"Ref": "Size"})},
        Parameters={"Paint": {"Type": "String"}, "Size": {"Type": "Number"}},
    )
    name = hand.create(body, parameters={"Paint": "red", "Size": "1"}, tags={"team": "ops"})

    hand.api.update_stack(
        StackName=name,
        UsePreviousTemplate=True,
        Parameters=[
            {"ParameterKey": "Paint", "ParameterValue": "blue"},
            {"ParameterKey": "Size", "UsePreviousValue": True},
        ],
    )

    assert hand.ended(name) == "UPDATE_COMPLETE"
    assert hand.shelf.by_logical_id(name)["Box"]["Color"] == "blue"
    assert hand.shelf.by_logical_id(name)["Box"]["Size"] == 1
    assert hand.stack(name)["Tags"] == [{"Key": "team", "Value": "ops"}]
