"""
What a rule is: one requirement, one small pure function, and the words around it.

The docstring of the function is the requirement's sentence; why it stands and
where from are said where it is declared, and the page of all requirements
(docs/requirements.md) is made of these.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from stacks.access.faults import PolicyFaultError
from stacks.rules.estate import Estate, Fault, Resource, UnresolvedError
from stacks.rules.finding import UNJUDGED, Finding

Judge = Callable[[Estate], Iterable[Fault]]
JudgeOfOne = Callable[[Resource], Iterable[Fault]]
Trial = tuple[Resource | None, Callable[[], Iterable[Fault]]]
"""What is judged, a resource or all there is, and the judging of it."""
_MISSHAPEN: Final = (AttributeError, IndexError, KeyError, TypeError, ValueError)
READABLE: Final = "a value that can be told from the templates"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One requirement and how it is judged.

    Attributes:
        requirement: Its id, `E5`.
        name: The function's.
        sentence: What must hold.
        why: What goes wrong on AWS otherwise; half a sentence, without a full stop.
        source: Where the requirement comes from: the title of AWS's page, or what was measured.
        also: Other registers' ids of the same requirement, `ELB.9`.
        trials: What is judged apart from each other: one resource each, or all templates at once.
    """

    requirement: str
    name: str
    sentence: str
    why: str
    source: str
    also: tuple[str, ...]
    trials: Callable[[Estate], Iterable[Trial]]

    def __call__(self, estate: Estate) -> list[Finding]:
        """Judge the templates of an environment; what cannot be judged is a finding, and hides no other."""
        return [self._finding(fault) for trial in self.trials(estate) for fault in _faults(trial)]

    def _finding(self, fault: Fault) -> Finding:
        return Finding(
            stack=fault.stack,
            logical_id=fault.logical_id,
            path=fault.path,
            requirement=self.requirement,
            message=f"expected {fault.expected}, found {fault.found}",
            why=self.why,
            also=self.also,
            found=fault.found,
            expected=fault.expected,
        )


def rule(requirement: str, *, why: str, source: str, also: Sequence[str] = ()) -> Callable[[Judge], Rule]:
    """Declare a rule over all templates at once; the function's docstring is its sentence."""

    def declare(judge: Judge) -> Rule:
        sentence = inspect.cleandoc(judge.__doc__ or "")
        return Rule(
            requirement,
            judge.__name__,
            sentence,
            why,
            source,
            tuple(also),
            lambda estate: [(None, partial(judge, estate))],
        )

    return declare


def rule_of(
    *types: str, requirement: str, why: str, source: str, also: Sequence[str] = ()
) -> Callable[[JudgeOfOne], Rule]:
    """Declare a rule over each resource of some types; one that cannot be judged does not hide the next."""

    def declare(judge: JudgeOfOne) -> Rule:
        def trials(estate: Estate) -> Iterator[Trial]:
            return ((resource, partial(judge, resource)) for resource in estate.of_type(*types))

        sentence = inspect.cleandoc(judge.__doc__ or "")
        return Rule(requirement, judge.__name__, sentence, why, source, tuple(also), trials)

    return declare


def absent(what: str, *, stack: str = "") -> Fault:
    """Object that there is none of something, anywhere or in a stack."""
    return Fault(stack, "", "", "none", what)


def judge(estate: Estate, rules: Iterable[Rule]) -> list[Finding]:
    """Judge templates by rules; each finding once, in the order of stacks and resources."""
    return sorted({finding for each in rules for finding in each(estate)})


def _faults(trial: Trial) -> Iterator[Fault]:
    resource, run = trial
    try:
        yield from run()
    except UnresolvedError as error:
        whose = error.resource
        yield Fault(whose.stack, whose.logical_id, error.path, f"{UNJUDGED}{error.why}", READABLE)
    except PolicyFaultError as error:
        # Its name says where it lies, for it was taken from a template: `certificate_store.CertificateBucketPolicy`.
        stack, _, rest = error.policy.partition(".")
        why = f"{UNJUDGED}{error.part}: {error.reason}" if error.part else f"{UNJUDGED}{error.reason}"
        yield Fault(stack, rest.split(".")[0], "", why, "a policy that IAM can evaluate")
    except _MISSHAPEN as error:
        # A hand may have written anything; a rule that stumbles over it has not been kept.
        stack, logical_id = (resource.stack, resource.logical_id) if resource else ("", "")
        yield Fault(stack, logical_id, "", f"{UNJUDGED}{type(error).__name__}: {error}", READABLE)
