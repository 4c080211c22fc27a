"""
What the name of an EC2 instance type tells: its processor, and often its size.

Names follow a convention (EC2 instance type guide, naming conventions): family,
generation, letters for processor and features, size. So families of later
years are understood without a list of them; of what a name does not tell,
nothing is claimed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stacks.environment import Architecture

_NAME: Final = re.compile(
    r"(?P<family>[a-z]+)(?P<generation>\d+)(?P<letters>[a-z]*)(?P<more>(-[a-z0-9]+)*)\.(?P<size>.+)"
)
_SIZE: Final = re.compile(r"nano|micro|small|medium|large|\d*xlarge|metal(-\d+xl)?")
"""Every size there is (EC2 instance type guide, naming conventions); those of u- families are metal or multiples."""
_MULTIPLE: Final = re.compile(r"(?P<count>\d*)xlarge")
_GIB: Final = 1024
_MEMORY_FOR_EACH_VCPU_GIB: Final = {"c": 2, "m": 4, "r": 8}
_BURSTABLE: Final = {
    "nano": (2, 0.5),
    "micro": (2, 1),
    "small": (2, 2),
    "medium": (2, 4),
    "large": (2, 8),
    "xlarge": (4, 16),
    "2xlarge": (8, 32),
}
"""Processors, and memory in GiB, of t3, t3a and t4g; t2 has fewer processors."""
_FIRST_NITRO_GENERATION: Final = 5
_CPU_UNITS: Final = 1024
_OF_MEMORY_FOR_TASKS: Final = 0.92
"""What the kernel and the ECS agent leave of it; a t3.small of 2,048 MiB registers about 1,900."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one instance has for tasks."""

    cpu_units: int
    memory_mib: int


def is_instance_type(text: str) -> bool:
    """Tell whether this may be an instance type: any family, but a size that AWS has."""
    family, _, size = text.partition(".")
    return re.fullmatch(r"[a-z][a-z0-9-]*\d[a-z0-9-]*", family) is not None and _SIZE.fullmatch(size) is not None


def architecture(instance_type: str) -> Architecture:
    """
    Tell the processor: a `g` right after the generation is Graviton, and so is the first family of them, `a1`.

    Grace, of NVIDIA, is the one other Arm processor of EC2, and stands behind a hyphen: `p6e-gb200`.
    """
    is_arm = re.match(r"[a-z]+\d+g|a1\.|[a-z]+\d+[a-z]*-gb\d+", instance_type) is not None
    return Architecture.ARM64 if is_arm else Architecture.X86_64


def obstacle(instance_type: str) -> str | None:
    """Say why no instance of this type can be an ECS one of ours; None where nothing is known against it."""
    if instance_type.startswith("a1."):
        return "a1 is older than Amazon Linux 2023 takes: its first Graviton is Graviton2"
    if instance_type.startswith("mac"):
        return "a Mac runs on a host of its own and not in an Auto Scaling group of Linux"
    return None


def size(instance_type: str) -> Size | None:
    """Tell what an instance of a well-known family has for tasks; None where the name does not say."""
    name = _NAME.fullmatch(instance_type)
    if name is None:
        return None
    if name["family"] == "t" and name["generation"] != "2":
        return _burstable(name["size"])
    memory = _MEMORY_FOR_EACH_VCPU_GIB.get(name["family"])
    # Before, sizes were less even; and a c5n has more memory than its name says.
    if memory is None or int(name["generation"]) < _FIRST_NITRO_GENERATION or name.group(1, 2, 3) == ("c", "5", "n"):
        return None
    vcpus = _vcpus(name["size"])
    return _size(vcpus, vcpus * memory) if vcpus is not None else None


def _burstable(size: str) -> Size | None:
    known = _BURSTABLE.get(size)
    return _size(*known) if known else None


def _vcpus(size: str) -> int | None:
    if size in {"medium", "large"}:
        return {"medium": 1, "large": 2}[size]
    multiple = _MULTIPLE.fullmatch(size)
    return 4 * int(multiple["count"] or 1) if multiple else None


def _size(vcpus: int, memory_gib: float) -> Size:
    return Size(vcpus * _CPU_UNITS, int(memory_gib * _GIB * _OF_MEMORY_FOR_TASKS))
