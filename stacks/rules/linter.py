"""cfn-lint over every template of an environment, in this process and with its rules read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from cfnlint.runner.template import run_template_by_data

from stacks.rules.finding import Finding

_SECTIONS_OF_NAMED_THINGS: Final = ("Resources", "Parameters", "Outputs", "Mappings", "Conditions")


def lint(bodies: Mapping[str, str], *, region: str) -> list[Finding]:
    """
    Check templates as text for what cfn-lint calls an error or a warning.

    Args:
        bodies: By the stack's name in the catalog.
        region: Where they are to be deployed: types and values differ by region.
    """
    config = ConfigMixIn(regions=[region])
    rules = Runner(config).rules
    findings: list[Finding] = []
    for stack, body in bodies.items():
        template, unreadable = decode_str(body)
        if not (unreadable or isinstance(template, dict)):
            # What can be read and is no template at all is judged as an empty one: it lacks its resources.
            template, unreadable = decode_str("{}")
        matches = unreadable or run_template_by_data(template, config, rules)
        findings.extend(_findings(stack, matches))
    return sorted(findings)


class _Rule(Protocol):
    @property
    def id(self) -> str: ...


class _Match(Protocol):
    """What we read of a match of cfn-lint, which ships no types."""

    @property
    def rule(self) -> _Rule: ...
    @property
    def message(self) -> str: ...


def _findings(stack: str, matches: Sequence[_Match]) -> Iterator[Finding]:
    for match in matches:
        # A text that could not be read has matches without a path.
        path = [str(part) for part in getattr(match, "path", None) or []]
        is_named = len(path) > 1 and path[0] in _SECTIONS_OF_NAMED_THINGS
        yield Finding(
            stack=stack,
            logical_id=path[1] if is_named else "",
            path=".".join(path[2:] if is_named else path),
            requirement=f"cfn-lint:{match.rule.id}",
            message=match.message,
        )
