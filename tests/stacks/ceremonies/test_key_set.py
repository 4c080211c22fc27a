"""A token issuer's public keys go into the bucket once they are known to be public and of use."""

from __future__ import annotations

import pytest

from stacks.ceremonies.certificate_bucket import CertificateBucket
from stacks.ceremonies.key_set import KeySetRefusedError, NoPlaceForKeySetError, install, status
from tests.stacks.ceremonies.stage import LOCAL, aws
from tests.stacks.environments import with_tokens
from tests.tokens import Issuer, key_set

WITH_TOKENS = with_tokens(name="local")
SIGNER = Issuer()


def test_an_installed_set_is_what_the_issuer_gave() -> None:
    with aws() as caller:
        keys = install(caller, WITH_TOKENS, SIGNER.key_set)
        found = status(caller, WITH_TOKENS)
        stored = CertificateBucket(caller, WITH_TOKENS).get("tokens/issuer.json")

    assert [(key.key_id, key.kind) for key in keys] == [("key-1", "EC P-256")]
    assert found is not None
    assert (found.place, found.keys) == ("tokens/issuer.json", keys)
    assert stored is not None
    assert stored.body == SIGNER.key_set


@pytest.mark.parametrize(
    "data",
    [
        key_set({**SIGNER.key.as_dict(private=True), "kid": "key-1"}),
        key_set(SIGNER.public, {"kty": "oct", "k": "c2VjcmV0"}),
        b"<html>",
        key_set({**SIGNER.public, "use": "enc"}),
    ],
    ids=["private", "symmetric", "no set", "useless"],
)
def test_what_the_service_would_refuse_is_not_installed(data: bytes) -> None:
    with aws() as caller:
        install(caller, WITH_TOKENS, SIGNER.key_set)
        with pytest.raises(KeySetRefusedError):
            install(caller, WITH_TOKENS, data)
        assert caller.writes() == ["tokens/issuer.json"]


def test_an_environment_that_keeps_no_set_takes_none() -> None:
    with aws() as caller:
        with pytest.raises(NoPlaceForKeySetError, match="keeps no key set"):
            install(caller, LOCAL, SIGNER.key_set)
        assert status(caller, LOCAL) is None
        assert caller.calls == []


def test_a_set_somebody_else_broke_is_shown_as_such() -> None:
    with aws() as caller:
        assert status(caller, WITH_TOKENS) is None
        CertificateBucket(caller, WITH_TOKENS).put("tokens/issuer.json", b"?")
        found = status(caller, WITH_TOKENS)

    assert found is not None
    assert found.keys is None
