"""
A new server key and the request that asks a public CA to certify it (pure).

The host name stands in the subject alternative name, where clients look, and
in the common name, where some CAs still want it. Everything else a CA takes
from its own records or ignores.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from stacks.errors import DeploymentError

_MAX_COMMON_NAME: Final = 64
"""RFC 5280, appendix A: ub-common-name; a longer host name stands in the alternative name alone."""

_RSA_BITS: Final = 3072
_RSA_EXPONENT: Final = 65537
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


class KeyKind(StrEnum):
    """Which key the server will have; P-256 is the cheaper handshake, RSA for partners who know nothing else."""

    P256 = "p-256"
    RSA_3072 = "rsa-3072"


class SubjectError(DeploymentError):
    """The organization, place or country cannot stand in a certificate."""

    exit_code = 64

    def __init__(self, fact: str, expected: str) -> None:
        super().__init__(f"{fact} must be {expected}")


@dataclass(frozen=True, slots=True)
class Subject:
    """
    Who asks, beside the host name; all of it may be left out.

    Attributes:
        organization: The legal name, for certificates that vouch for it.
        locality: City.
        state: State or province, written out.
        country: Two capital letters (ISO 3166).
    """

    organization: str | None = None
    locality: str | None = None
    state: str | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no certificate can hold."""
        for fact in ("organization", "locality", "state"):
            value = getattr(self, fact)
            if value is not None and not _TEXT.fullmatch(value):
                raise SubjectError(fact, "1 to 64 printable characters")
        if self.country is not None and not _COUNTRY.fullmatch(self.country):
            raise SubjectError("country", "two capital letters, such as US")


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A new private key and the request for its certificate, both PEM."""

    private_key_pem: bytes = field(repr=False)
    csr_pem: bytes
    spki_sha256: str


def make(host_name: str, subject: Subject, *, key_kind: KeyKind = KeyKind.P256) -> SigningRequest:
    """Make a key of the kind and a request for it, signed by it."""
    key = _new_key(key_kind)
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in _attributes(host_name, subject)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host_name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return SigningRequest(
        private_key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        csr_pem=csr.public_bytes(Encoding.PEM),
        spki_sha256=pin_of(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    )


def pin_of(subject_public_key_info: bytes) -> str:
    """Compute the pin of a public key: SHA-256 of its DER, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(subject_public_key_info).hexdigest()


def _new_key(kind: KeyKind) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    match kind:
        case KeyKind.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyKind.RSA_3072:
            return rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=_RSA_BITS)


def _attributes(host_name: str, subject: Subject) -> Iterator[tuple[ObjectIdentifier, str]]:
    """Walk the subject from the country inwards, the order CAs write it in."""
    for oid, value in (
        (NameOID.COUNTRY_NAME, subject.country),
        (NameOID.STATE_OR_PROVINCE_NAME, subject.state),
        (NameOID.LOCALITY_NAME, subject.locality),
        (NameOID.ORGANIZATION_NAME, subject.organization),
        (NameOID.COMMON_NAME, host_name if len(host_name) <= _MAX_COMMON_NAME else None),
    ):
        if value is not None:
            yield oid, value
