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
from cryptography.x509.oid import ExtensionOID

from service.identity.certificate import Certificate

EXPIRES_SOON: Final = timedelta(days=30)
"""A partner's change window and its paperwork."""


def warnings_about(certificate: Certificate, *, at: datetime, is_pinned: bool = False) -> tuple[str, ...]:
    """
    List what will surprise somebody later.

    Args:
        certificate: As the partner sent it.
        at: Now; aware.
        is_pinned: Its key is enrolled too, so that a renewal breaks nothing.
    """
    extensions = x509.load_der_x509_certificate(certificate.der).extensions
    return (
        *_about_time(certificate, at),
        *(() if is_pinned else _about_renewal(certificate, extensions)),
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
    Warn of a public server certificate: it renews on its CA's schedule, and no renewal is enrolled.

    CA/Browser Forum ballot SC-081v3: 200 days since March 2026, 100 from
    March 2027, 47 from March 2029. Signed certificate timestamps stand in
    public certificates only; a server's purpose under a foreign issuer is the
    weaker sign.
    """
    is_public = _has(extensions, ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS)
    is_server = "serverAuth" in certificate.extended_key_usages and certificate.issuer != certificate.subject
    if is_public or (is_server and certificate.dns_names):
        days = (certificate.not_after - certificate.not_before).days
        yield (
            f"this is a public server certificate, or looks like one: it will renew every {days} days or sooner, and "
            "the renewed one is not enrolled; pin the key instead (--pin-key) if it keeps its key, or ask for a "
            "self-signed certificate"
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
