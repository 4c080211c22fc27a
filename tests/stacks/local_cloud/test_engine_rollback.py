"""
What fails is undone: the stack is again exactly what it was before.

User Guide, "Choose how to handle failures when provisioning resources" and
"Stack failure options". A scripted failure strikes when the resource has been
made or changed in full, so there is always something to undo.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stacks.local_cloud.engine.resource_life import ScriptedFailure
from tests.stacks.local_cloud.things import Hand, Json, template, thing, things_cloud


@pytest.fixture(scope="module")
def hand() -> Iterator[Hand]:
    with things_cloud() as hand:
        yield hand


_THREE = template(
    {
        "Box": thing(),
        "Bag": thing("bag", Secret={"Ref": "Box"}),
        "Cup": thing("cup", Secret={"Ref": "Bag"}),
    }
)

# -- Creation


def test_a_failed_creation_leaves_nothing_behind(hand: Hand) -> None:
    hand.cloud.fail_next(ScriptedFailure("Bag", on="create", reason="out of bags"))

    name = hand.create(_THREE)

    assert hand.stack(name)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert hand.shelf.of(name) == {}
    assert {status for _, status in hand.resources(name).values()} == {"DELETE_COMPLETE"}


def test_a_failed_creation_is_told_from_cause_to_end(hand: Hand) -> None:
    hand.cloud.fail_next(ScriptedFailure("Bag", on="create", reason="out of bags"))

    name = hand.create(_THREE)

    assert hand.history(name, "Bag") == [
        "CREATE_IN_PROGRESS",
        "CREATE_IN_PROGRESS: Resource creation Initiated",
        "CREATE_FAILED: out of bags",
        "DELETE_IN_PROGRESS",
        "DELETE_COMPLETE",
    ]
    assert hand.history(name, name) == [
        "CREATE_IN_PROGRESS: User Initiated",
        "ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Bag]. Rollback requested by user.",
        "ROLLBACK_COMPLETE",
    ]
    assert hand.history(name, "Cup") == []


def test_what_was_begun_beside_a_failure_is_cancelled(hand: Hand) -> None:
    hand.cloud.fail_next(ScriptedFailure("A", on="create"))

    name = hand.create(template({"A": thing(), "B": thing()}))

    assert hand.history(name, "B")[:2] == ["CREATE_IN_PROGRESS", "CREATE_FAILED: Resource creation cancelled"]
    assert "[A, B]" in hand.history(name, name)[1]


@pytest.mark.parametrize(
    ("policy", "request_", "left"),
    [
        ("Delete", {}, set()),
        ("RetainExceptOnCreate", {}, set()),
        ("Retain", {}, {"Box"}),
        ("Retain", {"RetainExceptOnCreate": True}, set()),
    ],
)
def test_deletion_policy_in_the_rollback_of_a_creation(
    hand: Hand, policy: str, request_: dict[str, Any], left: set[str]
) -> None:
    """Template reference, "DeletionPolicy attribute", RetainExceptOnCreate; API Reference, CreateStack."""
    hand.cloud.fail_next(ScriptedFailure("Bag", on="create"))
    body = template({"Box": thing(attributes={"DeletionPolicy": policy}), "Bag": thing("bag", Secret={"Ref": "Box"})})

    name = hand.create(body, **request_)

    assert set(hand.shelf.by_logical_id(name)) == left


def test_creation_without_rollback_stops_where_it_failed(hand: Hand) -> None:
    """API Reference, CreateStack: DisableRollback, and OnFailure DO_NOTHING."""
    hand.cloud.fail_next(ScriptedFailure("Bag", on="create"))

    name = hand.create(_THREE, DisableRollback=True)

    assert hand.stack(name)["StackStatus"] == "CREATE_FAILED"
    assert set(hand.shelf.by_logical_id(name)) == {"Box", "Bag"}
    assert hand.delete(name) == "DELETE_COMPLETE"
    assert hand.shelf.of(name) == {}


def test_a_failed_creation_can_remove_its_stack(hand: Hand) -> None:
    """API Reference, CreateStack: OnFailure DELETE."""
    hand.cloud.fail_next(ScriptedFailure("Box", on="create"))
    name = hand.new_name()
    identity = hand.api.create_stack(StackName=name, TemplateBody=json.dumps(_THREE), OnFailure="DELETE")["StackId"]

    assert hand.ended(identity) == "DELETE_COMPLETE"


def test_a_rollback_that_fails_says_so(hand: Hand) -> None:
    hand.cloud.fail_next(ScriptedFailure("Bag", on="create"))
    hand.cloud.fail_next(ScriptedFailure("Box", on="delete"))

    name = hand.create(_THREE)

    assert hand.stack(name)["StackStatus"] == "ROLLBACK_FAILED"
    assert hand.delete(name) == "DELETE_COMPLETE"


def test_a_stack_can_be_deleted_while_it_is_created(hand: Hand) -> None:
    hand.shelf.unstable.add("stuck")
    name = hand.new_name()
    body = template({"Stuck": thing(Name="stuck"), "After": thing(attributes={"DependsOn": "Stuck"})})
    identity = hand.api.create_stack(StackName=name, TemplateBody=json.dumps(body))["StackId"]
    _until(lambda: "stuck" in hand.shelf.things)

    hand.api.delete_stack(StackName=name)

    assert hand.ended(identity) == "DELETE_COMPLETE"
    assert hand.shelf.of(name) == {}


def test_a_property_nobody_reads_fails_the_resource(hand: Hand) -> None:
    """The engine counts what a row reads: nothing of a template is dropped in silence."""
    name = hand.create(template({"Box": thing(Forgotten={"a": 1})}))

    assert hand.history(name, "Box")[2] == (
        "CREATE_FAILED: Test::Thing: the embedded cloud does not carry Forgotten; nothing in its row read it"
    )
    assert hand.shelf.of(name) == {}


# -- Update

_BEFORE = {
    "Changed": thing(Color="red", Size=1, Parts=[{"Name": "lid", "Count": 1}]),
    "Replaced": thing("box", Secret={"Ref": "Changed"}),
    "Removed": thing("cup"),
    "Follower": thing("label", Secret={"Ref": "Replaced"}),
    "Last": thing("last", Color="red", attributes={"DependsOn": "Follower"}),
}
_AFTER = {
    "Changed": thing(Color="blue", Parts=[{"Name": "lid", "Count": 2}, {"Name": "ear"}]),
    "Replaced": thing("crate", Secret={"Ref": "Changed"}),
    "Added": thing("new", Secret={"Ref": "Replaced"}),
    "Follower": thing("label", Secret={"Ref": "Replaced"}),
    "Last": thing("last", Color="green", attributes={"DependsOn": ["Follower", "Added"]}),
}


def _snapshot(hand: Hand, name: str) -> Json:
    """Everything a stack is: what is on the shelf, what it lists, its outputs, parameters and template."""
    stack = hand.stack(name)
    ids = {logical_id: physical_id for logical_id, (physical_id, _) in hand.resources(name).items()}
    body = hand.api.get_template(StackName=name)["TemplateBody"]
    return hand.shelf.of(name), ids, stack["Outputs"], stack["Parameters"], stack["Tags"], body


@pytest.mark.parametrize("failing", ["Changed", "Replaced", "Added", "Follower", "Last"])
def test_a_failed_update_goes_back_to_exactly_the_state_before(hand: Hand, failing: str) -> None:
    """User Guide, "Stack failure options": whichever resource fails, everything is what it was."""
    outputs = {"Box": {"Value": {"Ref": "Replaced"}}}
    name = hand.create(template(_BEFORE, Outputs=outputs), tags={"team": "ops"})
    before = _snapshot(hand, name)
    hand.cloud.fail_next(ScriptedFailure(failing, on="create" if failing in {"Added", "Replaced"} else "update"))

    status = hand.update(name, template(_AFTER, Outputs=outputs), tags={"team": "dev"})

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert _snapshot(hand, name) == before
    assert hand.update(name, template(_AFTER, Outputs=outputs)) == "UPDATE_COMPLETE"


def test_a_failed_update_is_told_from_cause_to_end(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red"), "Bag": thing("bag", Secret={"Fn::GetAtt": "Box.Color"})}))
    hand.cloud.fail_next(ScriptedFailure("Bag", on="update", reason="bag torn"))

    hand.update(name, template({"Box": thing(Color="blue"), "Bag": thing("bag", Secret={"Fn::GetAtt": "Box.Color"})}))

    assert hand.history(name, "Bag")[-4:] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_FAILED: bag torn",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    assert hand.history(name, name)[-4:] == [
        "UPDATE_IN_PROGRESS: User Initiated",
        "UPDATE_ROLLBACK_IN_PROGRESS: The following resource(s) failed to update: [Bag].",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ]


def test_an_output_that_fails_rolls_the_update_back(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red")}))
    body = template({"Box": thing(Color="blue")}, Outputs={"O": {"Value": {"Fn::Select": [3, ["a"]]}}})

    with pytest.raises(ClientError, match="nonexistent value at index 3"):
        hand.update(name, body)

    assert hand.shelf.by_logical_id(name)["Box"]["Color"] == "red"


def test_a_rollback_of_an_update_that_fails_says_so(hand: Hand) -> None:
    name = hand.create(template({"Box": thing(Color="red"), "Bag": thing("bag", Secret={"Fn::GetAtt": "Box.Color"})}))
    hand.cloud.fail_next(ScriptedFailure("Bag", on="update"))
    hand.cloud.fail_next(ScriptedFailure("Bag", on="update"))

    status = hand.update(
        name, template({"Box": thing(Color="blue"), "Bag": thing("bag", Secret={"Fn::GetAtt": "Box.Color"})})
    )

    assert status == "UPDATE_ROLLBACK_FAILED"


def test_a_cleanup_that_fails_does_not_fail_the_update(hand: Hand) -> None:
    """User Guide, "Stack status codes", UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: the update is done by then."""
    name = hand.create(template({"Box": thing(), "Bag": thing("bag")}))
    hand.cloud.fail_next(ScriptedFailure("Bag", on="delete", reason="bag is full"))

    assert hand.update(name, template({"Box": thing()})) == "UPDATE_COMPLETE"

    assert hand.history(name, "Bag")[-1] == "DELETE_FAILED: bag is full"


def test_a_failure_is_scripted_on_what_can_happen() -> None:
    with pytest.raises(ValueError, match="create, update or delete"):
        ScriptedFailure("Box", on="read")


def _until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)
