"""
Measure this machine's figures: `make benchmark`, or `make benchmark ARGS=--json`.

The figure to compare by is CPU time of the server's processes for each
request, read from the operating system: rates say more about who else uses
the machine. Each figure is the median of several rounds.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # run as a file: the packages lie one directory up
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from scripts import _terminal

_LOAD_SECONDS: Final = 3.0
_CLIENT: Final = "benchmark-client"
_START_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; a value of None comes with the reason why there is none."""

    name: str
    value: float | None
    unit: str
    limit: float | None = None
    reason: str | None = None


def main(arguments: Sequence[str], terminal: _terminal.Terminal) -> int:
    """Measure what was asked for; 1 if a figure is over its limit."""
    options = parser().parse_args(arguments)
    figures: list[Figure] = []
    for part, measure in (("deploy", _measure_deploy), ("service", _measure_service)):
        if options.only in {None, part}:
            terminal.progress(f"measuring {part}, {options.rounds} rounds each")
            for figure in measure(options.rounds):
                _show(figure, terminal, as_json=options.json)
                figures.append(figure)
    return int(any(f.value is not None and f.limit is not None and f.value > f.limit for f in figures))


def parser() -> _terminal.Parser:
    """Describe the command line."""
    whole = _terminal.Parser(prog="benchmark.py", description="Measure this machine's figures.")
    whole.add_argument("--only", choices=("service", "deploy"), help="half of it")
    whole.add_argument("--json", action="store_true", help="one line of JSON for each figure")
    whole.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds of each figure (default 5)")
    whole.add_argument("--debug", action="store_true", help="show a traceback on errors")
    return whole


def _show(figure: Figure, terminal: _terminal.Terminal, *, as_json: bool) -> None:
    if as_json:
        record = {"type": "figure", "name": figure.name, "value": figure.value, "limit": figure.limit}
        terminal.record(record | {"unit": figure.unit} | ({"reason": figure.reason} if figure.reason else {}))
        return
    value = figure.reason if figure.value is None else f"{figure.value:.3f} {figure.unit}"
    limit = f"  (limit {figure.limit:g})" if figure.limit is not None else ""
    terminal.out(f"{figure.name:32} {value}{limit}")


# -- deploy.py ---------------------------------------------------------------


def _measure_deploy(rounds: int) -> Iterator[Figure]:
    script = str(_terminal.ROOT / "scripts" / "deploy.py")
    yield _timed("help_seconds", rounds, lambda: _run(script, "--help"))
    with tempfile.TemporaryDirectory() as directory:
        fresh = (str(Path(directory) / str(number)) for number in range(rounds))
        yield _timed(
            "synth_seconds", rounds, lambda: _run(script, "synth", "--env", "production", "--out", next(fresh))
        )
    yield _timed("check_seconds", rounds, lambda: _run(script, "check", "--env", "production"))


def _timed(name: str, rounds: int, work: Callable[[], None]) -> Figure:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return Figure(name, statistics.median(seconds), "s")


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 -- our own script


# -- the service ---------------------------------------------------------------


def _measure_service(rounds: int) -> Iterator[Figure]:
    with _stage() as stage:
        boots = []
        for _ in range(rounds):
            with stage.service() as service:
                boots.append(service.boot_seconds)
        yield Figure("boot_seconds", statistics.median(boots), "s")
        if not Path("/proc/self/stat").exists():
            reason = "CPU time of a process is read from /proc, which this system has not"
            yield Figure("handshake_cpu", None, "us", reason=reason)
            yield Figure("keepalive_cpu", None, "us", reason=reason)
            return
        with stage.service() as service:
            for name, mode in (("handshake_cpu", "new"), ("keepalive_cpu", "keep")):
                costs = [service.cost(mode) for _ in range(rounds)]
                yield Figure(name, statistics.median(costs), "us")


@contextlib.contextmanager
def _stage() -> Iterator[_Stage]:
    from stacks.local_cloud.cloud import LocalCloud  # noqa: PLC0415 -- help must not wait for moto

    with LocalCloud() as cloud, tempfile.TemporaryDirectory() as directory:
        yield _Stage(cloud, Path(directory))


class _Stage:
    """An embedded cloud with a bucket, a registry and one enrolled client."""

    def __init__(self, cloud: Any, directory: Path) -> None:  # noqa: ANN401 -- imported where it is used
        from stacks import naming  # noqa: PLC0415 -- help must not wait
        from stacks.ceremonies import enrollment, server_certificate  # noqa: PLC0415
        from stacks.ceremonies.development_authority import DevelopmentAuthority  # noqa: PLC0415
        from stacks.environment import find_environment, load_environment  # noqa: PLC0415

        self.directory = directory
        self._cloud = cloud
        self._environment = environment = load_environment(find_environment("local", _terminal.ROOT))
        self._bucket = naming.certificate_bucket(environment)
        self._table = naming.client_registry_table(environment)
        cloud.client("s3").create_bucket(Bucket=self._bucket)
        cloud.client("s3").put_bucket_versioning(Bucket=self._bucket, VersioningConfiguration={"Status": "Enabled"})
        self._make_table()
        now = datetime.now(UTC)
        authority = DevelopmentAuthority.create(now)
        csr = server_certificate.request(cloud, environment)
        server_certificate.install(cloud, environment, authority.sign(csr), at=now)
        certificate, key = authority.issue_client(_CLIENT)
        enrollment.enroll(cloud, environment, _CLIENT, certificate, roles=(), at=now)
        for name, content in (("authority", authority.certificate_pem), ("client", certificate), ("key", key)):
            (directory / name).write_bytes(content)

    def _make_table(self) -> None:
        from service.contract import CLIENT_INDEX, RegistryAttribute  # noqa: PLC0415

        fingerprint, client = RegistryAttribute.FINGERPRINT.value, RegistryAttribute.CLIENT.value
        self._cloud.client("dynamodb").create_table(
            TableName=self._table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (fingerprint, client)],
            KeySchema=[{"AttributeName": fingerprint, "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": CLIENT_INDEX,
                    "KeySchema": [
                        {"AttributeName": client, "KeyType": "HASH"},
                        {"AttributeName": fingerprint, "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )

    @contextlib.contextmanager
    def service(self) -> Iterator[_Service]:
        """Run the service as a task runs it, one worker, its lines to a file."""
        from service.contract import OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE, ProxyProtocol, Variable  # noqa: PLC0415

        environment = self._environment
        variables = {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": environment.region,
            "AWS_ENDPOINT_URL": self._cloud.endpoint_url,
            "PATH": os.defpath,
            OPENSSL_CONF_VARIABLE: OPENSSL_CONF_FILE,
            Variable.ENVIRONMENT_NAME: environment.name,
            Variable.HOST_NAME: environment.ingress.host_name,
            Variable.CERTIFICATE_BUCKET: self._bucket,
            Variable.CERTIFICATE_BUCKET_OWNER: environment.account,
            Variable.CLIENT_REGISTRY_TABLE: self._table,
            Variable.PROXY_PROTOCOL: ProxyProtocol.REQUIRED,
            Variable.BIND_ADDRESS: "127.0.0.1",
            Variable.TRAFFIC_PORT: "0",
            Variable.HEALTH_PORT: "0",
            Variable.WORKERS: "1",
            Variable.LAME_DUCK_SECONDS: "0",
            Variable.DRAIN_SECONDS: "5",
        }
        lines = self.directory / "audit.log"
        with lines.open("wb") as audit:
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "service"], cwd=_terminal.ROOT, env=variables, stdout=audit
            )
        try:
            yield _Service(process, lines, self.directory, host_name=environment.ingress.host_name, began=began)
        finally:
            process.terminate()
            process.wait(_START_SECONDS)


class _Service:
    """The running service and what it has cost so far."""

    def __init__(
        self, process: subprocess.Popen[bytes], lines: Path, directory: Path, *, host_name: str, began: float
    ) -> None:
        self._process = process
        self._directory = directory
        self._host_name = host_name
        self._port = self._await_port(lines)
        self._load("new", seconds=0.001)
        # Until the audit line of the first answer; the client's own start, a fifth of a second, is in it.
        self.boot_seconds = lines.stat().st_mtime - (time.time() - (time.perf_counter() - began))

    def cost(self, mode: str) -> float:
        """Give the CPU time of the service's processes for one request, in microseconds."""
        before = self._cpu_seconds()
        count = self._load(mode, seconds=_LOAD_SECONDS)
        return (self._cpu_seconds() - before) / count * 1e6

    def _load(self, mode: str, *, seconds: float) -> int:
        files = [str(self._directory / name) for name in ("authority", "client", "key")]
        command = ["-m", "scripts._load", "127.0.0.1", str(self._port), self._host_name, *files, mode, str(seconds)]
        ran = subprocess.run(  # noqa: S603 -- our own module
            [sys.executable, *command], cwd=_terminal.ROOT, check=True, capture_output=True, text=True
        )
        return int(ran.stdout)

    def _await_port(self, lines: Path) -> int:
        import json  # noqa: PLC0415 -- used here only

        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in lines.read_text().splitlines():
                if line.endswith("}") and json.loads(line).get("event") == "listening":
                    return int(json.loads(line)["traffic_port"])
            time.sleep(0.005)
        raise RuntimeError("the service did not start")

    def _cpu_seconds(self) -> float:
        """Sum user and system time of the parent and its workers (proc(5), /proc/PID/stat, fields 14 and 15)."""
        ticks = os.sysconf("SC_CLK_TCK")
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in (parent, *children)]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / ticks


if __name__ == "__main__":
    sys.exit(_terminal.run(main))
