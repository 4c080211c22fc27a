"""`probe.py` against the service itself: what a partner's engineer reads."""

from __future__ import annotations

from pathlib import Path

from scripts import probe
from tests.certificates import HOST_NAME, Identity, client
from tests.scripts.desk import Said, say
from tests.wire.stage import Service


def ask(service: Service, directory: Path, identity: Identity, *more: str) -> Said:
    """Type it."""
    certificate, key = identity.write(directory / "client")
    trust = directory / "authority.pem"
    trust.write_bytes(service.trust)
    port = service.address[1]
    options = ("--cacert", str(trust), "--resolve", f"{HOST_NAME}:{port}:127.0.0.1", "--cert", str(certificate))
    return say(probe.main, f"https://{HOST_NAME}:{port}", *options, "--key", str(key), *more)


def test_a_stranger_reads_why_and_what_to_send(direct_service: Service, tmp_path: Path) -> None:
    stranger = client()

    said = ask(direct_service, tmp_path, stranger)

    lines = said.out.splitlines()
    assert said.exit_code == 1
    assert lines[0] == "200 refused, unknown_certificate: the server saw the certificate, and nobody has enrolled it"
    assert f"  certificate sha256: {stranger.fingerprint}" in lines
    assert "  enroll command: python scripts/clients.py enroll --env test --client NAME client.pem" in lines
    assert "\n".join(lines[-len(stranger.pem.splitlines()) :]) + "\n" == stranger.pem.decode()


def test_a_client_reads_who_it_is(direct_service: Service, tmp_path: Path, partner: Identity) -> None:
    said = ask(direct_service, tmp_path, partner)

    assert said.exit_code == 0
    assert said.out.startswith("200 accepted as client acme\n")
    assert "  connection address: 127.0.0.1" in said.out
