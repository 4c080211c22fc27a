"""
A certificate authority for this machine alone: it lives in memory and dies with its process.

It answers a certificate signing request as a public CA would, so that the
environment `local` walks the same ceremony as a real one. Its private key is
never written anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stacks.errors import DeploymentError

SERVER_VALIDITY: Final = timedelta(days=30)
"""Longer than any local run, short enough that a stray copy is soon worthless."""

CLIENT_VALIDITY: Final = timedelta(days=365)
ROOT_VALIDITY: Final = timedelta(days=365)

_BACKDATED: Final = timedelta(minutes=5)
"""Clocks of two processes on one machine may differ by a second; of a container's host by a little more."""

_SERVER: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_CLIENT: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class RequestRefusedError(DeploymentError):
    """The certificate signing request cannot be answered."""

    exit_code = 5

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the certificate signing request cannot be answered: {reason}",
            hint="certificates.py request makes one that can",
        )


@dataclass(frozen=True, slots=True)
class DevelopmentAuthority:
    """
    A root that signs leaves directly.

    Attributes:
        at: The moment its certificates count from; aware.
    """

    certificate: x509.Certificate
    at: datetime
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, at: datetime) -> Self:
        """Make a new authority; two never share a key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("mtls-ingress development authority")
        certificate = (
            _builder(name, key.public_key(), at=at, validity=ROOT_VALIDITY)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, at, key)

    @property
    def certificate_pem(self) -> bytes:
        """The root: what a client trusts to talk to the local ingress."""
        return self.certificate.public_bytes(Encoding.PEM)

    def sign(self, csr_pem: bytes) -> bytes:
        """
        Answer a request for a server certificate.

        Returns:
            The chain in PEM: the leaf, then the root.

        Raises:
            RequestRefusedError: Not a request, not signed by its own key, or without a host name.
        """
        csr = _read_request(csr_pem)
        names = _host_names(csr)
        key = csr.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise RequestRefusedError("its key is neither ECDSA nor RSA")
        builder = _builder(csr.subject, key, at=self.at, validity=SERVER_VALIDITY)
        leaf = self._sign_leaf(builder.add_extension(names, critical=False), _SERVER)
        return leaf.public_bytes(Encoding.PEM) + self.certificate_pem

    def issue_client(
        self, common_name: str, *, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
    ) -> tuple[bytes, bytes]:
        """
        Make a client certificate and its key, for demonstrations and tests.

        Args:
            common_name: Its subject.
            key: What is certified; None makes a new P-256 key.

        Returns:
            Certificate and private key, both PEM; the key without a passphrase.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), key.public_key(), at=self.at, validity=CLIENT_VALIDITY)
        certificate = self._sign_leaf(builder, _CLIENT)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), key_pem

    def _sign_leaf(self, builder: x509.CertificateBuilder, purpose: x509.ExtendedKeyUsage) -> x509.Certificate:
        # CA:FALSE on purpose: browsers silently never offer a client certificate that says CA:TRUE and clientAuth.
        return (
            builder.issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(purpose, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _builder(subject: x509.Name, key: _PublicKey, *, at: datetime, validity: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - _BACKDATED)
        .not_valid_after(at + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _read_request(csr_pem: bytes) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        is_signed = csr.is_signature_valid
    except ValueError as error:
        raise RequestRefusedError("it is not a PEM request") from error
    if not is_signed:
        raise RequestRefusedError("its signature is not by its own key")
    return csr


def _host_names(csr: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName:
    try:
        return csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound as error:
        raise RequestRefusedError("it names no host") from error


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
