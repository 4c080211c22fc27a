"""
A container engine of the tests' own: a real Docker daemon with a private data root.

It makes no bridge and no firewall rule, so that nothing of it is seen on the
machine; containers live in the machine's own network or in none. The base
image is a minimal Debian made here, so that no registry is asked.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.wire.stage import ROOT

BASE: Final = "base-of-the-proof"
BASE_PACKAGES: Final = "python3,python3-venv,ca-certificates"
READY_SECONDS: Final = 20
STEP_SECONDS: Final = 300
ROOM_BYTES: Final = 3 * 1024**3
"""For base, layers and what is between; half a GiB was used when this was written."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class NoEngineError(Exception):
    """There is no engine to be had here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Engine:
    """
    A Docker daemon, running.

    Attributes:
        command: `docker`, pointed at this daemon, with the builder every Docker has.
    """

    command: tuple[str, ...]

    def docker(self, *arguments: str | Path) -> str:
        """Run docker to its end and give its standard output."""
        done = subprocess.run(  # noqa: S603 -- our own engine
            [*self.command, *arguments], capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )
        assert done.returncode == 0, f"docker {arguments[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def build(self, context: Path, tag: str, **arguments: str) -> str:
        """Build an image without any network and give its tag."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        self.docker("build", "--network", "none", *given, "--tag", tag, context)
        return tag

    def python(self, image: str, program: str) -> Any:
        """Run a Python program in a container of its own and read the JSON it prints."""
        run = ("run", "--rm", "--network", "none", "--entrypoint", "python3")
        return json.loads(self.docker(*run, image, "-c", program))


@contextmanager
def running_engine() -> Iterator[Engine]:
    """
    Run a daemon for the length of a block.

    Raises:
        NoEngineError: It cannot be had, or does not start here.
    """
    docker, dockerd = _find("docker"), _find("dockerd")
    if os.geteuid() != 0:
        raise NoEngineError("only root can start a container engine")
    # Not pytest's directory: the path of a socket has at most 107 characters.
    root = Path(tempfile.mkdtemp(prefix="engine-"))
    _put_in_memory(root)
    try:
        with (root / "log").open("w") as log:
            daemon = subprocess.Popen(  # noqa: S603 -- the machine's own
                [dockerd, "--config-file", _configure(root)], stdout=log, stderr=log, start_new_session=True
            )
        try:
            engine = Engine(_command(docker, root))
            _wait_until_ready(engine, daemon, root / "log")
            yield engine
        finally:
            daemon.terminate()
            daemon.wait(30)
    finally:
        _remove(root)


def import_base(engine: Engine, cache: Path) -> str:
    """
    Bring a minimal Debian with Python into the engine and give its name.

    Args:
        engine: Where it is to be had.
        cache: A directory that keeps it from run to run: to make it takes half a minute.

    Raises:
        NoEngineError: It can neither be found there nor be made, or nothing can be run in it.
    """
    archive = cache / f"base-{platform.freedesktop_os_release().get('VERSION_CODENAME', 'stable')}.tar"
    if not archive.exists():
        _make_base(archive)
    try:
        engine.docker("import", "--change", f"ENV PATH={PATH}", archive, BASE)
        engine.docker("run", "--rm", "--network", "none", BASE, "true")
    except AssertionError as fault:
        raise NoEngineError(f"containers do not run here: {fault}") from fault
    return BASE


def download_wheels(directory: Path, *, python: str) -> None:
    """
    Fetch what the image installs, as an operator does who builds without a network.

    Raises:
        NoEngineError: No package index can be reached.
    """
    # A .venv older than the lock is somebody else's business: the tests run in it.
    make = ("make", "--old-file=.venv/.ready", "wheels", f"WHEELS={directory}")
    _attempt(*make, f"IMAGE_PYTHON={python}", f"IMAGE_MACHINE={platform.machine()}", what="make wheels")


_PASSED_OVER: Final = {
    "Name", "Image", "Essential",  # there is one container and one image
    "Environment",  # the stage's own: bucket, table and endpoint are others
    "PortMappings",  # in the machine's own network the container's port is the host's
    "LogConfiguration",  # the test reads standard output
    "Cpu", "Memory",  # less than production has: given by the test
    "Ulimits",  # this machine's hard limit may be lower
}  # fmt: skip


def confine(container: Mapping[str, Any]) -> list[str]:
    """Turn a task definition's container into docker's flags, as the agent does; what we cannot turn is an error."""
    flags: list[str] = []
    for name, value in container.items():
        match name, value:
            case "User", str():
                flags += ["--user", value]
            case "Privileged", False:
                pass
            case "ReadonlyRootFilesystem", True:
                flags += ["--read-only"]
            case "StopTimeout", int():
                flags += ["--stop-timeout", str(value)]
            case "DockerSecurityOptions", list():
                flags += [f"--security-opt={option}" for option in value]
            case "LinuxParameters", dict():
                flags += _confine_kernel(value)
            case _:
                assert name in _PASSED_OVER, f"the proof cannot give a container its {name}"
    return flags


def _confine_kernel(parameters: Mapping[str, Any]) -> list[str]:
    assert set(parameters) <= {"Capabilities", "InitProcessEnabled", "Tmpfs"}
    flags = [f"--cap-drop={each}" for each in parameters["Capabilities"]["Drop"]]
    if parameters.get("InitProcessEnabled"):
        flags += ["--init"]
    for mount in parameters.get("Tmpfs", []):
        options = ",".join([*mount["MountOptions"], f"size={mount['Size']}m", "mode=1777"])
        flags += ["--tmpfs", f"{mount['ContainerPath']}:{options}"]
    return flags


def _find(program: str) -> str:
    found = shutil.which(program, path=f"{os.defpath}:{PATH}")
    if found is None:
        raise NoEngineError(f"{program} is not on this machine (Debian: apt-get install docker.io)")
    return found


def _command(docker: str, root: Path) -> tuple[str, ...]:
    # Not the operator's own settings of the client, which may name helpers and another daemon.
    environment = ("env", "DOCKER_BUILDKIT=0", f"DOCKER_CONFIG={root / 'client'}")
    return (*environment, docker, "--host", f"unix://{root / 'sock'}")


def _configure(root: Path) -> Path:
    settings = {
        "data-root": str(root / "data"),
        "exec-root": str(root / "run"),
        "pidfile": str(root / "pid"),
        "hosts": [f"unix://{root / 'sock'}"],
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "log-level": "error",
        # Docker's own default is more than a machine without CAP_SYS_RESOURCE may give.
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 4096, "Hard": 4096}},
    }
    file = root / "daemon.json"
    file.write_text(json.dumps(settings))
    return file


def _wait_until_ready(engine: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while daemon.poll() is None and time.monotonic() < deadline:
        asked = subprocess.run([*engine.command, "version"], capture_output=True, check=False)  # noqa: S603
        if asked.returncode == 0:
            return
        time.sleep(0.1)
    last = log.read_text().strip().splitlines()[-1:] or ["it says nothing"]
    raise NoEngineError(f"dockerd does not start here: {last[0][-300:]}")


def _put_in_memory(root: Path) -> None:
    """Give it a file system of its own that goes at once; to remove as many files from a busy disk takes a minute."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available > 2 * ROOM_BYTES:
        _mount("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES},mode=0700", "engine", root)


def _remove(root: Path) -> None:
    # The daemon leaves the mount that held its network namespaces.
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([each for each in mounts if Path(each).is_relative_to(root)]):
        _mount("umount", "--lazy", mount)
    shutil.rmtree(root, ignore_errors=True)


def _mount(*command: str | Path) -> None:
    subprocess.run(command, check=False, capture_output=True)  # noqa: S603 -- the machine's own


def _make_base(archive: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise NoEngineError("no base image: mmdebstrap is not on this machine (Debian: apt-get install mmdebstrap)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    suite = archive.stem.removeprefix("base-")
    unfinished = archive.with_suffix(".part.tar")
    settings = [f"path-exclude=/usr/share/{each}/*" for each in ("doc", "man", "locale")]
    # Nobody keeps this tree through a power cut, and waiting for the disk is two thirds of the time.
    settings += ["force-unsafe-io"]
    include = f"--include={BASE_PACKAGES}"
    options = [f"--dpkgopt={each}" for each in settings]
    _attempt("mmdebstrap", "--quiet", "--variant=minbase", include, *options, suite, unfinished, what="mmdebstrap")
    unfinished.rename(archive)


def _attempt(*command: str | Path, what: str) -> None:
    done = subprocess.run(  # noqa: S603 -- the machine's own tools
        command, cwd=ROOT, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it says nothing"]
        raise NoEngineError(f"{what} cannot do its work here: {last[0][-300:]}")
