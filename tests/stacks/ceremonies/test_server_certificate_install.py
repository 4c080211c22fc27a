"""`certificates.py install`: the CA's answer is checked, written, and in force at once or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from service.boot.server_identity import Manifest, check_server_identity
from service.contract import CHAIN_KEY, MANIFEST_KEY, PENDING_PRIVATE_KEY_KEY, PRIVATE_KEY_KEY
from stacks import naming
from stacks.ceremonies import server_certificate
from stacks.ceremonies.access import CallFailedError, NotDeployedError
from stacks.ceremonies.certificate_bucket import NotVersionedError, ObjectChangedError
from stacks.ceremonies.pasted import PastedError, PrivateKeyPastedError
from stacks.ceremonies.server_certificate import ChainRefusedError, NoPendingKeyError
from tests.certificates import NOW, YESTERDAY, Authority, Facts
from tests.stacks.ceremonies.stage import LOCAL, Caller, aws, body_of, keys_in_bucket, refuse


@pytest.fixture
def authority() -> Authority:
    """A public CA: leaves are signed by an intermediate."""
    return Authority().intermediate()


def test_the_manifest_names_a_pair_the_service_boots_with(caller: Caller, authority: Authority) -> None:
    chain = authority.sign(server_certificate.request(caller, LOCAL))

    server_certificate.install(caller, LOCAL, chain, at=NOW)

    manifest = Manifest.parse(body_of(caller, MANIFEST_KEY))
    identity = check_server_identity(
        body_of(caller, CHAIN_KEY, version=manifest.chain_version_id),
        body_of(caller, PRIVATE_KEY_KEY, version=manifest.private_key_version_id),
        host_name=LOCAL.ingress.host_name,
        at=NOW,
    )
    assert identity.chain_pem == manifest.chain.encode() == chain
    assert (manifest.spki_sha256, manifest.not_after) == (identity.leaf.pin, identity.leaf.not_after)


def test_the_manifest_is_written_last_and_holds_no_secret(caller: Caller, authority: Authority) -> None:
    """The deployer reads it, who must read no key: it is public, and under S3's own encryption key."""
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    caller.calls.clear()

    server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert caller.writes() == [CHAIN_KEY, PRIVATE_KEY_KEY, MANIFEST_KEY]
    (manifest,) = [facts for _, facts in caller.calls if facts["Key"] == MANIFEST_KEY and "Body" in facts]
    assert manifest["ServerSideEncryption"] == "AES256"
    assert b"PRIVATE" not in manifest["Body"]
    assert json.loads(manifest["Body"])["format"] == 1


def test_key_and_chain_are_encrypted_as_the_bucket_decides(caller: Caller, authority: Authority) -> None:
    server_certificate.install(caller, LOCAL, authority.sign(server_certificate.request(caller, LOCAL)), at=NOW)

    secret = [facts for _, facts in caller.calls if facts["Key"].startswith("server/") and "Body" in facts]
    assert len(secret) == 3
    assert all("ServerSideEncryption" not in facts for facts in secret)


def test_the_pending_key_is_hidden_afterwards_and_the_next_may_be_requested(
    caller: Caller, authority: Authority
) -> None:
    _install(caller, authority)

    assert keys_in_bucket(caller) == {CHAIN_KEY, PRIVATE_KEY_KEY, MANIFEST_KEY}
    assert server_certificate.request(caller, LOCAL)


@pytest.mark.parametrize("key", [CHAIN_KEY, PRIVATE_KEY_KEY, MANIFEST_KEY])
def test_interrupted_before_the_manifest_the_old_pair_is_in_force_and_a_second_try_finishes(
    caller: Caller, authority: Authority, key: str
) -> None:
    _install(caller, authority)
    old = Manifest.parse(body_of(caller, MANIFEST_KEY))
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    interruption = _Once(refuse("InternalError", key=key))
    caller.before("PutObject", interruption)

    with pytest.raises(CallFailedError):
        server_certificate.install(caller, LOCAL, chain, at=NOW)
    between = Manifest.parse(body_of(caller, MANIFEST_KEY))
    server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert between == old
    old_pair = check_server_identity(
        body_of(caller, CHAIN_KEY, version=old.chain_version_id),
        body_of(caller, PRIVATE_KEY_KEY, version=old.private_key_version_id),
        host_name=LOCAL.ingress.host_name,
        at=NOW,
    )
    assert old_pair.leaf.pin == old.spki_sha256
    assert Manifest.parse(body_of(caller, MANIFEST_KEY)).chain.encode() == chain


def test_interrupted_after_the_manifest_a_second_try_only_tidies_up(caller: Caller, authority: Authority) -> None:
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    caller.before("DeleteObject", _Once(refuse("InternalError")))
    with pytest.raises(CallFailedError):
        server_certificate.install(caller, LOCAL, chain, at=NOW)
    in_force = body_of(caller, MANIFEST_KEY)
    caller.calls.clear()

    server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert body_of(caller, MANIFEST_KEY) == in_force
    assert caller.writes() == []
    assert PENDING_PRIVATE_KEY_KEY not in keys_in_bucket(caller)


def test_a_chain_that_is_in_force_already_is_left_as_it_is(caller: Caller, authority: Authority) -> None:
    chain = _install(caller, authority)
    caller.calls.clear()

    manifest = server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert manifest.chain.encode() == chain
    assert caller.writes() == []


def test_a_chain_in_force_does_not_touch_a_key_that_waits_for_the_next(caller: Caller, authority: Authority) -> None:
    chain = _install(caller, authority)
    server_certificate.request(caller, LOCAL)

    server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert PENDING_PRIVATE_KEY_KEY in keys_in_bucket(caller)


def test_two_people_at_once_one_wins_and_the_other_is_told(caller: Caller, authority: Authority) -> None:
    _install(caller, authority)
    chain = authority.sign(server_certificate.request(caller, LOCAL))

    def somebody_else(facts: dict[str, Any]) -> None:
        if facts["Key"] == CHAIN_KEY:
            bucket = naming.certificate_bucket(LOCAL)
            caller.client("s3").put_object(Bucket=bucket, Key=MANIFEST_KEY, Body=b"theirs")

    caller.before("PutObject", somebody_else)

    with pytest.raises(ObjectChangedError):
        server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert body_of(caller, MANIFEST_KEY) == b"theirs"
    assert PENDING_PRIVATE_KEY_KEY in keys_in_bucket(caller)


def test_a_key_requested_meanwhile_is_not_hidden(caller: Caller, authority: Authority) -> None:
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    caller.before(
        "DeleteObject",
        _Once(lambda _: server_certificate.request(caller, LOCAL, replace_pending=True)),
    )

    server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert PENDING_PRIVATE_KEY_KEY in keys_in_bucket(caller)


def test_without_a_pending_key_there_is_nothing_the_chain_could_answer(caller: Caller, authority: Authority) -> None:
    with pytest.raises(NoPendingKeyError) as caught:
        server_certificate.install(caller, LOCAL, authority.server().chain_pem, at=NOW)

    assert caught.value.hint == "python scripts/certificates.py request --env local"


def test_a_chain_for_another_key_answers_another_request(caller: Caller, authority: Authority) -> None:
    abandoned = authority.sign(server_certificate.request(caller, LOCAL))
    server_certificate.request(caller, LOCAL, replace_pending=True)
    before = keys_in_bucket(caller)

    with pytest.raises(ChainRefusedError) as caught:
        server_certificate.install(caller, LOCAL, abandoned, at=NOW)

    assert "this chain answers another request" in (caught.value.hint or "")
    assert any("does not match" in fault for fault in caught.value.faults)
    assert keys_in_bucket(caller) == before


def test_all_faults_are_shown_together(caller: Caller, authority: Authority) -> None:
    wrong: Facts = {"not_after": YESTERDAY, "dns_names": ("other.example",)}
    chain = authority.sign(server_certificate.request(caller, LOCAL), **wrong)

    with pytest.raises(ChainRefusedError) as caught:
        server_certificate.install(caller, LOCAL, chain, at=NOW)

    assert "expired" in str(caught.value)
    assert "other.example" in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_chain_in_the_wrong_order_is_named_with_the_right_one(caller: Caller, authority: Authority) -> None:
    """Some CAs send the intermediate first: intermediate, leaf in place of leaf, intermediate."""
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    first, rest = chain.split(b"-----END CERTIFICATE-----\n", 1)
    turned = rest + first + b"-----END CERTIFICATE-----\n"

    with pytest.raises(ChainRefusedError, match="the leaf stands at place 2 of 2") as caught:
        server_certificate.install(caller, LOCAL, turned, at=NOW)

    assert caught.value.hint == "give CN=ingress.local.test first, then its issuer, then the issuer's issuer"


def test_a_leaf_without_its_issuer_is_not_installed(caller: Caller, authority: Authority) -> None:
    """Browsers would find the intermediate by themselves; partners' servers would not, and all fail at once."""
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    leaf = chain.split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"

    with pytest.raises(ChainRefusedError, match="issuer's certificate is missing: CN=Test Intermediate") as caught:
        server_certificate.install(caller, LOCAL, leaf, at=NOW)

    assert "--chain LEAF --chain INTERMEDIATE" in (caught.value.hint or "")


def test_a_certificate_not_valid_yet_is_not_installed(caller: Caller, authority: Authority) -> None:
    chain = authority.sign(server_certificate.request(caller, LOCAL), not_before=NOW + timedelta(hours=1))

    with pytest.raises(ChainRefusedError, match="not valid before"):
        server_certificate.install(caller, LOCAL, chain, at=NOW)


@pytest.mark.parametrize(
    "as_sent",
    [
        lambda chain: chain.replace(b"\n", b"\r\n"),
        lambda chain: b"Dear customer,\n\nyour certificate:\n" + chain + b"\n-- \nthe CA\n",
        lambda chain: b"  " + chain.replace(b"\n", b"\n  "),
        lambda chain: b"\xef\xbb\xbf" + chain,
    ],
    ids=["CRLF", "a mail around it", "indented", "byte order mark"],
)
def test_a_chain_is_read_however_it_was_sent_and_kept_plain(
    caller: Caller, authority: Authority, as_sent: Callable[[bytes], bytes]
) -> None:
    chain = authority.sign(server_certificate.request(caller, LOCAL))

    manifest = server_certificate.install(caller, LOCAL, as_sent(chain), at=NOW)

    assert manifest.chain.encode() == chain


def test_a_private_key_beside_the_chain_is_refused(caller: Caller, authority: Authority) -> None:
    server = authority.server()

    with pytest.raises(PrivateKeyPastedError):
        server_certificate.install(caller, LOCAL, server.chain_pem + server.key_pem, at=NOW)


def test_no_certificate_at_all_is_refused(caller: Caller) -> None:
    with pytest.raises(PastedError):
        server_certificate.install(caller, LOCAL, b"the dog ate it", at=NOW)


def test_a_bucket_without_versions_is_refused_before_the_manifest() -> None:
    """Without versions the key would change under a chain that is still the old one."""
    with aws(versioned=False) as caller:
        with pytest.raises(NotVersionedError):
            server_certificate.request(caller, LOCAL)

        assert MANIFEST_KEY not in keys_in_bucket(caller)


def test_before_the_store_is_deployed_the_error_says_so(authority: Authority) -> None:
    with aws(deployed=False) as caller, pytest.raises(NotDeployedError):
        server_certificate.install(caller, LOCAL, authority.server().chain_pem, at=NOW)


def test_a_pending_key_that_is_none_is_a_fault_of_its_own(caller: Caller, authority: Authority) -> None:
    bucket = naming.certificate_bucket(LOCAL)
    caller.client("s3").put_object(Bucket=bucket, Key=PENDING_PRIVATE_KEY_KEY, Body=b"not a key")

    with pytest.raises(ChainRefusedError, match="the private key is not PEM"):
        server_certificate.install(caller, LOCAL, authority.server().chain_pem, at=NOW)


def _install(caller: Caller, authority: Authority) -> bytes:
    chain = authority.sign(server_certificate.request(caller, LOCAL))
    server_certificate.install(caller, LOCAL, chain, at=NOW)
    return chain


class _Once:
    """Let something happen at the first chance where it changes or fails something, and never again."""

    def __init__(self, act: Callable[[dict[str, Any]], object]) -> None:
        self._act = act
        self._is_over = False

    def __call__(self, facts: dict[str, Any]) -> None:
        if self._is_over:
            return
        try:
            self._is_over = self._act(facts) is not None
        except Exception:
            self._is_over = True
            raise
