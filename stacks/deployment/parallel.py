"""
A graph of work, walked with a few threads: what is independent goes at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

from stacks.deployment.polling import Clock
from stacks.deployment.schedule import Schedule

CONCURRENCY: Final = 5
"""Stacks at a time: CloudFormation throttles an account that starts many at once, and our graph is no wider."""


def walk(
    needs: Mapping[str, frozenset[str]],
    work: Callable[[str], bool],
    *,
    skip: Callable[[str, str], None],
    clock: Clock,
) -> None:
    """
    Do the work of every name after that of the names it needs.

    Args:
        needs: The graph, in dependency order.
        work: Does one name's work; false stops those that need it.
        skip: Told of a name that will not come, and of the one that stopped it.
        clock: Its waits end when the operator interrupts.

    Raises:
        KeyboardInterrupt: The operator let go; no thread is left running.
    """
    schedule = Schedule(needs)
    running: dict[Future[bool], str] = {}
    with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="stack") as threads:
        try:
            while True:
                for name in schedule.take_ready():
                    running[threads.submit(work, name)] = name
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(done)
                    if done.result():
                        schedule.succeed(name)
                    else:
                        for other in schedule.stop(name):
                            skip(other, name)
        except BaseException:  # KeyboardInterrupt above all: the threads wait on the clock and must wake
            clock.let_go()
            raise
