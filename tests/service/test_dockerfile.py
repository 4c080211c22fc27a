"""The image says what the task definition and the contract say. That it builds and runs: tests/container."""

from __future__ import annotations

import re
from pathlib import Path

from service.contract import CONTAINER_USER, HEALTH_PORT, OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE, TRAFFIC_PORT

SERVICE = Path(__file__).parents[2] / "service"


def instructions(word: str) -> list[str]:
    """Read what follows a word of the Dockerfile, one entry an instruction, comments left out."""
    text = "\n".join(line for line in (SERVICE / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def test_it_runs_as_the_user_of_the_contract() -> None:
    assert instructions("USER") == [CONTAINER_USER]


def test_it_shows_the_ports_of_the_contract() -> None:
    assert instructions("EXPOSE") == [f"{TRAFFIC_PORT} {HEALTH_PORT}"]


def test_it_names_the_settings_of_openssl() -> None:
    """From its own working directory, where they are copied to."""
    assert instructions("ENV") == [f"{OPENSSL_CONF_VARIABLE}={OPENSSL_CONF_FILE}"]
    assert instructions("WORKDIR")[-1] == "/app"
    assert (SERVICE.parent / OPENSSL_CONF_FILE).is_file()


def test_its_base_is_for_the_builder_to_name() -> None:
    """By digest, where the build must be the same tomorrow; both stages stand on the same one."""
    assert [name.partition("=")[0] for name in instructions("ARG")] == ["BASE_IMAGE"]
    assert {name.removesuffix(" AS packages") for name in instructions("FROM")} == {"${BASE_IMAGE}"}


def test_its_health_is_for_the_load_balancer_to_ask() -> None:
    """A second opinion inside the container could only disagree with the one that counts."""
    assert instructions("HEALTHCHECK") == []


def test_nothing_is_installed_but_what_is_locked() -> None:
    (install,) = [line for line in instructions("RUN") if "pip install" in line]

    assert "--no-deps" in install
    assert "--require-hashes --only-binary :all: --requirement /wheels/requirements.lock" in install


def test_the_classic_builder_understands_it() -> None:
    """It knows no options of RUN, and of COPY only --from and --chown."""
    assert [line for line in instructions("RUN") if line.startswith("--")] == []
    assert [line for line in instructions("COPY") if re.match(r"--(?!from=|chown=)", line)] == []


def test_what_was_only_needed_to_build_stays_behind() -> None:
    """The wheels do not travel with the packages, and the second stage takes nothing else from the first."""
    assert any("rm -rf bin service/wheels" in line for line in instructions("RUN"))
    assert [line for line in instructions("COPY") if line.startswith("--from")] == ["--from=packages /app /app"]


def test_compiled_leftovers_do_not_come_into_the_context() -> None:
    assert "**/__pycache__" in (SERVICE / ".dockerignore").read_text().splitlines()
