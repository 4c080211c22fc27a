"""
The one builder of test certificates: everything right unless a test says what is wrong.

`client()` and `Authority().server()` give certificates nothing can be said
against; a test names the single fact it changes: `client(not_after=YESTERDAY)`.
Keys are P-256 unless the test brings its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

CLIENT_AUTH: Final = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH: Final = ExtendedKeyUsageOID.SERVER_AUTH
NOW: Final = datetime.now(UTC).replace(microsecond=0)
YESTERDAY: Final = NOW - timedelta(days=1)
TOMORROW: Final = NOW + timedelta(days=1)
HOST_NAME: Final = "ingress.local.test"
_SIGNS_CERTIFICATES: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Facts(TypedDict, total=False):
    """What a test may make wrong; whatever it leaves out is right."""

    common_name: str
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    purposes: tuple[ObjectIdentifier, ...]
    not_before: datetime
    not_after: datetime
    is_authority: bool
    without_extensions: bool
    key: PrivateKey
    digest: hashes.SHA256 | hashes.SHA384


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its private key, and its issuers up to but without the trust anchor."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate as it goes over the wire."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """Leaf first, then its issuers."""
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.issuers))

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def subject_public_key_info(self) -> bytes:
        """The public key as the certificate holds it, DER."""
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def pin(self) -> str:
        """SHA-256 of the public key, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.subject_public_key_info).hexdigest()

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write chain and key as files for clients that read files; returns both paths."""
        directory.mkdir(parents=True, exist_ok=True)
        chain, key = directory / "chain.pem", directory / "key.pem"
        chain.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        return chain, key


def client(**facts: Unpack[Facts]) -> Identity:
    """Make a self-signed client certificate, as a partner sends it."""
    key = facts.get("key") or new_key()
    return Identity(_build({"common_name": "partner.example", "purposes": (CLIENT_AUTH,)} | facts, key, None), key)


class Authority:
    """A certificate authority of the test's own: root by default, intermediate by `intermediate()`."""

    def __init__(self, *, parent: Authority | None = None, **facts: Unpack[Facts]) -> None:
        name = "Test Root" if parent is None else "Test Intermediate"
        key = facts.get("key") or new_key()
        wanted: Facts = {"common_name": name, "is_authority": True, "not_after": NOW + timedelta(days=3650)}
        certificate = _build(wanted | facts, key, parent.identity if parent else None)
        above = () if parent is None else parent.chain
        self.identity: Identity = Identity(certificate, key, above)

    @property
    def pem(self) -> bytes:
        """The authority's own certificate: what a client trusts."""
        return self.identity.pem

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What its leaves send along: nothing for a root, itself and those above it for an intermediate."""
        is_root = self.identity.certificate.issuer == self.identity.certificate.subject
        return () if is_root else (self.identity.certificate, *self.identity.issuers)

    def intermediate(self, **facts: Unpack[Facts]) -> Authority:
        """Make an authority below this one."""
        return Authority(parent=self, **facts)

    def server(self, **facts: Unpack[Facts]) -> Identity:
        """Issue a server certificate for `HOST_NAME`."""
        host = facts.get("common_name", HOST_NAME)
        wanted: Facts = {"common_name": host, "dns_names": (host,), "purposes": (SERVER_AUTH,)}
        return self._issue(wanted | facts)

    def client(self, **facts: Unpack[Facts]) -> Identity:
        """Issue a client certificate."""
        wanted: Facts = {"common_name": "partner.example", "purposes": (CLIENT_AUTH,)}
        return self._issue(wanted | facts)

    def sign(self, csr_pem: bytes, **facts: Unpack[Facts]) -> bytes:
        """Answer a certificate signing request as a public CA does: the chain in PEM, leaf first."""
        csr = x509.load_pem_x509_csr(csr_pem)
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        wanted: Facts = {
            "common_name": str(csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value),
            "dns_names": tuple(names.get_values_for_type(x509.DNSName)),
            "purposes": (SERVER_AUTH,),
        }
        public_key = csr.public_key()
        if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise TypeError(f"no such key in these tests: {type(public_key).__name__}")
        leaf = _builder(wanted | facts, public_key, self.identity).sign(
            self.identity.key, facts.get("digest", hashes.SHA256())
        )
        return b"".join(each.public_bytes(Encoding.PEM) for each in (leaf, *self.chain))

    def _issue(self, facts: Facts) -> Identity:
        key = facts.get("key") or new_key()
        return Identity(_build(facts, key, self.identity), key, self.chain)


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Make an RSA key; 1024 bits is the weak one."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _build(facts: Facts, key: PrivateKey, issuer: Identity | None) -> x509.Certificate:
    signing_key = issuer.key if issuer else key
    # Ed25519 brings its own digest (RFC 8410).
    digest = None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else facts.get("digest", hashes.SHA256())
    return _builder(facts, key.public_key(), issuer).sign(signing_key, digest)


def _builder(facts: Facts, key: PublicKey, issuer: Identity | None) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(facts))
        .issuer_name(issuer.certificate.subject if issuer else _name(facts))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(facts.get("not_before", NOW - timedelta(days=2)))
        .not_valid_after(facts.get("not_after", NOW + timedelta(days=365)))
    )
    if facts.get("without_extensions"):
        return builder
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    if issuer is not None:
        # Clients that check strictly, as Python 3.13 does, want it in whatever has an issuer (RFC 5280, 4.2.1.1).
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return _with_extensions(builder, facts)


def _with_extensions(builder: x509.CertificateBuilder, facts: Facts) -> x509.CertificateBuilder:
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in facts.get("dns_names", ())]
    names += [x509.IPAddress(IPv4Address(each)) for each in facts.get("addresses", ())]
    builder = builder.add_extension(
        x509.BasicConstraints(ca=facts.get("is_authority", False), path_length=None), critical=True
    )
    if facts.get("is_authority"):
        builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purposes := facts.get("purposes", ()):
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder


def _name(facts: Facts) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, facts.get("common_name", "partner.example"))])
