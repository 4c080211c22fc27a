"""The image says what the task definition and the contract say."""

from __future__ import annotations

from pathlib import Path

from service.contract import CONTAINER_USER, HEALTH_PORT, OPENSSL_CONF_FILE, OPENSSL_CONF_VARIABLE, TRAFFIC_PORT

SERVICE = Path(__file__).parents[2] / "service"


def instructions(word: str) -> list[str]:
    """Read what follows a word of the Dockerfile, line by line."""
    lines = (SERVICE / "Dockerfile").read_text().splitlines()
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


def test_nothing_is_installed_but_what_is_locked() -> None:
    (install,) = [line for line in instructions("RUN") if "pip install" in line]

    assert "--no-deps --require-hashes --only-binary :all:" in install
