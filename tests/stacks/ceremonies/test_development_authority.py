"""The development authority answers as a public CA would, for this machine alone."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from service.boot.server_identity import check_server_identity
from stacks.ceremonies.development_authority import DevelopmentAuthority, RequestRefusedError
from stacks.ceremonies.signing_request import Subject, make
from tests.certificates import CLIENT_AUTH, HOST_NAME, NOW, new_key


def test_a_client_that_trusts_the_root_trusts_the_leaf_under_its_host_name() -> None:
    authority = DevelopmentAuthority.create(NOW)

    leaf, root = x509.load_pem_x509_certificates(authority.sign(make(HOST_NAME, Subject()).csr_pem))

    verifier = PolicyBuilder().store(Store([root])).time(NOW).build_server_verifier(x509.DNSName(HOST_NAME))
    assert verifier.verify(leaf, []) == [leaf, root]
    assert root.public_bytes(Encoding.PEM) == authority.certificate_pem


def test_the_service_would_boot_with_its_answer() -> None:
    asked = make(HOST_NAME, Subject())

    chain = DevelopmentAuthority.create(NOW).sign(asked.csr_pem)

    assert (
        check_server_identity(chain, asked.private_key_pem, host_name=HOST_NAME, at=NOW).leaf.pin == asked.spki_sha256
    )


def test_a_client_certificate_is_one_that_browsers_offer() -> None:
    """Chromium and NSS never offer a certificate with both CA:TRUE and clientAuth, and say nothing."""
    certificate_pem, key_pem = DevelopmentAuthority.create(NOW).issue_client("demo")

    certificate = x509.load_pem_x509_certificate(certificate_pem)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [CLIENT_AUTH]
    assert load_pem_private_key(key_pem, password=None).public_key() == certificate.public_key()


def test_two_authorities_share_nothing() -> None:
    first, second = DevelopmentAuthority.create(NOW), DevelopmentAuthority.create(NOW)

    assert first.certificate.public_key() != second.certificate.public_key()


def test_its_key_never_shows() -> None:
    assert "key" not in repr(DevelopmentAuthority.create(NOW)).lower()


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(RequestRefusedError, match="not a PEM request"):
        DevelopmentAuthority.create(NOW).sign(b"please")


def test_a_request_without_a_host_name_is_refused() -> None:
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(new_key(), hashes.SHA256())

    with pytest.raises(RequestRefusedError, match="no host"):
        DevelopmentAuthority.create(NOW).sign(csr.public_bytes(Encoding.PEM))


def test_a_request_not_signed_by_its_own_key_is_refused() -> None:
    """Whoever asks must hold the key: the last byte of the signature is changed here."""
    der = bytearray(x509.load_pem_x509_csr(make(HOST_NAME, Subject()).csr_pem).public_bytes(Encoding.DER))
    der[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)

    with pytest.raises(RequestRefusedError, match="not by its own key"):
        DevelopmentAuthority.create(NOW).sign(pem)


def test_a_key_of_a_kind_few_can_verify_is_refused() -> None:
    names = x509.SubjectAlternativeName([x509.DNSName(HOST_NAME)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    csr = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)

    with pytest.raises(RequestRefusedError, match="neither ECDSA nor RSA"):
        DevelopmentAuthority.create(NOW).sign(csr.public_bytes(Encoding.PEM))
