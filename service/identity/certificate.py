"""
An X.509 certificate as this house speaks of it (pure).

One parser for what an operator enrolls, what the service boots with and what
a peer shows: the same bytes always give the same fingerprint and the same
key, on both sides of the gate.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from service.errors import CertificateError, FingerprintError

MAX_CERTIFICATE_BYTES: Final = 128 * 1024
"""128 KiB: OpenSSL refuses longer handshake messages of a peer at 100 KiB; PEM is a third longer than DER."""

MIN_RSA_BITS: Final = 2048
"""CA/Browser Forum Baseline Requirements, section 6.1.5; NIST SP 800-57 part 1, table 2, disallows less."""

TAKEN_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""What TLS 1.3 has signature schemes for, beside the Brainpool curves of RFC 8734, which hardly any client offers."""

MAX_FINGERPRINT_TEXT: Final = MAX_CERTIFICATE_BYTES
"""A whole certificate may be pasted where its fingerprint is asked for."""

_SEPARATORS: Final = re.compile("[\\s:\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff-]")
"""What people and Windows put between the digits: colons, blanks, dashes, invisible direction marks."""

_LABELS: Final = re.compile(
    r"(?:certificate|cert|sha-?256|sha-?1|fingerprint|thumbprint|\((?:sha-?256|sha-?1)\)|[ \t])*[ \t]*[=:]",
    re.IGNORECASE,
)
"""What tools write in front, as `openssl x509 -fingerprint` does: `sha256 Fingerprint=`."""

_PIN: Final = re.compile(r"(?:pin-sha256=\"?|sha256/{1,2})(?P<digest>[A-Za-z0-9+/_-]{43}=?)\"?")
"""The pin of a public key as curl (`--pinnedpubkey`), OkHttp and RFC 7469 write it."""

_BASE64_DIGEST: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
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
        Read a fingerprint as people and tools write it.

        Any case, with colons, blanks or invisible marks; the output of
        `openssl x509 -noout -fingerprint -sha256`, whole; or the certificate
        itself in PEM.

        Raises:
            FingerprintError: The text is something else; what it seems to be is said.
        """
        if len(text) > MAX_FINGERPRINT_TEXT:
            raise FingerprintError(f"{len(text)} characters are too many")
        if "-----BEGIN" in text:
            return cls(_fingerprint_of_pem(text))
        digits = _SEPARATORS.sub("", _without_label(text)).lower()
        if not _SHA256_HEX.fullmatch(digits):
            raise FingerprintError(_explain(text, digits))
        return cls(digits)


@dataclass(frozen=True, slots=True)
class SubjectPublicKeyInfo:
    """
    A leaf's key, which is all of a certificate that a decision needs.

    Attributes:
        der: Algorithm and public key.
        weakness: Why the key is too weak to identify anybody, or None if it is not.
    """

    der: bytes = field(repr=False)
    weakness: str | None

    @property
    def pin(self) -> str:
        """SHA-256 of it, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()


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
        weakness: Why its key is too weak to identify anybody, or None if it is not.
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
    weakness: str | None

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


def read_key(der: bytes) -> SubjectPublicKeyInfo:
    """
    Read the key of a DER certificate and nothing else: a sixth of what it costs to read the whole.

    A partner comes with the same certificate for a year, so the keys of common ones are kept; large certificates,
    which are nobody's but a stranger's who wants our memory, are read anew each time.

    Raises:
        CertificateError: Not a certificate, or a key of a kind nobody can verify.
    """
    return _remembered_key(der) if len(der) <= _LARGEST_REMEMBERED_BYTES else _read_key(der)


def _read_key(der: bytes) -> SubjectPublicKeyInfo:
    try:
        key = x509.load_der_x509_certificate(der).public_key()
        return SubjectPublicKeyInfo(_encode(key), weakness_of(key))
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise CertificateError("neither it nor its key can be read") from error


_LARGEST_REMEMBERED_BYTES: Final = 4 * 1024
_remembered_key: Final = functools.lru_cache(maxsize=1024)(_read_key)
"""At most 8 MiB: no key is longer than its certificate."""


def weakness_of(key: CertificatePublicKeyTypes) -> str | None:
    """Say why a public key is too weak to identify anybody, or None if it is not; what is not listed here is."""
    match key:
        case rsa.RSAPublicKey():
            return None if key.key_size >= MIN_RSA_BITS else f"RSA of {key.key_size} bits, at least {MIN_RSA_BITS}"
        case ec.EllipticCurvePublicKey():
            return None if isinstance(key.curve, TAKEN_CURVES) else f"{key.curve.name}; P-256, P-384 or P-521 expected"
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return None
        case dsa.DSAPublicKey():
            return "DSA, which TLS 1.3 does not know"
        case _:
            return "of a kind that cannot sign a handshake here"


def parse_pin(text: str) -> str:
    """
    Read the pin of a public key: SHA-256 of its SPKI in hexadecimal or, as curl and browsers write it, `sha256//...`.

    Returns:
        64 lower-case hexadecimal digits.

    Raises:
        FingerprintError: The text is neither.
    """
    if match := _PIN.fullmatch(text.strip()):
        return _unbase64(match["digest"]).hex()
    return Fingerprint.parse(text.strip().removeprefix("pin#")).hex


def _without_label(text: str) -> str:
    """Leave what stands behind the label, on the line that has one if there are several."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    labelled = [line for line in lines if "fingerprint" in line.lower()]
    line = labelled[0] if len(labelled) == 1 else text.strip()
    match = _LABELS.match(line)
    return line[match.end() :] if match else line


def _explain(text: str, digits: str) -> str:
    if _SHA1_HEX.fullmatch(digits):
        return "40 digits are a SHA-1; ask for the SHA-256, or for the certificate itself"
    if match := _PIN.fullmatch(text.strip()):
        pin = _unbase64(match["digest"]).hex()
        return f"this is the pin of a public key, not of a certificate ({pin} in hexadecimal); ask for the certificate"
    if _BASE64_DIGEST.fullmatch(text.strip()):
        found = _unbase64(text.strip()).hex()
        return (
            f"these are 32 bytes in base64, {found} in hexadecimal: a token's x5t#S256 is a certificate's fingerprint, "
            "a pin is a key's; type it in hexadecimal if it is a certificate's"
        )
    return f"64 hexadecimal digits expected, {len(digits)} characters found"


def _unbase64(text: str) -> bytes:
    """Decode 43 characters of either alphabet, the usual one or the one for URLs, and a filler or none."""
    return base64.b64decode(text.rstrip("=").translate(_TO_USUAL_ALPHABET) + "=")


_TO_USUAL_ALPHABET: Final = str.maketrans("-_", "+/")


def _fingerprint_of_pem(text: str) -> str:
    try:
        return parse_certificate(text.encode()).fingerprint.hex
    except (CertificateError, UnicodeEncodeError) as error:
        raise FingerprintError(f"it looks like a certificate, but is not one: {error}") from error


def _encode(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _load_der(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise CertificateError("neither PEM nor DER of an X.509 certificate") from error


def _describe(certificate: x509.Certificate) -> Certificate:
    der = certificate.public_bytes(Encoding.DER)
    try:
        key = certificate.public_key()
        spki = _encode(key)
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
            weakness=weakness_of(key),
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
