"""
How many processors this task may use, so that it has a worker for each.

What the machine has is not what the task has: it may be kept to some of them
(cpuset, which the affinity shows), or to a share of time (the quota of its
control group). CPU units of ECS on EC2 are neither: they are a weight, and a
task alone on its instance has all of it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP: Path = Path("/sys/fs/cgroup")


def count_processors(cgroup: Path = _CGROUP) -> int:
    """Count them, at least one: those we may run on, but no more than our quota keeps busy."""
    # macOS has no affinity.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Read how many processors' worth of time we may have: cgroup v2's `cpu.max`, v1's `cpu.cfs_*`; None for no end."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        microseconds, each = int(quota), int(period)
    except (OSError, ValueError):
        # Not there, or `max`.
        return None
    return microseconds / each if microseconds > 0 and each > 0 else None
