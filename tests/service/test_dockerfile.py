"""The image says what the task definition and the contract say."""

from __future__ import annotations

from pathlib import Path

from service.contract import CONTAINER_USER, HEALTH_PORT, TRAFFIC_PORT

SERVICE = Path(__file__).parents[2] / "service"


def instructions(word: str) -> list[str]:
    """Read what follows a word of the Dockerfile, line by line."""
    lines = (SERVICE / "Dockerfile").read_text().splitlines()
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


def test_it_runs_as_the_user_of_the_contract() -> None:
    assert instructions("USER") == [CONTAINER_USER]


def test_it_shows_the_ports_of_the_contract() -> None:
    assert instructions("EXPOSE") == [f"{TRAFFIC_PORT} {HEALTH_PORT}"]


def test_its_base_is_for_the_builder_to_name() -> None:
    """By digest, where the build must be the same tomorrow; both stages stand on the same one."""
    assert [name.partition("=")[0] for name in instructions("ARG")] == ["BASE_IMAGE"]
    assert {name.removesuffix(" AS packages") for name in instructions("FROM")} == {"${BASE_IMAGE}"}


def test_nothing_is_installed_but_what_is_locked() -> None:
    (install,) = [line for line in instructions("RUN") if "pip install" in line]

    assert "--no-deps --require-hashes --only-binary :all:" in install
