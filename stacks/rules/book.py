"""
Every rule there is, and every requirement without one, theme by theme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stacks.environment import Environment
from stacks.rules import (
    access_log,
    access_matrix,
    audit_trail,
    balanced_ports,
    buckets,
    capacity,
    delivery,
    deployer,
    identity,
    images,
    instances,
    joints,
    keys,
    load_balancer,
    network,
    observability,
    policies,
    reach,
    registry,
    security_groups,
    stores,
    tasks,
    told_events,
    trust,
    updates,
    vpc_endpoints,
    workload,
)
from stacks.rules.estate import Estate
from stacks.rules.finding import Finding
from stacks.rules.identities import Place
from stacks.rules.register import Entry
from stacks.rules.resolving import Body
from stacks.rules.rule import Rule, judge

THEMES: Final = (
    joints,
    load_balancer,
    balanced_ports,
    access_log,
    security_groups,
    network,
    vpc_endpoints,
    workload,
    tasks,
    capacity,
    instances,
    buckets,
    stores,
    keys,
    registry,
    policies,
    identity,
    trust,
    deployer,
    reach,
    access_matrix,
    observability,
    delivery,
    told_events,
    audit_trail,
    images,
    updates,
)
"""The modules of rules, in the order of the page of requirements."""
RULES: Final[tuple[Rule, ...]] = tuple(rule for theme in THEMES for rule in theme.RULES)
ENTRIES: Final[tuple[Entry, ...]] = tuple(entry for theme in THEMES for entry in theme.ENTRIES)


def find_faults(bodies: Mapping[str, Body], environment: Environment) -> list[Finding]:
    """
    Judge all templates of an environment by all rules.

    Args:
        bodies: By the stack's name in the catalog; all of them, for rules judge what stands between stacks.
        environment: Whose they are.
    """
    return judge(Estate(bodies, Place.of(environment)), RULES)
