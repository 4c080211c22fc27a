"""
The parent process: opens the sockets, forks the workers, watches them, ends them.

It runs no event loop and starts no thread, so that a fork is safe at any
moment, also when a worker that died is replaced. It does nothing with a
connection itself. Workers are forked and not spawned: a TLS context cannot be
pickled, and imports are paid for once.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from service.audit import MAX_TEXT, AuditLog, Event
from service.connection.limits import Admissions, SharedCounters
from service.connection.worker import Worker
from service.errors import ApplicationError, ListenError

BACKLOG: Final = 2048
"""Connections the kernel finishes before we accept; Linux cuts it to net.core.somaxconn, 4096 by default."""

FIRST_RESTART_SECONDS: Final = 0.5
LONGEST_RESTART_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A worker that lived this long was well; its end is no sign that the next one fails too."""

STOP_MARGIN_SECONDS: Final = 3.0
"""What a worker may take beyond lame duck and drain before it counts as hung and is killed."""

APPLICATION_FAULT: Final = 78
"""A worker's exit code when its application cannot start (EX_CONFIG): its successor could not either."""

_MAX_FAULT_BYTES: Final = 4096
"""What a pipe takes whole (PIPE_BUF)."""

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class RestartDelay:
    """How long to wait before a worker is replaced: doubles while its successors die young."""

    def __init__(self) -> None:
        self._next = FIRST_RESTART_SECONDS

    def after(self, lived_seconds: float) -> float:
        """Say the wait after a worker that lived this long."""
        if lived_seconds >= STEADY_SECONDS:
            self._next = FIRST_RESTART_SECONDS
        delay, self._next = self._next, min(self._next * 2, LONGEST_RESTART_SECONDS)
        return delay


@dataclass(slots=True)
class _Slot:
    """One place for a worker: the process in it, or when the next one is due."""

    number: int
    delay: RestartDelay
    pid: int | None = None
    began: float = 0.0
    due: float = 0.0


class Listener:
    """The listening sockets and the workers that share them."""

    def __init__(self, worker: Worker, audit: AuditLog, *, workers: int) -> None:
        self._worker = worker
        self._audit = audit
        self._slots = [_Slot(number, RestartDelay()) for number in range(workers)]
        self._counters = SharedCounters(workers)
        self._stop_by: float | None = None
        self._has_failed = False
        self._fault: ApplicationError | None = None

    def run(self, *, traffic: socket.socket, health: socket.socket, announce: Callable[[], None]) -> int:
        """
        Serve until SIGTERM or SIGINT.

        Both sockets listen already; they are closed here when the workers are told to stop, so that after the last
        worker's own copy nobody holds a connection that nobody will accept.

        Args:
            traffic: Listens for peers.
            health: Listens for the load balancer's checks.
            announce: Called once, when peers are answered and a signal is a drain.

        Returns:
            The exit code: 0 when every worker drained, 1 when one had to be killed or failed at it.

        Raises:
            ApplicationError: A worker's application cannot start; the others have drained.
        """
        _allow_open_files()
        # What was made until now stays to the end: no worker need look for rubbish in it, and copy its pages by that.
        gc.freeze()
        lifeline, held = os.pipe()
        self._faults, self._tell = os.pipe()
        with _wakeups() as wakeup:
            self._start_due_workers(traffic, health, lifeline=lifeline, held=held)
            announce()
            while not self._is_over():
                for number in _wait(wakeup, self._seconds_to_next()):
                    if number in _STOP_SIGNALS:
                        self._stop(traffic, health)
                self._reap()
                if self._fault is not None:
                    self._stop(traffic, health)
                self._kill_hung()
                self._start_due_workers(traffic, health, lifeline=lifeline, held=held)
        for end in (held, lifeline, self._faults, self._tell):
            os.close(end)
        if self._fault is not None:
            raise self._fault
        return 1 if self._has_failed else 0

    def _is_over(self) -> bool:
        return self._stop_by is not None and all(slot.pid is None for slot in self._slots)

    def _start_due_workers(self, traffic: socket.socket, health: socket.socket, *, lifeline: int, held: int) -> None:
        if self._stop_by is not None:
            return
        for slot in self._slots:
            if slot.pid is None and slot.due <= time.monotonic():
                slot.began = time.monotonic()
                slot.pid = self._fork(slot.number, traffic, health, lifeline=lifeline, held=held)

    def _fork(self, number: int, traffic: socket.socket, health: socket.socket, *, lifeline: int, held: int) -> int:
        # Blocked over the fork: a signal that found the child with the parent's handlers would be lost. The worker
        # lets SIGTERM in when it has a handler of its own, so that one sent at any moment is a drain.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(held)
            self._become_worker(number, traffic, health, lifeline=lifeline)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _become_worker(self, number: int, traffic: socket.socket, health: socket.socket, *, lifeline: int) -> None:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Ctrl-C reaches the whole terminal group; the parent turns it into SIGTERM for us.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            admissions = Admissions(self._counters, self._worker.doorway.limits, worker=number)
            self._worker.run(traffic=traffic, health=health, lifeline=lifeline, admissions=admissions)
            code = 0
        except ApplicationError as error:
            code = APPLICATION_FAULT
            os.write(self._tell, json.dumps([error.reference, error.cause[:MAX_TEXT]]).encode() + b"\n")
        except BaseException:  # noqa: BLE001 -- the edge of a process
            traceback.print_exc()
        finally:
            self._audit.finish()
            sys.stderr.flush()
            # Not sys.exit: what the parent registered to run at its end is the parent's.
            os._exit(code)

    def _stop(self, traffic: socket.socket, health: socket.socket) -> None:
        if self._stop_by is not None:
            return
        patience = self._worker.lame_duck_seconds + self._worker.drain_seconds + STOP_MARGIN_SECONDS
        self._stop_by = time.monotonic() + patience
        traffic.close()
        health.close()
        for slot in self._slots:
            _send(slot.pid, signal.SIGTERM)

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.pid is None:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid:
                self._note_end(slot, os.waitstatus_to_exitcode(status))

    def _note_end(self, slot: _Slot, code: int) -> None:
        now = time.monotonic()
        pid, slot.pid = slot.pid, None
        if code == APPLICATION_FAULT:
            self._has_failed, self._fault = True, self._fault or self._read_fault()
        self._counters.clear(slot.number)
        if self._stop_by is not None or self._fault is not None:
            self._has_failed |= code != 0
            return
        wait = slot.delay.after(now - slot.began)
        slot.due = now + wait
        self._audit.record(Event.WORKER_ENDED, worker=pid, exit_code=code, restart_in_seconds=wait)

    def _read_fault(self) -> ApplicationError:
        """Read what the first worker said that could not start; it has ended, so it has said it."""
        reference, cause = json.loads(os.read(self._faults, _MAX_FAULT_BYTES).splitlines()[0])
        return ApplicationError(reference=reference, cause=cause)

    def _kill_hung(self) -> None:
        if self._stop_by is not None and time.monotonic() > self._stop_by:
            for slot in self._slots:
                _send(slot.pid, signal.SIGKILL)

    def _seconds_to_next(self) -> float | None:
        """Until when to sleep if no signal comes: the next restart, or the moment patience ends."""
        now = time.monotonic()
        if self._stop_by is not None:
            return max(self._stop_by - now, 0.05)
        due = [slot.due for slot in self._slots if slot.pid is None]
        return max(min(due) - now, 0.0) if due else None


@contextlib.contextmanager
def open_listening_socket(address: str, port: int) -> Iterator[socket.socket]:
    """
    Bind and listen; the socket is closed at the end.

    Raises:
        ListenError: The port is taken, or not allowed, or the address is not ours.
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET  # noqa: PLR2004 -- IPv6
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, port))
            listening.listen(BACKLOG)
        except OSError as error:
            raise ListenError(address=address, port=port, error=error) from error
        listening.settimeout(0)
        yield listening


def _allow_open_files() -> None:
    """Take as many descriptors as we may have: a connection is one each, and many systems begin with 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def _wakeups() -> Iterator[socket.socket]:
    """Turn the signals of a parent process into readable bytes, each the signal's number."""
    readable, writable = socket.socketpair()
    readable.settimeout(0)
    writable.settimeout(0)
    numbers = (*_STOP_SIGNALS, signal.SIGCHLD)
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
    signal.set_wakeup_fd(writable.fileno(), warn_on_full_buffer=False)
    try:
        yield readable
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        readable.close()
        writable.close()


def _wait(wakeup: socket.socket, seconds: float | None) -> bytes:
    ready, _, _ = select.select([wakeup], [], [], seconds)
    return wakeup.recv(4096) if ready else b""


def _send(pid: int | None, number: signal.Signals) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
