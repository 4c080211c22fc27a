"""`certificates.py request`: a key that waits in the bucket, and a request for a public CA."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from service.contract import PENDING_PRIVATE_KEY_KEY
from stacks.ceremonies import server_certificate, signing_request
from stacks.ceremonies.access import CallFailedError, NotDeployedError, NotPermittedError
from stacks.ceremonies.server_certificate import PendingKeyExistsError
from stacks.ceremonies.signing_request import KeyKind, Subject, SubjectError
from tests.stacks.ceremonies.stage import LOCAL, Caller, aws, body_of, keys_in_bucket, refuse


def test_the_request_names_the_host_where_clients_and_cas_look(caller: Caller) -> None:
    csr = x509.load_pem_x509_csr(server_certificate.request(caller, LOCAL))

    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ingress.local.test"]
    assert csr.subject.rfc4514_string() == "CN=ingress.local.test"
    assert csr.is_signature_valid


def test_the_key_waits_in_the_bucket_and_is_the_one_the_request_is_for(caller: Caller) -> None:
    csr = x509.load_pem_x509_csr(server_certificate.request(caller, LOCAL))

    key = load_pem_private_key(body_of(caller, PENDING_PRIVATE_KEY_KEY), password=None)
    assert key.public_key() == csr.public_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"


def test_the_key_is_encrypted_as_the_bucket_decides(caller: Caller) -> None:
    """The bucket's default is the store's own key; a request that names another is denied by its policy."""
    server_certificate.request(caller, LOCAL)

    ((_, put),) = [call for call in caller.calls if call[0] == "PutObject"]
    assert "ServerSideEncryption" not in put


def test_every_call_names_who_must_own_the_bucket(caller: Caller) -> None:
    server_certificate.request(caller, LOCAL)
    server_certificate.status(caller, LOCAL)

    assert {facts["ExpectedBucketOwner"] for _, facts in caller.calls} == {LOCAL.account}


def test_an_rsa_key_can_be_had(caller: Caller) -> None:
    csr = x509.load_pem_x509_csr(server_certificate.request(caller, LOCAL, key_kind=KeyKind.RSA_3072))

    key = csr.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072


def test_who_asks_stands_in_the_subject(caller: Caller) -> None:
    subject = Subject(organization="Kliniken Köln gGmbH", locality="Köln", state="NRW", country="DE")

    csr = x509.load_pem_x509_csr(server_certificate.request(caller, LOCAL, subject=subject))

    assert [str(each.value) for each in csr.subject] == [
        "DE",
        "NRW",
        "Köln",
        "Kliniken Köln gGmbH",
        "ingress.local.test",
    ]


def test_a_host_name_too_long_for_a_common_name_stands_in_the_alternative_name_alone() -> None:
    """RFC 5280, appendix A: a common name has at most 64 characters."""
    host_name = f"{'a' * 60}.example.com"

    csr = x509.load_pem_x509_csr(signing_request.make(host_name, Subject()).csr_pem)

    assert not csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [host_name]


@pytest.mark.parametrize(
    "facts", [{"country": "Germany"}, {"country": "de"}, {"organization": ""}, {"locality": "a" * 65}]
)
def test_what_no_certificate_can_hold_is_misuse(facts: dict[str, str]) -> None:
    with pytest.raises(SubjectError) as caught:
        Subject(**facts)

    assert caught.value.exit_code == 64


def test_a_key_that_waits_is_not_overwritten(caller: Caller) -> None:
    """The CA may be working on its request for days; the message says since when and which key it is."""
    first = x509.load_pem_x509_csr(server_certificate.request(caller, LOCAL))
    waiting = body_of(caller, PENDING_PRIVATE_KEY_KEY)

    with pytest.raises(PendingKeyExistsError) as caught:
        server_certificate.request(caller, LOCAL)

    assert body_of(caller, PENDING_PRIVATE_KEY_KEY) == waiting
    assert caught.value.pending is not None
    assert f"pending since {server_certificate.show_time(caught.value.pending.since)}" in str(caught.value)
    assert _pin(first) in str(caught.value)
    assert "--replace-pending" in (caught.value.hint or "")


def test_a_key_that_waits_is_given_up_on_demand(caller: Caller) -> None:
    server_certificate.request(caller, LOCAL)

    second = x509.load_pem_x509_csr(server_certificate.request(caller, LOCAL, replace_pending=True))

    key = load_pem_private_key(body_of(caller, PENDING_PRIVATE_KEY_KEY), password=None)
    assert key.public_key() == second.public_key()


def test_before_the_store_is_deployed_the_error_says_how_to_deploy_it() -> None:
    with aws(deployed=False) as caller, pytest.raises(NotDeployedError) as caught:
        server_certificate.request(caller, LOCAL)

    assert "certificate_store" in str(caught.value)
    assert caught.value.hint == "python scripts/deploy.py deploy --env local"
    assert caught.value.exit_code == 5


def test_a_caller_who_may_not_is_told_so(caller: Caller) -> None:
    caller.before("PutObject", refuse("AccessDenied"))

    with pytest.raises(NotPermittedError) as caught:
        server_certificate.request(caller, LOCAL)

    assert caught.value.exit_code == 4


def test_any_other_answer_of_aws_keeps_its_code(caller: Caller) -> None:
    caller.before("PutObject", refuse("SlowDown"))

    with pytest.raises(CallFailedError, match="SlowDown"):
        server_certificate.request(caller, LOCAL)

    assert keys_in_bucket(caller) == set()


def test_the_key_never_shows_in_the_representation() -> None:
    made = signing_request.make("ingress.local.test", Subject())

    assert "PRIVATE" not in repr(made)


def _pin(csr: x509.CertificateSigningRequest) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    return signing_request.pin_of(csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
