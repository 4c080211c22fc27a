"""
Read certificates the way people hand them over: files, mails, chat windows (pure).

Text around the PEM, CRLF, indentation, mail quoting, escaped line ends,
UTF-16 from Windows, DER, or the Base64 alone: all are read. What is something
else is named for what it looks like. A private key is refused before anything
else is looked at, and none of its bytes appears in any message.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from service.errors import CertificateError
from service.identity.certificate import MAX_CERTIFICATE_BYTES, Certificate, parse_certificate
from stacks.errors import DeploymentError

MAX_PASTED_BYTES: Final = 512 * 1024
"""Several certificates with the mail around them; more is some other file."""

_MAX_BLOCKS: Final = 32
"""A chain has two to four certificates; the bundle of a whole system's authorities has over a hundred."""

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_BEGIN: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_CERTIFICATE_LABELS: Final = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
_PRIVATE_KEY: Final = re.compile(r"PRIVATE\W{0,8}KEY\W{0,3}-{2,}")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]")
_BARE_BASE64: Final = re.compile(r"[A-Za-z0-9+/=\s]+")
_FINGERPRINT: Final = re.compile(r"(?:[0-9a-fA-F]{2}[:\s-]?){19,31}[0-9a-fA-F]{2}")
_PKCS12: Final = re.compile(rb"\x30(?:\x80|\x82..|\x83...)\x02\x01\x03\x30", re.DOTALL)
_OTHER_LABELS: Final = {
    "TRUSTED CERTIFICATE": "OpenSSL's own form of a certificate; openssl x509 -in FILE writes the plain one",
    "CERTIFICATE REQUEST": "a certificate signing request; the certificate is what comes back for it",
    "NEW CERTIFICATE REQUEST": "a certificate signing request; the certificate is what comes back for it",
    "PUBLIC KEY": "a public key alone; the whole certificate is needed",
    "PKCS7": "a PKCS #7 bundle; openssl pkcs7 -print_certs -in FILE gives the certificates in it",
}


class PastedError(DeploymentError):
    """What was handed over is not what was asked for."""

    exit_code = 5


class PrivateKeyPastedError(PastedError):
    """Somebody handed over a private key."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"this holds {what}, which must never leave its owner; nothing was read from it or kept",
            hint="treat that key as compromised wherever it passed; ask for a certificate of a new key, alone",
        )


class SeveralCertificatesError(PastedError):
    """One certificate was asked for, and there are more."""

    def __init__(self, certificates: tuple[Certificate, ...]) -> None:
        names = "; ".join(f"{name_of(each)} (SHA-256 {each.fingerprint})" for each in certificates)
        super().__init__(
            f"exactly one certificate expected, {len(certificates)} found: {names}",
            hint="give the client's own certificate alone, without its issuers",
        )
        self.certificates = certificates


def read_certificate(data: bytes) -> Certificate:
    """
    Read the one certificate somebody handed over; the same one twice counts once.

    Raises:
        PrivateKeyPastedError: There is a private key in it.
        SeveralCertificatesError: There are several.
        PastedError: There is none, or it cannot be read.
    """
    certificates = tuple(dict.fromkeys(read_certificates(data)))
    if len(certificates) != 1:
        raise SeveralCertificatesError(certificates)
    return certificates[0]


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """
    Read all certificates somebody handed over, in their order; at least one.

    Raises:
        PrivateKeyPastedError: There is a private key in it.
        PastedError: There is no certificate in it, or one cannot be read.
    """
    if len(data) > MAX_PASTED_BYTES:
        raise PastedError(f"this is longer than {MAX_PASTED_BYTES} bytes; a certificate has some 1,000 to 3,000")
    text = _text(data)
    _refuse_private_key(data, text)
    if "-----BEGIN" in text:
        return _blocks(text)
    try:
        return (parse_certificate(_bare(data, text)),)
    except CertificateError:
        raise _something_else(data, text) from None


def name_of(certificate: Certificate) -> str:
    """Name a certificate by its subject, or by its serial number if it has none."""
    return certificate.subject or f"serial {certificate.serial:x}"


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    text = data.decode("utf-8", errors="replace")
    # A PEM copied out of JSON or a shell variable carries its line ends as two characters.
    return text.replace("\\r", "\r").replace("\\n", "\n")


def _refuse_private_key(data: bytes, text: str) -> None:
    if _PRIVATE_KEY.search(text):
        raise PrivateKeyPastedError("a private key")
    if _PKCS12.match(data):
        raise PrivateKeyPastedError("a PKCS #12 file (.p12, .pfx), certificate and private key together")
    for candidate in (data, _bare(data, text)):
        if _is_private_key(candidate):
            raise PrivateKeyPastedError("a private key")


def _is_private_key(der: bytes) -> bool:
    try:
        load_der_private_key(der, password=None)
    except TypeError:  # it is one, with a passphrase
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _blocks(text: str) -> tuple[Certificate, ...]:
    labels = _BEGIN.findall(text)
    if len(labels) > _MAX_BLOCKS:
        raise PastedError(f"there are {len(labels)} PEM blocks in it; this is a bundle of something else")
    certificates = tuple(
        _parse(_decode(body), number)
        for number, (label, body) in enumerate(_BLOCK.findall(text), start=1)
        if label in _CERTIFICATE_LABELS
    )
    opened = sum(label in _CERTIFICATE_LABELS for label in labels)
    if opened > len(certificates):
        raise PastedError(
            "a certificate is cut off: it begins and never ends",
            hint="copy it whole, from -----BEGIN to the last dash of -----END CERTIFICATE-----",
        )
    if not certificates:
        found = labels[0] if labels else "a block without a name"
        raise PastedError(f"no certificate in it: this is {_OTHER_LABELS.get(found, found)}")
    return certificates


def _parse(der: bytes, number: int) -> Certificate:
    try:
        return parse_certificate(der)
    except CertificateError as error:
        raise PastedError(f"certificate {number} of what was handed over: {error}") from error


def _decode(body: str) -> bytes:
    """Decode Base64 whatever stands between its letters; nothing for what is no Base64 at all."""
    letters = _NOT_BASE64.sub("", body)
    try:
        return base64.b64decode(letters, validate=True)
    except binascii.Error:
        return b""


def _bare(data: bytes, text: str) -> bytes:
    """Return the bytes meant by a paste without PEM lines: Base64 alone is decoded, the rest is DER already."""
    is_base64 = len(text) <= MAX_CERTIFICATE_BYTES * 2 and _BARE_BASE64.fullmatch(text)
    return (_decode(text) or data) if is_base64 else data


def _something_else(data: bytes, text: str) -> PastedError:
    if not data.strip():
        return PastedError("nothing was handed over: it is empty", hint="give a FILE, or paste and end with Ctrl-D")
    if _FINGERPRINT.fullmatch(text.strip()):
        return PastedError(
            "this is a fingerprint; the certificate itself is needed, because its public key is compared too",
            hint="ask the partner for the certificate, PEM or DER; it is public",
        )
    return PastedError(
        "no certificate in it: neither PEM nor DER", hint="a PEM begins with -----BEGIN CERTIFICATE-----"
    )
