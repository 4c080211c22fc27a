"""
What may be said of a certificate a partner sent, before it is enrolled (pure).

Only a weak key is refused. Everything else may be enrolled, because the pin
decides and nothing the certificate says of itself; but what will break later
is said now, while the partner is still on the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtensionOID

from service.identity.certificate import Certificate

EXPIRES_SOON: Final = timedelta(days=30)
"""A partner's change window and its paperwork."""

_MIN_RSA_BITS: Final = 2048
_MIN_CURVE_BITS: Final = 256
"""NIST SP 800-57 part 1, table 2: less is below 112 and 128 bits of strength."""


def weakness_of(certificate: Certificate) -> str | None:
    """Say why the certificate's key is too weak to identify anybody, or None if it is not."""
    key = x509.load_der_x509_certificate(certificate.der).public_key()
    match key:
        case rsa.RSAPublicKey():
            return None if key.key_size >= _MIN_RSA_BITS else f"RSA of {key.key_size} bits, at least {_MIN_RSA_BITS}"
        case ec.EllipticCurvePublicKey():
            return None if key.key_size >= _MIN_CURVE_BITS else f"{key.curve.name}, at least {_MIN_CURVE_BITS} bits"
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return None
        case dsa.DSAPublicKey():
            return "DSA, which TLS 1.3 does not know"
        case _:
            return "of a kind TLS does not know"


def warnings_about(certificate: Certificate, *, at: datetime) -> tuple[str, ...]:
    """
    List what will surprise somebody later.

    Args:
        certificate: As the partner sent it.
        at: Now; aware.
    """
    extensions = x509.load_der_x509_certificate(certificate.der).extensions
    return (
        *_about_time(certificate, at),
        *_about_renewal(certificate, extensions),
        *_about_purpose(certificate, extensions),
    )


def _about_time(certificate: Certificate, at: datetime) -> Iterator[str]:
    if at > certificate.not_after:
        yield f"it expired on {certificate.not_after:%Y-%m-%d}: the client is refused until another one is enrolled"
    elif at > certificate.not_after - EXPIRES_SOON:
        yield f"it expires in {(certificate.not_after - at).days} days, on {certificate.not_after:%Y-%m-%d}"
    if at < certificate.not_before:
        yield f"it is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC: the client is refused until then"


def _about_renewal(certificate: Certificate, extensions: x509.Extensions) -> Iterator[str]:
    """
    Warn of a public server certificate: it renews on its CA's schedule, and every renewal breaks the pin.

    CA/Browser Forum ballot SC-081v3: 200 days since March 2026, 100 from
    March 2027, 47 from March 2029. Signed certificate timestamps stand in
    public certificates only; a server's purpose under a foreign issuer is the
    weaker sign.
    """
    is_public = _has(extensions, ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS)
    is_server = "serverAuth" in certificate.extended_key_usages and certificate.issuer != certificate.subject
    if is_public or (is_server and certificate.dns_names):
        yield (
            "this is a public server certificate, or looks like one: it renews every 200 days or less and must be "
            "enrolled anew each time; ask for a self-signed one, or one of the partner's own CA"
        )


def _about_purpose(certificate: Certificate, extensions: x509.Extensions) -> Iterator[str]:
    usages = certificate.extended_key_usages
    if usages and not {"clientAuth", "anyExtendedKeyUsage"} & set(usages):
        yield f"its purpose is {', '.join(usages)} and not clientAuth: .NET and browsers will not offer it"
    if "clientAuth" in usages and _is_authority(extensions):
        yield "it says both CA:TRUE and clientAuth: browsers never offer such a certificate, and say nothing"


def _has(extensions: x509.Extensions, oid: x509.ObjectIdentifier) -> bool:
    return any(extension.oid == oid for extension in extensions)


def _is_authority(extensions: x509.Extensions) -> bool:
    return any(isinstance(each.value, x509.BasicConstraints) and each.value.ca for each in extensions)
