"""Eight clients, two versions of TLS, certificates of every kind: who is enrolled is answered, others read why not."""

from __future__ import annotations

from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.certificates import SERVER_AUTH, YESTERDAY, Authority, Identity, client, rsa_key
from tests.wire.recipes import RECIPES, Kitchen, Recipe
from tests.wire.stage import Aws, Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.heading, scope="module"),
    pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"], scope="module"),
]

CERTIFICATES: Final = {
    "P-256": client(),
    "RSA-2048": client(key=rsa_key()),
    "Ed25519": client(key=Ed25519PrivateKey.generate()),
    "an authority as openssl makes it by default": client(is_authority=True),
    "without extensions": client(without_extensions=True),
    "issued": Authority().intermediate().client(),
    "for servers only": Authority().client(purposes=(SERVER_AUTH,)),
    "expired": client(not_after=YESTERDAY),
}


@pytest.fixture(scope="module")
def kitchen(recipe: Recipe, version: str, local_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Kitchen:
    replacements = (recipe.tls12,) if version == "TLSv1.2" else ()
    return Kitchen(recipe, local_service, tmp_path_factory.mktemp("kitchen"), replacements=replacements)


@pytest.mark.parametrize("identity", CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_an_enrolled_certificate_of_any_kind_is_answered(
    aws: Aws, kitchen: Kitchen, version: str, identity: Identity
) -> None:
    aws.enroll(identity, "acme")

    answer = kitchen.call(identity)

    assert (answer.status, answer.document["client"]) == (200, "acme")
    assert answer.document["fingerprint"] == identity.fingerprint
    line = kitchen.service.event("request", request_id=answer.document["request_id"])
    assert line["tls_version"] == version


def test_a_certificate_that_nobody_enrolled_is_named_in_the_refusal(kitchen: Kitchen) -> None:
    stranger = client()

    answer = kitchen.call(stranger)

    assert (answer.status, answer.document["reason"]) == (403, "unknown_certificate")
    assert answer.document["fingerprint"] == stranger.fingerprint


def test_without_a_certificate_the_refusal_is_read_too(
    recipe: Recipe, version: str, local_service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    replacements = (recipe.without, *([recipe.tls12] if version == "TLSv1.2" else []))
    kitchen = Kitchen(recipe, local_service, tmp_path_factory.mktemp("kitchen"), replacements=replacements)

    answer = kitchen.call(client())

    assert (answer.status, answer.document["reason"]) == (403, "no_certificate")
