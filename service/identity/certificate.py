"""
An X.509 certificate as this house speaks of it (pure).

One parser for what an operator enrolls, what the service boots with and what
a peer shows: the same bytes always give the same fingerprint and the same
key, on both sides of the gate.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from service.errors import CertificateError, FingerprintError

MAX_CERTIFICATE_BYTES: Final = 128 * 1024
"""128 KiB: OpenSSL refuses longer handshake messages of a peer at 100 KiB; PEM is a third longer than DER."""

_SEPARATORS: Final = re.compile("[\\s:\u200e\u200f\u202a-\u202e\ufeff-]")
"""What people and Windows put between the digits: colons, blanks, dashes, invisible direction marks."""

_SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
_SHA1_HEX: Final = re.compile(r"[0-9a-f]{40}")
_PEM_BEGIN: Final = b"-----BEGIN"

_EXTENDED_KEY_USAGES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """
    SHA-256 over a whole DER certificate: the key of the client registry.

    Attributes:
        hex: 64 lower-case hexadecimal digits.
    """

    hex: str

    def __post_init__(self) -> None:
        """Refuse anything else, so that no later room tests it again."""
        if not _SHA256_HEX.fullmatch(self.hex):
            raise FingerprintError("64 lower-case hexadecimal digits expected")

    def __str__(self) -> str:
        """Return the digits alone, for logs and messages."""
        return self.hex

    @classmethod
    def of_certificate(cls, der: bytes) -> Self:
        """Compute the fingerprint of a DER certificate."""
        return cls(hashlib.sha256(der).hexdigest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read a fingerprint as people write it: any case, with colons, blanks or invisible marks.

        Raises:
            FingerprintError: The text is something else; a SHA-1 is named as such.
        """
        digits = _SEPARATORS.sub("", text).lower()
        if _SHA1_HEX.fullmatch(digits):
            raise FingerprintError("40 digits are a SHA-1; ask for the SHA-256, or for the certificate itself")
        if not _SHA256_HEX.fullmatch(digits):
            raise FingerprintError(f"64 hexadecimal digits expected, {len(digits)} characters found")
        return cls(digits)


@dataclass(frozen=True, slots=True)
class Certificate:
    """
    What one certificate says.

    Attributes:
        der: The certificate, byte for byte.
        subject_public_key_info: DER of algorithm and public key.
        pin: SHA-256 of it, 64 lower-case hexadecimal digits.
        subject: As RFC 4514 text; empty when the certificate has none.
        issuer: The same, of who signed it.
        dns_names: The subject alternative names that are host names, in order.
        extended_key_usages: `serverAuth`, `clientAuth`, ... or dotted numbers; empty when unrestricted.
        not_before: Aware, UTC.
        not_after: Aware, UTC; valid up to and including this second.
        sha1: For people whose system shows nothing else; never a key of ours.
    """

    der: bytes = field(repr=False)
    fingerprint: Fingerprint
    subject_public_key_info: bytes = field(repr=False)
    pin: str
    subject: str
    issuer: str
    serial: int
    dns_names: tuple[str, ...]
    extended_key_usages: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha1: str

    def is_in_date(self, at: datetime) -> bool:
        """Whether the certificate's own validity covers the moment."""
        return self.not_before <= at <= self.not_after


def parse_certificate(data: bytes) -> Certificate:
    """
    Read one certificate, PEM (text around the block does not matter) or DER.

    Raises:
        CertificateError: Not a certificate, more than one, too large, or a key
            of a kind nobody can verify.
    """
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise CertificateError(f"{len(data)} bytes, at most {MAX_CERTIFICATE_BYTES} are read")
    if not data.strip():
        raise CertificateError("it is empty")
    if _PEM_BEGIN not in data:
        return _describe(_load_der(data))
    loaded = load_pem_chain(data)
    if len(loaded) != 1:
        raise CertificateError(f"exactly one expected, {len(loaded)} found")
    return loaded[0]


def load_pem_chain(data: bytes) -> tuple[Certificate, ...]:
    """
    Read every certificate of a PEM text, in its order; at least one.

    Raises:
        CertificateError: None found, or one of them cannot be read.
    """
    try:
        return tuple(_describe(each) for each in x509.load_pem_x509_certificates(data))
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise CertificateError("no whole PEM block of type CERTIFICATE in it") from error


def _load_der(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise CertificateError("neither PEM nor DER of an X.509 certificate") from error


def _describe(certificate: x509.Certificate) -> Certificate:
    der = certificate.public_bytes(Encoding.DER)
    try:
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Certificate(
            der=der,
            fingerprint=Fingerprint.of_certificate(der),
            subject_public_key_info=spki,
            pin=hashlib.sha256(spki).hexdigest(),
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            serial=certificate.serial_number,
            dns_names=_dns_names(certificate.extensions),
            extended_key_usages=_extended_key_usages(certificate.extensions),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError("its key, names or dates are malformed or of an unknown kind") from error
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CertificateError("its extensions are malformed") from error


def _dns_names(extensions: x509.Extensions) -> tuple[str, ...]:
    for extension in extensions:
        if extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME and isinstance(
            extension.value,
            x509.SubjectAlternativeName,
        ):
            return tuple(extension.value.get_values_for_type(x509.DNSName))
    return ()


def _extended_key_usages(extensions: x509.Extensions) -> tuple[str, ...]:
    for extension in extensions:
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            return tuple(_EXTENDED_KEY_USAGES.get(usage, usage.dotted_string) for usage in extension.value)
    return ()
