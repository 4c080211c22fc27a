"""An instance type's name says its processor for families of any year, and its size where that is even."""

from __future__ import annotations

import pytest

from stacks.environment import Architecture
from stacks.instance_types import Size, architecture, obstacle, size


@pytest.mark.parametrize(
    "name",
    [
        "t4g.small",
        "m7gd.large",
        "c8gn.xlarge",
        "x2gd.medium",
        "im4gn.large",
        "is4gen.medium",
        "g5g.xlarge",
        "i8ge.large",
        "hpc7g.4xlarge",
        "r8gb.medium",
        "m9g.large",
        "p6e-gb200.36xlarge",
        "a1.large",
    ],
)
def test_graviton_and_grace_are_arm(name: str) -> None:
    assert architecture(name) is Architecture.ARM64


@pytest.mark.parametrize(
    "name",
    [
        "t3.small",
        "t3a.small",
        "m7i-flex.large",
        "c6a.large",
        "g4dn.xlarge",
        "g6e.xlarge",
        "gr6.4xlarge",
        "p5en.48xlarge",
        "trn1n.32xlarge",
        "u7i-12tb.224xlarge",
        "u-6tb1.metal",
        "i7ie.large",
        "dl2q.24xlarge",
        "p6-b200.48xlarge",
    ],
)
def test_all_others_are_x86(name: str) -> None:
    assert architecture(name) is Architecture.X86_64


def test_a_type_no_container_instance_can_be_is_known() -> None:
    assert obstacle("a1.large") is not None
    assert obstacle("mac2-m2pro.metal") is not None
    assert obstacle("m7g.large") is None


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("t3.small", Size(2048, 1884)),
        ("m7i.large", Size(2048, 7536)),
        ("c7i-flex.large", Size(2048, 3768)),
        ("m8g.medium", Size(1024, 3768)),
        ("r6gd.2xlarge", Size(8192, 60293)),
        ("m5zn.12xlarge", Size(49152, 180879)),
    ],
)
def test_what_is_left_for_tasks_follows_from_the_name(name: str, has: Size) -> None:
    assert size(name) == has


@pytest.mark.parametrize("name", ["x2gd.large", "m4.large", "c5n.large", "t2.small", "t3.huge", "m7i.metal-24xl", "m7"])
def test_of_an_uneven_size_nothing_is_claimed(name: str) -> None:
    assert size(name) is None
