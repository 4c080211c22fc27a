"""The same promises to clients that are not ours, each as docs/clients.md tells partners to use it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.certificates import CLIENT_AUTH, HOST_NAME, Identity, PrivateKey, client
from tests.wire.recipes import RECIPES, Kitchen, Recipe, block_below, run
from tests.wire.stage import Aws, Service

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")

QUICK = [recipe for recipe in RECIPES if not recipe.build]
"""What is compiled first has its turn in the heavier proof."""


@pytest.mark.parametrize("recipe", QUICK, ids=lambda recipe: recipe.heading)
def test_a_client_is_answered_and_a_strange_certificate_told_so(
    aws: Aws, local_service: Service, recipe: Recipe, tmp_path: Path
) -> None:
    kitchen, partner = Kitchen(recipe, local_service, tmp_path), client()
    aws.enroll(partner, "acme")

    known, strange = kitchen.call(partner), kitchen.call(client())

    assert (known.status, known.document["client"]) == (200, "acme")
    assert (strange.status, strange.document["reason"]) == (403, "unknown_certificate")


@pytest.mark.parametrize("recipe", QUICK, ids=lambda recipe: recipe.heading)
def test_a_client_without_a_certificate_reads_why_it_is_refused(
    local_service: Service, recipe: Recipe, tmp_path: Path
) -> None:
    kitchen = Kitchen(recipe, local_service, tmp_path, replacements=(recipe.without,))

    answer = kitchen.call(client())

    assert (answer.status, answer.document["reason"]) == (403, "no_certificate")


@needs_openssl
def test_a_certificate_made_by_the_recipe_is_one_that_every_client_sends(
    aws: Aws, local_service: Service, tmp_path: Path
) -> None:
    """Neither CA:TRUE, which browsers hold back, nor without clientAuth, which .NET holds back."""
    run(block_below("## Make a certificate"), tmp_path)
    certificate = x509.load_pem_x509_certificate((tmp_path / "client.pem").read_bytes())
    key = load_pem_private_key((tmp_path / "client-key.pem").read_bytes(), password=None)
    assert isinstance(key, PrivateKey)
    made = Identity(certificate, key)
    aws.enroll(made, "made")

    (tmp_path / "curl").mkdir()
    assert Kitchen(RECIPES[0], local_service, tmp_path / "curl").call(made).document["client"] == "made"
    extensions = certificate.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [CLIENT_AUTH]


@needs_curl
def test_curl_comes_through_a_balancer(aws: Aws, service: Service, tmp_path: Path) -> None:
    """It can play one itself: the PROXY header goes before its TLS."""
    partner = client()
    aws.enroll(partner, "acme")
    chain, key = partner.write(tmp_path)
    (tmp_path / "trust.pem").write_bytes(service.trust)
    host, port = service.address
    command = (
        *("curl", "--silent", "--show-error", "--haproxy-protocol"),
        *("--cert", chain, "--key", key, "--cacert", tmp_path / "trust.pem"),
        *("--connect-to", f"::{host}:{port}", f"https://{HOST_NAME}/"),
    )

    done = subprocess.run(command, capture_output=True, timeout=10, check=False)  # noqa: S603

    assert done.stderr == b""
    assert json.loads(done.stdout)["client"] == "acme"


@needs_openssl
def test_openssl_is_asked_for_a_certificate_without_any_name(direct_service: Service) -> None:
    """With a list of CA names, Java and Schannel clients silently send no certificate."""
    host, port = direct_service.address
    command = ("openssl", "s_client", "-connect", f"{host}:{port}", "-servername", HOST_NAME)

    done = subprocess.run(command, input=b"", capture_output=True, timeout=10, check=False)  # noqa: S603

    assert b"No client certificate CA names sent" in done.stdout
