"""cfn-lint over every template of an environment, in this process and with its rules read once."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Final, Protocol

from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from cfnlint.runner.template import run_template_by_data

from stacks.rules.finding import Finding

_SECTIONS_OF_NAMED_THINGS: Final = ("Resources", "Parameters", "Outputs", "Mappings", "Conditions")


def lint(bodies: Mapping[str, str], *, region: str, processes: int = 1) -> list[Finding]:
    """
    Check templates as text for what cfn-lint calls an error or a warning.

    Args:
        bodies: By the stack's name in the catalog.
        region: Where they are to be deployed: types and values differ by region.
        processes: How many share the work; more than one only where no thread runs, for they are forked.
    """
    config, rules = ConfigMixIn(regions=[region]), get_ready()

    def judge(stacks: Sequence[str]) -> list[Finding]:
        return [finding for stack in stacks for finding in _judge(stack, bodies[stack], config, rules)]

    if processes == 1:
        return sorted(judge(list(bodies)))
    return sorted(_side_by_side(judge, _shares(bodies, processes)))


@cache
def get_ready() -> object:
    """Read the linter's rules, which takes as long as judging three templates by them; the same for every region."""
    return Runner(ConfigMixIn()).rules


def _judge(stack: str, body: str, config: object, rules: object) -> list[Finding]:
    template, unreadable = decode_str(body)
    if not (unreadable or isinstance(template, dict)):
        # What can be read and is no template at all is judged as an empty one: it lacks its resources.
        template, unreadable = decode_str("{}")
    return list(_findings(stack, unreadable or run_template_by_data(template, config, rules)))


def _shares(bodies: Mapping[str, str], count: int) -> list[list[str]]:
    """Share out the stacks so that each share is about as long as the others, the longest template first."""
    shares: list[list[str]] = [[] for _ in range(count)]
    for stack in sorted(bodies, key=lambda name: len(bodies[name]), reverse=True):
        min(shares, key=lambda share: sum(len(bodies[each]) for each in share)).append(stack)
    return [share for share in shares if share]


def _side_by_side(judge: Callable[[Sequence[str]], list[Finding]], shares: Sequence[Sequence[str]]) -> list[Finding]:
    """Judge each share in a process of its own, which has the linter's rules from this one already."""
    fork = multiprocessing.get_context("fork")
    running = []
    for share in shares:
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(target=_tell, args=(theirs, judge, share), daemon=True)
        process.start()
        theirs.close()
        running.append((process, ours))
    findings: list[Finding] = []
    for process, ours in running:
        with ours:
            findings += ours.recv()  # one that died without an answer ends this with EOFError
        process.join()
    return findings


def _tell(answer: Connection, judge: Callable[[Sequence[str]], list[Finding]], share: Sequence[str]) -> None:
    gc.disable()  # a sixth of the time, in a process that ends before it would need the room
    with answer:
        answer.send(judge(share))


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
