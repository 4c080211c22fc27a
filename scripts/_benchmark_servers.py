"""
The servers of the benchmark: ours as a task runs it, and the peers, each a process on a core of its own.

What a server costs is read from the operating system: the CPU time of its
processes, user and system, and the memory that is theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts import _terminal
from scripts._benchmark_figures import Absent
from scripts._benchmark_stage import PEER_CLIENTS, Stage
from service.contract import OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE, ProxyProtocol, Variable
from stacks import naming

_PEERS: Final = _terminal.ROOT / "tools" / "peers"
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 20.0
_LINE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.001

OURS, NODE, NGINX = "ours", "node", "nginx"


@dataclass(frozen=True, slots=True)
class Server:
    """
    A server that is up.

    Attributes:
        lines: Where it writes one line for each request.
        mark: Stands once in each of those lines, and in no other.
        has_proxy_header: Whether it demands one.
        began: When its process was started, on the monotonic clock.
    """

    name: str
    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    lines: Path
    mark: bytes
    has_proxy_header: bool
    began: float

    def cpu_seconds(self) -> float:
        """Sum the CPU time of all threads of all its processes, to the nanosecond."""
        return sum(time.clock_gettime(_cpu_clock(pid)) for pid in self._pids())

    def memory_kib(self) -> float:
        """Sum what is its own and its share of what its processes have in common (proc(5), `Pss`)."""
        return sum(_pss_kib(pid) for pid in self._pids())

    def count_lines(self, *, beyond: int) -> int:
        """Count the requests in its file from a position on."""
        with self.lines.open("rb") as lines:
            lines.seek(beyond)
            return lines.read().count(self.mark)

    def lines_end(self) -> int:
        """Give the position where its file ends now."""
        return self.lines.stat().st_size

    def await_lines(self, expected: int, *, beyond: int) -> None:
        """
        Wait until as many requests are written as were answered.

        Raises:
            RuntimeError: There are fewer after a moment, or more.
        """
        deadline = time.monotonic() + _LINE_SECONDS
        while (found := self.count_lines(beyond=beyond)) < expected and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if found != expected:
            raise RuntimeError(f"{self.name} answered {expected} requests and wrote {found} lines")

    def _pids(self) -> list[int]:
        found, parents = [self.process.pid], [self.process.pid]
        while parents:
            parent = parents.pop()
            children = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
            found += children
            parents += children
        return found


def _cpu_clock(pid: int) -> int:
    """Find the clock of another process (clock_getcpuclockid(3)); Python knows only those of its own threads."""
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return clock.value


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"no Pss of process {pid}")


# -- cores -------------------------------------------------------------------------


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def server_core() -> int:
    """Choose where servers run."""
    return min(os.sched_getaffinity(0))


def load_core() -> int:
    """Choose where everything else runs; the same one on a machine that has no other."""
    return max(os.sched_getaffinity(0))


# -- ours ----------------------------------------------------------------------------


@contextlib.contextmanager
def serve_ours(stage: Stage, **changed: str) -> Iterator[Server]:
    """Run the service with one worker and the settings of a task: header demanded, limits, policy and audit on."""
    environment, port = stage.environment, _free_port()
    variables = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": environment.region,
        "AWS_ENDPOINT_URL": stage.endpoint_url,
        "PATH": os.defpath,
        OPENSSL_CONF_VARIABLE: OPENSSL_CONF_FILE,
        Variable.ENVIRONMENT_NAME: environment.name,
        Variable.HOST_NAME: environment.ingress.host_name,
        Variable.CERTIFICATE_BUCKET: naming.certificate_bucket(environment),
        Variable.CERTIFICATE_BUCKET_OWNER: environment.account,
        Variable.CLIENT_REGISTRY_TABLE: naming.client_registry_table(environment),
        Variable.PROXY_PROTOCOL: ProxyProtocol.REQUIRED,
        Variable.BIND_ADDRESS: "127.0.0.1",
        Variable.TRAFFIC_PORT: str(port),
        Variable.HEALTH_PORT: "0",
        Variable.WORKERS: "1",
        Variable.LAME_DUCK_SECONDS: "0",
        Variable.DRAIN_SECONDS: "1",
        **changed,
    }
    plan = _Plan(OURS, [sys.executable, "-m", "service"], mark=b'"event":"request"', has_proxy_header=True)
    with _running(plan, stage, port, variables=variables) as server:
        yield server


# -- the peers -----------------------------------------------------------------------


def find_node() -> str | Absent:
    """Find the machine's own, or the one that `make peers` put into an environment of its own."""
    found = shutil.which("node") or shutil.which("node", path=str(_terminal.ROOT / ".venv-node" / "bin"))
    return found or Absent("node is not installed: make peers")


def find_nginx() -> str | Absent:
    """Find the machine's own, also where a user's PATH does not lead, or the one that `make peers` unpacked."""
    elsewhere = ("/usr/local/sbin", "/usr/sbin", str(_terminal.ROOT / ".peers" / "nginx" / "usr" / "sbin"))
    found = shutil.which("nginx") or shutil.which("nginx", path=os.pathsep.join(elsewhere))
    return found or Absent("nginx is not installed: make peers")


@contextlib.contextmanager
def serve_node(stage: Stage, node: str) -> Iterator[Server]:
    """Run Node's https with a Map."""
    port = _free_port()
    command = [node, str(_PEERS / "node.js"), str(stage.directory), str(port), *PEER_CLIENTS]
    with _running(_Plan(NODE, command, mark=b'"event":"request"'), stage, port) as server:
        yield server


@contextlib.contextmanager
def serve_nginx(stage: Stage, nginx: str) -> Iterator[Server]:
    """Run nginx with a map of SHA-1 fingerprints."""
    port = _free_port()
    clients = "\n".join(f'    "{stage.sha1(name)}" "{name}";' for name in PEER_CLIENTS)
    text = (_PEERS / "nginx.conf").read_text().replace("@port@", str(port)).replace("@clients@", clients)
    (stage.directory / "nginx.conf").write_text(text)
    # As root its worker would be another user, who may not enter our directory.
    directives = "user root;" if os.geteuid() == 0 else ""
    errors = str(stage.directory / "nginx.err")
    command = [nginx, "-p", str(stage.directory), "-c", "nginx.conf", "-e", errors, "-g", directives]
    plan = _Plan(NGINX, command, mark=b'"event":"request"', lines="nginx.lines")
    with _running(plan, stage, port) as server:
        yield server


# -- processes -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a server is started; `lines` is where it writes its lines by itself, None if on standard output."""

    name: str
    command: Sequence[str]
    mark: bytes
    has_proxy_header: bool = False
    lines: str | None = None


@contextlib.contextmanager
def _running(plan: _Plan, stage: Stage, port: int, *, variables: Mapping[str, str] | None = None) -> Iterator[Server]:
    output = stage.directory / f"{plan.name}.out"
    lines = output if plan.lines is None else stage.directory / plan.lines
    lines.unlink(missing_ok=True)
    with output.open("ab") as out, pinned(server_core()):
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 -- our own service, and peers found on this machine
            plan.command, cwd=_terminal.ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=out
        )
    address = ("127.0.0.1", port)
    try:
        _await_port(process, address, name=plan.name)
        yield Server(plan.name, process, address, lines, plan.mark, plan.has_proxy_header, began)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(process: subprocess.Popen[bytes], address: tuple[str, int], *, name: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(address, timeout=1):
            return
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"{name} did not start")


def _free_port() -> int:
    """Find a port nobody listens on at this moment; nginx cannot choose one by itself and tell."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
