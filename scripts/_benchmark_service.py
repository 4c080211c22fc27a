"""
What the service costs, beside what its peers cost for the same work.

Every server has one core for itself, everything else the other. Each of them
writes one line for each request to a file, and no figure is given unless every
request was answered with 200 and has its line.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scripts._benchmark_figures import Absent, Figure, Rounds, median, ratio
from scripts._benchmark_load import Job, Mode
from scripts._benchmark_servers import (
    NGINX,
    NODE,
    OURS,
    Server,
    find_nginx,
    find_node,
    load_core,
    pinned,
    serve_nginx,
    serve_node,
    serve_ours,
)
from scripts._benchmark_stage import (
    P256,
    PEER_CLIENTS,
    RSA_2048,
    WITNESS,
    Dialog,
    Stage,
    dialog,
    load,
    numbered_client,
    open_stage,
)
from service.contract import Variable

PROC: Final = Path("/proc/self/smaps_rollup")
"""What this system must have, for its processes to be measured."""

Progress = Callable[[str], None]

_PATIENCE_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.001
_SPARE_FILES: Final = 200
_HEAD_BYTES: Final = 4096

_FEW, _MANY = 1_000, 1_000_000
_HELD_CLIENTS: Final = 1_000
"""Clients that come, drawn from all: so many in the small registry are all there are."""

_DRAW_SECONDS: Final = 2.0

_CACHE_ENTRIES: Final = "64"
"""Small in both, so that nearly every request asks the registry; its share of hits also shows that it is kept."""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of load, by what its figures are called."""

    name: str
    mode: Mode
    client: str
    seconds: float


WORKS: Final = (
    Work("handshake", Mode.NEW, P256, 1.5),
    Work("handshake_rsa", Mode.NEW, RSA_2048, 0.8),
    Work("keepalive", Mode.KEEP, P256, 1.0),
)

IDLE_CONNECTIONS: Final = 5_000


def measure(rounds: int, progress: Progress) -> Iterator[Figure]:
    """Give every figure of the service, each as soon as it is there."""
    if not PROC.exists():
        reason = "CPU time and memory of a process are read from /proc, which this system has not"
        for name, unit in _NAMES.items():
            yield Figure(name, None, unit, reason=reason)
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with pinned(load_core()):
        with open_stage() as stage:
            progress(f"boot, {rounds} rounds")
            yield from measure_boot(stage, rounds)
            progress(f"handshakes and requests, {rounds} rounds")
            yield from measure_requests(stage, rounds)
            progress(f"memory of {IDLE_CONNECTIONS} idle connections, {rounds} rounds")
            yield from measure_memory(stage, rounds)
        progress(f"a registry of {_MANY} clients, {rounds} rounds")
        yield from measure_registry(rounds)


_NAMES: Final = {
    "boot_seconds": "s",
    "handshake_vs_node": "ratio",
    "handshake_vs_nginx": "ratio",
    "keepalive_vs_node": "ratio",
    "keepalive_vs_nginx": "ratio",
    "idle_memory_vs_node": "ratio",
    "registry_1m_vs_1k": "ratio",
}
"""What is compared with a limit or a peer; the rest tells where these come from."""


# -- boot ------------------------------------------------------------------------


def measure_boot(stage: Stage, rounds: int) -> Iterator[Figure]:
    """Start the service anew each round, with a client that waits already."""
    handshakes, answers, spent = [], [], []
    context = ssl.create_default_context(cafile=str(stage.directory / "authority.crt"))
    context.load_cert_chain(stage.directory / f"{P256}.crt", stage.directory / f"{P256}.key")
    for _ in range(rounds):
        with serve_ours(stage) as server, _first_connection(server, context, stage.host_name) as connection:
            handshakes.append(time.monotonic() - server.began)
            spent.append(server.cpu_seconds())
            connection.sendall(f"GET / HTTP/1.1\r\nhost: {stage.host_name}\r\n\r\n".encode())
            if not connection.recv(_HEAD_BYTES).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("the first request was not answered with 200")
            answers.append(time.monotonic() - server.began)
    yield median("boot_seconds", handshakes, "s")
    yield median("boot_to_answer_seconds", answers, "s")
    yield median("boot_cpu_seconds", spent, "s")


@contextlib.contextmanager
def _first_connection(server: Server, context: ssl.SSLContext, host_name: str) -> Iterator[ssl.SSLSocket]:
    with socket.create_connection(server.address, timeout=_PATIENCE_SECONDS) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.sendall(f"PROXY TCP4 192.0.2.7 127.0.0.1 40000 {server.address[1]}\r\n".encode())
        with context.wrap_socket(plain, server_hostname=host_name) as connection:
            yield connection


# -- handshakes and requests ---------------------------------------------------------


def measure_requests(stage: Stage, rounds: int, works: Sequence[Work] = WORKS) -> Iterator[Figure]:
    """Let all servers do all work in each round."""
    costs: dict[tuple[str, str], list[float]] = {}
    delays: list[float] = []
    with contextlib.ExitStack() as running:
        servers, absent = _start_all(stage, running)
        for number in range(rounds + 1):
            for work in works:
                for server in servers:
                    cost, seen = _cost(stage, server, work)
                    if number == 0:
                        continue  # to warm up: Node compiles what it has seen often
                    costs.setdefault((work.name, server.name), []).append(cost)
                    delays += seen if server.name == OURS else ()
    yield from _compare([work.name for work in works], costs, absent)
    yield Figure("line_delay_ms", max(delays) * 1e3, "ms")


def _start_all(stage: Stage, running: contextlib.ExitStack) -> tuple[list[Server], Mapping[str, Absent]]:
    servers, absent = [running.enter_context(serve_ours(stage))], {}
    node, nginx = find_node(), find_nginx()
    if isinstance(node, Absent):
        absent[NODE] = node
    else:
        servers.append(running.enter_context(serve_node(stage, node)))
    if isinstance(nginx, Absent):
        absent[NGINX] = nginx
    else:
        servers.append(running.enter_context(serve_nginx(stage, nginx)))
    return servers, absent


def _cost(stage: Stage, server: Server, work: Work) -> tuple[float, list[float]]:
    """Give the CPU time of one request in seconds, and how long after their answers lines came."""
    before, position = server.cpu_seconds(), server.lines_end()
    done = load(
        Job(
            work.mode,
            server.address,
            stage.host_name,
            str(stage.directory),
            (work.client,),
            has_proxy_header=server.has_proxy_header,
            seconds=work.seconds,
            witness=WITNESS,
            lines=str(server.lines),
        )
    )
    spent = server.cpu_seconds() - before
    server.await_lines(done["answered"], beyond=position)
    return spent / done["answered"], done["delays"]


def _compare(
    works: Sequence[str], costs: Mapping[tuple[str, str], Rounds], absent: Mapping[str, Absent]
) -> Iterator[Figure]:
    def of(work: str, server: str) -> Rounds | Absent:
        return absent[server] if server in absent else costs[work, server]

    for work in works:
        for peer in (NODE, NGINX):
            yield ratio(f"{work}_vs_{peer}", costs[work, OURS], of(work, peer))
    for work in works:
        for server in (OURS, NODE, NGINX):
            spent = of(work, server)
            scaled = spent if isinstance(spent, Absent) else [each * 1e6 for each in spent]
            yield median(f"{work}_{server}_us", scaled, "us")


# -- memory ---------------------------------------------------------------------------


def measure_memory(stage: Stage, rounds: int, connections: int = IDLE_CONNECTIONS) -> Iterator[Figure]:
    """Start each server anew each round, and have it hold idle connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    node: str | Absent = find_node()
    if soft < connections + _SPARE_FILES:
        reason = f"a process may open {soft} files here, {connections + _SPARE_FILES} are needed: ulimit -Hn"
        yield Figure("idle_memory_vs_node", None, "ratio", reason=reason)
        return
    ours, theirs = [], []
    for _ in range(rounds):
        with serve_ours(stage) as server:
            ours.append(_idle_kib(stage, server, connections))
        if not isinstance(node, Absent):
            with serve_node(stage, node) as server:
                theirs.append(_idle_kib(stage, server, connections))
    compared = node if isinstance(node, Absent) else theirs
    yield ratio("idle_memory_vs_node", ours, compared)
    yield median("idle_memory_ours_kib", ours, "KiB")
    yield median("idle_memory_node_kib", compared, "KiB")


def _idle_kib(stage: Stage, server: Server, connections: int) -> float:
    """Give the memory of one connection that has been used and is silent."""
    job = Job(
        Mode.NEW, server.address, stage.host_name, str(stage.directory), (P256,), server.has_proxy_header, seconds=0.001
    )
    load(job)  # what a server takes once, with its first connections
    before = server.memory_kib()
    held = replace(job, mode=Mode.HOLD, connections=connections)
    with dialog("scripts._benchmark_load", held.render()) as holding:
        count = int(holding.read()["answered"])
        time.sleep(_SETTLE_SECONDS)
        return (server.memory_kib() - before) / count


# -- the registry -----------------------------------------------------------------------


def measure_registry(rounds: int, sizes: tuple[int, int] = (_FEW, _MANY)) -> Iterator[Figure]:
    """Let clients of a small and of a large registry ask in turn."""
    few, many = sizes
    costs: dict[int, list[float]] = {few: [], many: []}
    misses: dict[int, list[float]] = {few: [], many: []}
    with contextlib.ExitStack() as running:
        houses = {size: running.enter_context(_registry(size)) for size in sizes}
        for _ in range(rounds):
            for size, house in houses.items():
                cost, missed = house.draw()
                costs[size].append(cost)
                misses[size].append(missed)
    yield ratio("registry_1m_vs_1k", costs[many], costs[few])
    for size, name in ((few, "1k"), (many, "1m")):
        yield median(f"registry_{name}_us", [each * 1e6 for each in costs[size]], "us")
        yield median(f"registry_{name}_miss_share", misses[size], "ratio")
        # Of evenly drawn clients a cache of N entries knows N of all, so its hits tell how many it holds.
        held = (1 - statistics.fmean(misses[size])) * _HELD_CLIENTS
        yield Figure(f"registry_{name}_cached", held, "entries")


@dataclass(frozen=True, slots=True)
class _House:
    """A service before a registry, with all its clients connected."""

    stage: Stage
    server: Server
    clients: Dialog

    def draw(self) -> tuple[float, float]:
        """Let clients drawn at random ask; gives the CPU seconds of a request and the share that asked the registry."""
        before, position, looked = self.server.cpu_seconds(), self.server.lines_end(), self.stage.lookups()
        answered = self.clients.ask()["answered"]
        spent = self.server.cpu_seconds() - before
        self.server.await_lines(answered, beyond=position)
        return spent / answered, (self.stage.lookups() - looked) / answered


@contextlib.contextmanager
def _registry(size: int) -> Iterator[_House]:
    patient = {Variable.REGISTRY_CACHE_ENTRIES: _CACHE_ENTRIES, Variable.IDLE_TIMEOUT_SECONDS: "300"}
    with (
        open_stage(clients=size, certificates=_HELD_CLIENTS - len(PEER_CLIENTS)) as stage,
        serve_ours(stage, **patient) as server,
    ):
        job = Job(
            Mode.HOLD,
            server.address,
            stage.host_name,
            str(stage.directory),
            (*PEER_CLIENTS, *map(numbered_client, range(_HELD_CLIENTS - len(PEER_CLIENTS)))),
            has_proxy_header=True,
            seconds=_DRAW_SECONDS,
            connections=_HELD_CLIENTS,
        )
        with dialog("scripts._benchmark_load", job.render()) as clients:
            clients.read()
            yield _House(stage, server, clients)
