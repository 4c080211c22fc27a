"""Stacks are made, changed and removed as the CloudFormation User Guide says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from stacks.local_cloud.engine.resource_life import ScriptedFailure
from tests.stacks.local_cloud.things import Hand, template, thing, things_cloud


@pytest.fixture(scope="module")
def hand() -> Iterator[Hand]:
    with things_cloud() as hand:
        yield hand


_REPLACING = "Requested update requires the creation of a new physical resource; hence creating one."


def test_resources_are_made_in_the_order_of_their_references(hand: Hand) -> None:
    """User Guide, "DependsOn attribute": Ref and GetAtt order implicitly, DependsOn explicitly."""
    body = template(
        {
            "Last": thing(attributes={"DependsOn": "Middle"}),
            "Middle": thing(Beside=[{"Fn::GetAtt": ["First", "Arn"]}, {"Fn::Sub": "${First}"}]),
            "First": thing(),
        }
    )

    name = hand.create(body)

    made = [event["LogicalResourceId"] for event in hand.events(name) if event["ResourceStatus"] == "CREATE_COMPLETE"]
    assert made == ["First", "Middle", "Last", name]
    first = hand.resources(name)["First"][0]
    assert hand.shelf.by_logical_id(name)["Middle"]["Beside"] == [f"arn:{first}", first]


def test_each_resource_tells_its_creation_in_events(hand: Hand) -> None:
    """User Guide, "Stack event status codes" and "Monitor stack progress"."""
    name = hand.create(template({"Box": thing(Color="red")}), ClientRequestToken="deploy-1")

    assert hand.history(name, "Box") == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS: Resource creation Initiated",
        "CREATE_COMPLETE",
    ]
    assert hand.history(name, name) == ["CREATE_IN_PROGRESS: User Initiated", "CREATE_COMPLETE"]
    events = hand.events(name)
    assert {event["ClientRequestToken"] for event in events} == {"deploy-1"}
    assert [event["Timestamp"] for event in events] == sorted(event["Timestamp"] for event in events)
    assert json.loads(events[1]["ResourceProperties"]) == {"Kind": "box", "Color": "red"}
    assert "PhysicalResourceId" not in events[1]
    assert events[2]["PhysicalResourceId"] == hand.resources(name)["Box"][0]


def test_outputs_parameters_and_tags_are_told(hand: Hand) -> None:
    body = template(
        {"Box": thing(Color={"Ref": "Paint"}, Secret={"Ref": "Word"})},
        Parameters={"Paint": {"Type": "String"}, "Word": {"Type": "String", "NoEcho": True, "Default": "hush"}},
        Conditions={"Never": {"Fn::Equals": ["a", "b"]}},
        Outputs={
            "Box": {"Value": {"Ref": "Box"}, "Description": "which box"},
            "Color": {"Value": {"Fn::GetAtt": "Box.Color"}},
            "Nothing": {"Value": "x", "Condition": "Never"},
        },
        Description="one box",
    )

    name = hand.create(body, parameters={"Paint": "green"}, tags={"team": "ops"})

    stack = hand.stack(name)
    assert hand.outputs(name) == {"Box": hand.resources(name)["Box"][0], "Color": "green"}
    assert {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack["Parameters"]} == {
        "Paint": "green",
        "Word": "****",
    }
    assert stack["Description"] == "one box"
    assert stack["Tags"] == [{"Key": "team", "Value": "ops"}]


def test_stack_tags_reach_the_resources(hand: Hand) -> None:
    """User Guide, "Resource tags": the stack's tags and those CloudFormation adds itself."""
    name = hand.create(template({"Box": thing(Tags=[{"Key": "own", "Value": "1"}])}), tags={"team": "ops"})

    assert hand.shelf.by_logical_id(name)["Box"]["Tags"] == {
        "team": "ops",
        "own": "1",
        "aws:cloudformation:stack-name": name,
        "aws:cloudformation:stack-id": hand.stack(name)["StackId"],
        "aws:cloudformation:logical-id": "Box",
    }


def test_changed_stack_tags_alone_are_an_update_in_place(hand: Hand) -> None:
    """User Guide, "Update stacks directly": a change of tags updates every resource that bears them."""
    body = template({"Box": thing()})
    name = hand.create(body, tags={"team": "ops"})

    assert hand.update(name, body, tags={"team": "dev"}) == "UPDATE_COMPLETE"

    assert hand.shelf.by_logical_id(name)["Box"]["Tags"]["team"] == "dev"


def test_a_condition_decides_whether_a_resource_exists(hand: Hand) -> None:
    body = template(
        {
            "Box": thing(Beside=["a", {"Fn::If": ["Live", {"Ref": "Extra"}, {"Ref": "AWS::NoValue"}]}]),
            "Extra": thing(attributes={"Condition": "Live"}),
        },
        Parameters={"Stage": {"Type": "String"}},
        Conditions={"Live": {"Fn::Equals": [{"Ref": "Stage"}, "live"]}},
    )
    name = hand.create(body, parameters={"Stage": "test"})
    assert list(hand.resources(name)) == ["Box"]

    hand.update(name, body, parameters={"Stage": "live"})

    assert len(hand.shelf.by_logical_id(name)["Box"]["Beside"]) == 2
    assert set(hand.resources(name)) == {"Box", "Extra"}


def test_a_resource_whose_condition_does_not_hold_cannot_be_referred_to(hand: Hand) -> None:
    """User Guide, "Resolve validation error": unresolved resource dependencies; also while the old one still stands."""
    body = template(
        {"Box": thing(), "Bag": thing("bag", Beside=[{"Ref": "Box"}])},
        Parameters={"Stage": {"Type": "String"}},
        Conditions={"Live": {"Fn::Equals": [{"Ref": "Stage"}, "live"]}},
    )
    body["Resources"]["Box"]["Condition"] = "Live"
    name = hand.create(body, parameters={"Stage": "live"})

    with pytest.raises(ClientError, match=r"Unresolved resource dependencies \[Box\].*\(in resource Bag\)"):
        hand.update(name, body, parameters={"Stage": "test"})


def test_only_the_settings_of_a_changed_property_are_applied(hand: Hand) -> None:
    """User Guide, "Understand update behaviors of stack resources": update with no interruption."""
    name = hand.create(template({"Box": thing(Color="red", Size=1), "Bag": thing("bag")}))
    before = hand.resources(name)["Box"][0]
    hand.shelf.calls.clear()

    status = hand.update(name, template({"Box": thing(Color="blue", Size="1"), "Bag": thing("bag")}))

    assert status == "UPDATE_COMPLETE"
    assert hand.shelf.calls == ["set Box Color"]
    assert hand.resources(name)["Box"] == (before, "UPDATE_COMPLETE")
    assert hand.history(name, "Bag")[-1] == "CREATE_COMPLETE"


def test_a_create_only_property_replaces_and_dependents_follow(hand: Hand) -> None:
    """User Guide, "Understand update behaviors of stack resources": the new one first, the old one in cleanup."""
    resources = {"Box": thing("box"), "Label": thing("label", Secret={"Ref": "Box"})}
    name = hand.create(template(resources))
    old = hand.resources(name)["Box"][0]
    hand.shelf.calls.clear()

    status = hand.update(name, template({**resources, "Box": thing("crate")}))

    new = hand.resources(name)["Box"][0]
    assert status == "UPDATE_COMPLETE"
    assert hand.shelf.calls == ["create Box", "set Label Secret Beside", "delete Box"]
    assert new != old
    assert hand.shelf.by_logical_id(name)["Label"]["Secret"] == new
    assert old not in hand.shelf.things
    assert hand.history(name, "Box")[3:] == [
        f"UPDATE_IN_PROGRESS: {_REPLACING}",
        "UPDATE_IN_PROGRESS: Resource creation Initiated",
        "UPDATE_COMPLETE",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ]
    assert hand.history(name, name)[-3:] == [
        "UPDATE_IN_PROGRESS: User Initiated",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]


def test_an_attribute_that_changes_in_place_reaches_who_asked_for_it(hand: Hand) -> None:
    resources = {"Box": thing(Color="red"), "Label": thing("label", Beside=[{"Fn::GetAtt": "Box.Color"}])}
    name = hand.create(template(resources))

    hand.update(name, template({**resources, "Box": thing(Color="blue")}))

    assert hand.shelf.by_logical_id(name)["Label"]["Beside"] == ["blue"]


def test_a_resource_that_left_the_template_is_removed_in_cleanup(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(), "Bag": thing("bag", Secret={"Ref": "Box"})}))

    hand.update(name, template({"Box": thing()}))

    assert set(hand.resources(name)) == {"Box"}
    assert set(hand.shelf.by_logical_id(name)) == {"Box"}


def test_deletion_goes_against_the_order_of_creation(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(), "Bag": thing("bag", Secret={"Ref": "Box"})}))
    hand.shelf.calls.clear()

    assert hand.delete(name) == "DELETE_COMPLETE"

    assert hand.shelf.calls == ["delete Bag", "delete Box"]


def test_a_deleted_stack_is_found_by_its_id_alone(hand: Hand) -> None:
    """API Reference, DescribeStacks: deleted stacks must be specified by their unique stack ID."""
    name = hand.create(template({"Box": thing()}))
    identity = hand.stack(name)["StackId"]
    hand.delete(name)

    assert hand.stack(identity)["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match=f"Stack with id {name} does not exist"):
        hand.stack(name)


# -- Policies


@pytest.mark.parametrize("policy", ["Retain", "RetainExceptOnCreate"])
def test_deletion_policy_keeps_a_resource_of_a_deleted_stack(hand: Hand, policy: str) -> None:
    """Template reference, "DeletionPolicy attribute"."""
    name = hand.create(template({"Box": thing(attributes={"DeletionPolicy": policy}), "Bag": thing("bag")}))
    identity = hand.stack(name)["StackId"]

    assert hand.delete(name) == "DELETE_COMPLETE"

    assert set(hand.shelf.by_logical_id(name)) == {"Box"}
    assert hand.history(identity, "Box")[-1] == "DELETE_SKIPPED"


def test_deletion_policy_keeps_a_resource_that_left_the_template(hand: Hand) -> None:
    """Template reference, "DeletionPolicy attribute": also for update operations that lead to a deletion."""
    name = hand.create(template({"Box": thing(attributes={"DeletionPolicy": "Retain"}), "Bag": thing("bag")}))

    hand.update(name, template({"Bag": thing("bag")}))

    assert set(hand.resources(name)) == {"Bag"}
    assert set(hand.shelf.by_logical_id(name)) == {"Box", "Bag"}
    assert hand.history(name, "Box")[-1] == "DELETE_SKIPPED"


def test_update_replace_policy_keeps_the_old_one(hand: Hand) -> None:
    """Template reference, "UpdateReplacePolicy attribute"; DeletionPolicy has no say in a replacement."""
    kept = {"UpdateReplacePolicy": "Retain"}
    body = template({"Box": thing(attributes=kept), "Bag": thing("bag", attributes={"DeletionPolicy": "Retain"})})
    name = hand.create(body)
    old_box, old_bag = (hand.resources(name)[logical_id][0] for logical_id in ("Box", "Bag"))

    hand.update(name, template({"Box": thing("crate", attributes=kept), "Bag": thing("sack")}))

    assert old_box in hand.shelf.things
    assert old_bag not in hand.shelf.things


def test_a_failed_deletion_leaves_what_it_needs_and_can_be_repeated(hand: Hand) -> None:
    """User Guide, "Delete stack fails": DELETE_FAILED, then again, or with RetainResources."""
    name = hand.create(template({"Box": thing(), "Bag": thing("bag", Secret={"Ref": "Box"}), "Cup": thing("cup")}))
    hand.cloud.fail_next(ScriptedFailure("Bag", on="delete"))

    assert hand.delete(name) == "DELETE_FAILED"
    assert set(hand.shelf.by_logical_id(name)) == {"Box", "Bag"}
    assert hand.stack(name)["StackStatusReason"] == "The following resource(s) failed to delete: [Bag]."

    assert hand.delete(name, RetainResources=["Bag"]) == "DELETE_COMPLETE"
    assert set(hand.shelf.by_logical_id(name)) == {"Bag"}
