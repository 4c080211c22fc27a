"""The scheduler's arithmetic: between the minimum that answers and the maximum there may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stacks.local_cloud.placement import PlacedTask, Plan, ServiceTarget, plan

NEW, OLD = "new", "old"


def target(desired: int = 2, minimum: int = 50, maximum: int = 100) -> ServiceTarget:
    return ServiceTarget(desired, minimum, maximum, primary=NEW)


def tasks(*deployments: str, healthy: bool = True) -> list[PlacedTask]:
    return [PlacedTask(f"{name}-{number}", name, healthy) for number, name in enumerate(deployments)]


def test_a_new_service_starts_what_it_desires() -> None:
    assert plan(target(), [], ["i-1", "i-2", "i-3"]) == Plan(start_on=("i-1", "i-2"))


def test_a_service_that_has_what_it_desires_is_left_alone() -> None:
    assert plan(target(), tasks(NEW, NEW), ["i-3"]) == Plan()


def test_too_few_instances_are_said() -> None:
    assert plan(target(), tasks(NEW), []) == Plan(lacks_instance=True)


def test_scaling_in_stops_the_youngest() -> None:
    assert plan(target(desired=1), tasks(NEW, NEW), []) == Plan(stop=("new-1",))


def test_scaling_in_prefers_a_task_that_does_not_answer() -> None:
    placed = [*tasks(NEW, healthy=False), PlacedTask("healthy", NEW, is_healthy=True)]

    assert plan(target(desired=1), placed, []) == Plan(stop=("new-0",))


def test_nothing_desired_stops_everything() -> None:
    assert set(plan(target(desired=0), tasks(OLD, NEW), []).stop) == {"old-0", "new-1"}


def test_a_deployment_without_room_above_stops_an_old_task_first() -> None:
    """2 desired, 50 to 100 percent: one goes, and only when its successor answers the other."""
    assert plan(target(), tasks(OLD, OLD), ["i-3"]) == Plan(stop=("old-1",))
    assert plan(target(), [*tasks(OLD), *tasks(NEW, healthy=False)], []) == Plan()
    assert plan(target(), [*tasks(OLD), PlacedTask("n", NEW, is_healthy=True)], []) == Plan(stop=("old-0",))


def test_a_deployment_with_room_above_starts_first() -> None:
    """100 to 200 percent: nothing old goes before the new ones answer."""
    wide = target(minimum=100, maximum=200)

    assert plan(wide, tasks(OLD, OLD), ["i-3", "i-4"]) == Plan(start_on=("i-3", "i-4"))
    assert plan(wide, [*tasks(OLD, OLD), *tasks(NEW, NEW, healthy=False)], []) == Plan()
    assert set(plan(wide, tasks(OLD, OLD, NEW, NEW), []).stop) == {"old-0", "old-1"}


def test_percentages_that_allow_nothing_are_said() -> None:
    """2 desired, 66 to 100 percent: ceil(1.32) is 2, so nothing may stop, and nothing may start."""
    assert plan(target(minimum=66), tasks(OLD, OLD), ["i-3"]) == Plan(is_stuck=True)


def test_an_old_task_that_does_not_answer_may_always_go() -> None:
    assert plan(target(minimum=100), tasks(OLD, OLD, healthy=False), []).stop == ("old-1", "old-0")


@st.composite
def situations(draw: st.DrawFn) -> tuple[ServiceTarget, list[PlacedTask], list[str]]:
    minimum = draw(st.integers(0, 100))
    wanted = ServiceTarget(draw(st.integers(0, 8)), minimum, draw(st.integers(100, 200)), primary=NEW)
    kinds = draw(st.lists(st.tuples(st.sampled_from([NEW, OLD]), st.booleans()), max_size=12))
    placed = [PlacedTask(str(number), kind, healthy) for number, (kind, healthy) in enumerate(kinds)]
    return wanted, placed, [f"i-{number}" for number in range(draw(st.integers(0, 8)))]


@given(situations())
def test_a_step_never_leaves_the_bounds(situation: tuple[ServiceTarget, list[PlacedTask], list[str]]) -> None:
    """No start goes over the maximum or the desired count; no old task that is needed is stopped."""
    wanted, placed, free = situation

    step = plan(wanted, placed, free)

    assert not step.start_on or len(placed) + len(step.start_on) <= wanted.maximum
    new = [task for task in placed if task.deployment == NEW]
    assert not step.start_on or len(new) + len(step.start_on) <= wanted.desired
    needed_old = [task for task in placed if task.arn in step.stop and task.deployment == OLD and task.is_healthy]
    left = sum(task.is_healthy for task in placed if task.arn not in step.stop)
    assert not needed_old or left >= wanted.minimum_healthy


@given(st.integers(1, 6), st.sampled_from([(0, 100), (50, 100), (50, 200), (100, 200), (100, 150)]))
def test_every_rollout_that_has_room_ends(desired: int, percents: tuple[int, int]) -> None:
    """Step by step, with each started task answering at the next step, all tasks are new in the end."""
    wanted = ServiceTarget(desired, *percents, primary=NEW)
    has_room = wanted.maximum > desired or wanted.minimum_healthy < desired
    instances = [f"i-{number}" for number in range(2 * desired)]
    placed = {instances[number]: PlacedTask(f"old-{number}", OLD, is_healthy=True) for number in range(desired)}

    for number in range(8 * desired):
        free = [instance for instance in instances if instance not in placed]
        step = plan(wanted, list(placed.values()), free)
        placed = {place: task for place, task in placed.items() if task.arn not in step.stop}
        placed |= {place: PlacedTask(f"new-{number}-{place}", NEW, is_healthy=True) for place in step.start_on}

    assert not has_room or [task.deployment for task in placed.values()] == [NEW] * desired
