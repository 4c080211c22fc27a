"""All promises of an environment."""

from __future__ import annotations

from collections.abc import Iterator

from stacks.agreement.answering import answering_promises
from stacks.agreement.capacity import capacity_promises
from stacks.agreement.ingress import ingress_promises
from stacks.agreement.names import name_promises, tag_promises
from stacks.agreement.network import network_promises
from stacks.agreement.people import alarm_promises, deployer_promises
from stacks.agreement.promise import Promise
from stacks.agreement.tokens import token_promises
from stacks.environment import Environment


def promises(environment: Environment, file_name: str) -> Iterator[Promise]:
    """Give every promise of an environment whose file has this name, kept or broken."""
    yield Promise(
        ("name",), environment.name == file_name, f'"{file_name}", the name of the file', f'"{environment.name}"'
    )
    yield from name_promises(environment)
    yield from tag_promises(environment.tags)
    yield from network_promises(environment)
    yield from ingress_promises(environment)
    yield from answering_promises(environment)
    yield from token_promises(environment)
    yield from capacity_promises(environment)
    yield from alarm_promises(environment)
    yield from deployer_promises(environment)
