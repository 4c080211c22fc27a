"""The image, built without a network and run as the task definition says: it answers, and may do nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from service.contract import CONTAINER_USER, Variable
from stacks.environment_file import find_environment, load_environment
from stacks.templates import workload
from tests.certificates import Authority, client
from tests.wire.engine import BASE, Engine, NoEngineError, confine, download_wheels, import_base, running_engine
from tests.wire.stage import ROOT, Aws, HeldEndpoint, Service, ask, connection, variables

pytestmark = pytest.mark.slow

UID: Final = CONTAINER_USER.partition(":")[0]
MIB: Final = 1024 * 1024
MEMORY_MIB: Final = 256
"""A quarter of what staging gives."""
LARGEST_MIB: Final = 100
"""What the image may add to its base; it was 67 when this was written."""

IDLE_MIB: Final = 128
"""What listener and two workers may take before anybody connects, the process that asks included."""

IMAGE: Final = "service-of-the-proof"

CONFINEMENT: Final = """
import json, os, pathlib
facts = {}
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if int(process.name) != os.getpid():
        lines = (process / "status").read_text().splitlines()
        facts[process.name] = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
print(json.dumps(list(facts.values())))
"""
WRITES: Final = """
import errno, json, os
def outcome(directory):
    try:
        with open(os.path.join(directory, "written"), "w"):
            return "written"
    except OSError as error:
        return errno.errorcode[error.errno]
print(json.dumps({each: outcome(each) for each in ("/", "/app", "/app/service", "/etc", "/var/tmp", "/tmp")}))
"""
ANONYMOUS: Final = """
import json, pathlib
root = pathlib.Path("/sys/fs/cgroup")
file = next(each for each in (root / "memory" / "memory.stat", root / "memory.stat") if each.exists())
facts = dict(line.split() for line in file.read_text().splitlines())
print(json.dumps(int(facts.get("anon") or facts["total_rss"])))
"""
SETUID: Final = "import json, os; print(json.dumps(os.statvfs('/tmp').f_flag & os.ST_NOSUID != 0))"
CONTENTS: Final = """
import importlib.util, json, pathlib, shutil
programs = ("pip", "pip3", "gcc", "cc", "c++", "make", "ld")
modules = ("pip", "ensurepip", "stacks", "scripts", "tests", "moto", "troposphere", "pytest", "cfnlint")
here = pathlib.Path("/app")
patterns = ("**/*.whl", "bin", "wheels", "service/Dockerfile")
left_over = [str(each) for pattern in patterns for each in here.glob(pattern)]
print(json.dumps([each for each in programs if shutil.which(each)]
    + [each for each in modules if importlib.util.find_spec(each)]
    + left_over + [str(each) for each in pathlib.Path("/usr/share").glob("**/pip*.whl")]))
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        with running_engine() as started:
            import_base(started, ROOT / ".local" / "container-proof")
            yield started
    except NoEngineError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def context(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose files nobody but their owner may read, with the wheels for the base's Python."""
    directory = tmp_path_factory.mktemp("context") / "service"
    shutil.copytree(ROOT / "service", directory, ignore=shutil.ignore_patterns("wheels"))
    for file in directory.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    python = engine.python(BASE, "import sys; print('\"%d.%d\"' % sys.version_info[:2])")
    try:
        download_wheels(directory / "wheels", python=python)
    except NoEngineError as missing:
        pytest.skip(str(missing))
    return directory


@pytest.fixture(scope="module")
def image(engine: Engine, context: Path) -> str:
    return engine.build(context, IMAGE, BASE_IMAGE=BASE)


def task_container() -> dict[str, Any]:
    """Read the container that staging's task definition describes."""
    template = workload.build(load_environment(find_environment("staging", ROOT))).to_dict()
    (container,) = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    described: dict[str, Any] = container
    return described


class RunContainer(Protocol):
    """Runs an image as the agent runs a task, with less memory, for the length of a block."""

    def __call__(self, image: str, name: str, **changed: str) -> AbstractContextManager[Service]:
        """Start it with some variables changed."""


@pytest.fixture(scope="module")
def run(engine: Engine, aws: Aws, bucket: str, authority: Authority) -> RunContainer:
    limits = (f"--memory={MEMORY_MIB}m", f"--memory-swap={MEMORY_MIB}m", "--pids-limit=64")
    command = [*engine.command, "run", "--rm", "--network=host", *limits, *confine(task_container())]

    @contextmanager
    def running(image: str, name: str, **changed: str) -> Iterator[Service]:
        environment = variables(aws, bucket, **changed)
        # These two are the image's own.
        given = [f"--env={key}={value}" for key, value in environment.items() if key not in {"PATH", "OPENSSL_CONF"}]
        service = Service({}, trust=authority.pem, command=[*command, "--name", name, *given, image])
        try:
            yield service
        finally:
            service.close()

    return running


@pytest.fixture(scope="module")
def container(run: RunContainer, image: str) -> Iterator[Service]:
    with run(image, "service", **{Variable.WORKERS: "2"}) as started:
        yield started


def inside(engine: Engine, program: str) -> Any:
    """Run a Python program in the running container and read the JSON it prints."""
    return json.loads(engine.docker("exec", "service", "python3", "-c", program))


def test_an_enrolled_client_is_answered_and_everybody_else_refused(aws: Aws, container: Service) -> None:
    partner = client()
    aws.enroll(partner, "acme")

    assert ask(container, partner).document["client"] == "acme"
    assert ask(container, client()).document["reason"] == "unknown_certificate"
    assert ask(container).document["reason"] == "no_certificate"


@pytest.mark.usefixtures("container")
def test_every_process_is_nobody_and_may_nothing(engine: Engine) -> None:
    """No capability, none to be had by a setuid program either, and the engine's filter of system calls."""
    processes = inside(engine, CONFINEMENT)

    assert len(processes) >= 3  # the listener and its workers
    for process in processes:
        assert process["Uid"] == process["Gid"] == [UID] * 4
        assert {int(process[kind][0], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert (process["NoNewPrivs"], process["Seccomp"]) == (["1"], ["2"])


@pytest.mark.usefixtures("container")
def test_nothing_can_be_written_but_scratch(engine: Engine) -> None:
    outcomes = inside(engine, WRITES)

    assert outcomes.pop("/tmp") == "written"  # noqa: S108 -- the container's own
    assert set(outcomes.values()) == {"EROFS"}
    assert inside(engine, SETUID)


@pytest.mark.usefixtures("container")
def test_two_workers_leave_most_of_the_memory_to_connections(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = inside(engine, ANONYMOUS)
    with capsys.disabled():
        sys.stdout.write(f" {taken // MIB} MiB of memory ")

    assert taken < IDLE_MIB * MIB


def test_nothing_that_installs_compiles_or_deploys_is_in_it(engine: Engine, image: str) -> None:
    assert engine.python(image, CONTENTS) == []


@pytest.mark.usefixtures("image")
def test_a_wheel_that_is_not_the_one_in_the_lock_stops_the_build(engine: Engine, context: Path, tmp_path: Path) -> None:
    """Wherever it came from, and before anything of it is run."""
    tampered = tmp_path / "service"
    shutil.copytree(context, tampered)
    wheel = next(tampered.glob("wheels/httptools-*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")

    with pytest.raises(AssertionError, match=f"Got +{hashlib.sha256(wheel.read_bytes()).hexdigest()}"):
        engine.build(tampered, "tampered", BASE_IMAGE=BASE)


def test_it_adds_little_to_its_base(engine: Engine, image: str, capsys: pytest.CaptureFixture[str]) -> None:
    size, base = (int(engine.docker("image", "inspect", "--format={{.Size}}", each)) for each in (image, BASE))
    with capsys.disabled():
        sys.stdout.write(f" image {size // MIB} MiB, of which its base {base // MIB} ")

    assert size - base < LARGEST_MIB * MIB


def test_a_stop_lets_the_request_in_flight_finish_and_exits_with_0(
    engine: Engine, run: RunContainer, image: str, aws: Aws
) -> None:
    """The registry answers only after the container was told to stop: the client never notices."""
    partner, held = client(), HeldEndpoint(aws.url)
    aws.enroll(partner, "acme")

    with (
        closing(held),
        run(image, "stopped", AWS_ENDPOINT_URL_DYNAMODB=held.url) as service,
        connection(service, partner) as opened,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(opened.get)
        assert held.reached.wait(5)
        engine.docker("kill", "--signal", signal.SIGTERM.name, "stopped")
        service.event("draining")
        held.release.set()

        assert asked.result().document["client"] == "acme"
        assert service.wait() == 0


def test_an_image_with_an_application_stands_on_it(
    engine: Engine, run: RunContainer, image: str, aws: Aws, tmp_path: Path
) -> None:
    """As docs/applications.md has it: beside the service, not within it."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image}\nCOPY greeting.py /application/\nENV PYTHONPATH=/application\n"
        f"ENV {Variable.APPLICATION}=greeting:application\n"
    )
    (tmp_path / "greeting.py").write_text(GREETING)
    derived = engine.build(tmp_path, "derived")
    partner = client()
    aws.enroll(partner, "acme")

    with run(derived, "derived") as service:
        assert ask(service, partner).document == {"hello": "acme"}


GREETING: Final = """
import json

async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    body = json.dumps({"hello": scope["state"]["client"].name}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
