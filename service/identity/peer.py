"""Who is on the wire, as far as the handshake proves it (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from service.errors import CertificateError
from service.identity.certificate import Certificate, Fingerprint, parse_certificate


@dataclass(frozen=True, slots=True)
class Peer:
    """
    What the TLS handshake established; it is proof of possession, not yet a client.

    Attributes:
        fingerprint: Of the leaf the peer showed; None when it showed none.
        certificate: The same leaf, read; None also when it cannot be read.
        verify_errors: What OpenSSL would have refused it for, by name; facts for the audit, never a decision.
        tls_version: `TLSv1.2` or `TLSv1.3`.
        cipher: The suite's name.
        group: The key exchange's group, where OpenSSL says it.
    """

    fingerprint: Fingerprint | None
    certificate: Certificate | None = field(repr=False)
    verify_errors: tuple[str, ...]
    tls_version: str
    cipher: str
    group: str | None

    @classmethod
    def of_handshake(
        cls,
        leaf: bytes | None,
        *,
        verify_errors: tuple[str, ...],
        tls_version: str,
        cipher: str,
        group: str | None,
    ) -> Self:
        """Describe a finished handshake; `leaf` is DER as the peer sent it."""
        return cls(
            fingerprint=Fingerprint.of_certificate(leaf) if leaf else None,
            certificate=_read(leaf) if leaf else None,
            verify_errors=verify_errors,
            tls_version=tls_version,
            cipher=cipher,
            group=group,
        )


def _read(leaf: bytes) -> Certificate | None:
    try:
        return parse_certificate(leaf)
    except CertificateError:
        # OpenSSL reads a few forms that our parser does not. Such a leaf cannot have been enrolled either.
        return None
