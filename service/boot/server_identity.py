"""
The server's own identity: which pair is in force, and whether it may be served (pure).

Asked twice with the same words: by the operator's script before a pair goes
into the bucket, and by the service before anything listens. Only a checked
pair ever becomes a `ServerIdentity`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from service.contract import MANIFEST_FORMAT, ManifestField
from service.errors import CertificateError, ManifestError, ServerIdentityError
from service.identity.certificate import MIN_RSA_BITS, Certificate, load_pem_chain

MAX_CHAIN_CERTIFICATES: Final = 8
"""Public chains have two to four; a longer one is a bundle of something else."""

_CURVES: Final = ("secp256r1", "secp384r1")
"""What every partner's TLS stack verifies, and what public CAs sign."""

_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_PIN: Final = re.compile(r"[0-9a-f]{64}")
_VERSION_ID: Final = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """
    Public facts of the pair in force; written last, so that a pair switches at once.

    Attributes:
        host_name: What the leaf is for.
        chain: The chain as PEM text, leaf first.
        chain_version_id: The object version of the chain to fetch.
        private_key_version_id: The object version of the key to fetch.
        spki_sha256: The leaf's pin, 64 lower-case hexadecimal digits.
        not_after: When the leaf ends; aware, UTC, whole seconds.
    """

    host_name: str
    chain: str
    chain_version_id: str
    private_key_version_id: str
    spki_sha256: str
    not_after: datetime

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """
        Read a manifest; fields of a later hand that this one does not know are left alone.

        Raises:
            ManifestError: With every fault.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            raise ManifestError(("it is not JSON",)) from None
        if not isinstance(document, dict):
            raise ManifestError(("it is not a JSON object",))
        faults = tuple(_manifest_faults(document))
        if faults:
            raise ManifestError(faults)
        return cls(
            host_name=document[ManifestField.HOST_NAME],
            chain=document[ManifestField.CHAIN],
            chain_version_id=document[ManifestField.CHAIN_VERSION_ID],
            private_key_version_id=document[ManifestField.PRIVATE_KEY_VERSION_ID],
            spki_sha256=document[ManifestField.SPKI_SHA256],
            not_after=_parse_time(document[ManifestField.NOT_AFTER]),
        )

    def render(self) -> bytes:
        """Write it: JSON, one field a line, the same bytes for the same facts."""
        document: dict[str, str | int] = {
            ManifestField.FORMAT: MANIFEST_FORMAT,
            ManifestField.HOST_NAME: self.host_name,
            ManifestField.CHAIN: self.chain,
            ManifestField.CHAIN_VERSION_ID: self.chain_version_id,
            ManifestField.PRIVATE_KEY_VERSION_ID: self.private_key_version_id,
            ManifestField.SPKI_SHA256: self.spki_sha256,
            ManifestField.NOT_AFTER: _show(self.not_after),
        }
        return json.dumps(document, indent=2).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """
    A chain and its key that were checked and may be served.

    Attributes:
        chain_pem: Leaf first.
        private_key_pem: Never shown, never written.
    """

    chain_pem: bytes = field(repr=False)
    private_key_pem: bytes = field(repr=False)
    leaf: Certificate

    @property
    def not_after(self) -> datetime:
        """When the leaf ends; aware, UTC."""
        return self.leaf.not_after


def check_server_identity(
    chain_pem: bytes,
    private_key_pem: bytes,
    *,
    host_name: str,
    at: datetime,
) -> ServerIdentity:
    """
    Decide whether this pair may be served under this name at this moment.

    Args:
        chain_pem: Leaf first, each certificate signed by the next; the root may be left out.
        private_key_pem: PEM without a passphrase.
        host_name: What partners connect to.
        at: Aware.

    Raises:
        ServerIdentityError: With every fault found, not the first alone.
    """
    faults: list[str] = []
    chain: tuple[Certificate, ...] = ()
    try:
        chain = load_pem_chain(chain_pem)
    except CertificateError as error:
        faults.append(f"the chain is {error}")
    key = _load_key(private_key_pem, faults)
    if chain:
        faults += _chain_faults(chain, at)
        faults += _leaf_faults(chain[0], host_name)
    if key is not None:
        faults += _strength_faults(key)
    if chain and key is not None and _public_key(key) != chain[0].subject_public_key_info:
        faults.append("the private key does not match the leaf")
    if faults:
        raise ServerIdentityError(tuple(faults))
    return ServerIdentity(chain_pem, private_key_pem, chain[0])


def matches_host_name(pattern: str, host_name: str) -> bool:
    """
    Whether a certificate's DNS name covers a host name (RFC 6125, section 6.4.3).

    A wildcard stands for exactly one whole left-most label.
    """
    wanted, offered = host_name.lower().rstrip("."), pattern.lower().rstrip(".")
    if not offered.startswith("*."):
        return offered == wanted
    label, _, parent = wanted.partition(".")
    return bool(label) and parent == offered.removeprefix("*.")


def _manifest_faults(document: dict[str, object]) -> list[str]:
    faults = []
    version = document.get(ManifestField.FORMAT)
    if isinstance(version, bool) or version != MANIFEST_FORMAT:
        faults.append(f"`{ManifestField.FORMAT}` must be {MANIFEST_FORMAT}")
    for name in ManifestField:
        value = document.get(name)
        if name is not ManifestField.FORMAT and not (isinstance(value, str) and value):
            faults.append(f"`{name}` must be a text that is not empty")
    for name in (ManifestField.CHAIN_VERSION_ID, ManifestField.PRIVATE_KEY_VERSION_ID):
        value = document.get(name)
        if isinstance(value, str) and value and not _VERSION_ID.fullmatch(value):
            faults.append(f"`{name}` must be an object version of up to 1024 characters, no blanks")
    pin, moment = document.get(ManifestField.SPKI_SHA256), document.get(ManifestField.NOT_AFTER)
    if isinstance(pin, str) and pin and not _PIN.fullmatch(pin):
        faults.append(f"`{ManifestField.SPKI_SHA256}` must be 64 lower-case hexadecimal digits")
    if isinstance(moment, str) and moment and not _is_time(moment):
        faults.append(f"`{ManifestField.NOT_AFTER}` must be a time like 2026-11-23T10:00:00Z")
    return faults


def _is_time(text: str) -> bool:
    try:
        _parse_time(text)
    except ValueError:
        return False
    return True


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)


def _load_key(private_key_pem: bytes, faults: list[str]) -> PrivateKeyTypes | None:
    try:
        return load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        faults.append("the private key is not PEM without a passphrase")
        return None


def _public_key(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _strength_faults(key: PrivateKeyTypes) -> list[str]:
    match key:
        case rsa.RSAPrivateKey() if key.key_size < MIN_RSA_BITS:
            return [f"the key is weak: RSA of {key.key_size} bits, at least {MIN_RSA_BITS} expected"]
        case rsa.RSAPrivateKey():
            return []
        case ec.EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return []
        case ec.EllipticCurvePrivateKey():
            return [f"the key is on the curve {key.curve.name}; expected one of {', '.join(_CURVES)}"]
        case _:
            return ["the key is neither RSA nor ECDSA, and few partners could verify it"]


def _chain_faults(chain: tuple[Certificate, ...], at: datetime) -> list[str]:
    faults = []
    if len(chain) > MAX_CHAIN_CERTIFICATES:
        return [f"the chain has {len(chain)} certificates, at most {MAX_CHAIN_CERTIFICATES} expected"]
    for certificate in chain:
        if at > certificate.not_after:
            faults.append(f"expired at {_show(certificate.not_after)}: {_name(certificate)}")
        if at < certificate.not_before:
            faults.append(f"not valid before {_show(certificate.not_before)}: {_name(certificate)}")
    for issued, issuer in pairwise(chain):
        if not _is_issued_by(issued, issuer):
            faults.append(f"the chain is out of order: {_name(issued)} was not signed by {_name(issuer)} after it")
    return faults


def _leaf_faults(leaf: Certificate, host_name: str) -> list[str]:
    faults = []
    if not any(matches_host_name(name, host_name) for name in leaf.dns_names):
        offered = ", ".join(leaf.dns_names) or "no DNS name at all"
        faults.append(f"wrong host name: {host_name} expected, the leaf is for {offered}")
    usages = leaf.extended_key_usages
    if usages and not {"serverAuth", "anyExtendedKeyUsage"} & set(usages):
        faults.append(f"the leaf is not for servers: its extended key usage is {', '.join(usages)}")
    return faults


def _is_issued_by(issued: Certificate, issuer: Certificate) -> bool:
    child, parent = (x509.load_der_x509_certificate(each.der) for each in (issued, issuer))
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _name(certificate: Certificate) -> str:
    return certificate.subject or f"serial {certificate.serial:x}"


def _show(moment: datetime) -> str:
    # Not strftime: it leaves the zeros of a year before 1000 out on some systems.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat("T", "seconds") + "Z"
