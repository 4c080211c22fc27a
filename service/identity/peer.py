"""Who is on the wire, as far as the handshake proves it (pure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from service.errors import CertificateError
from service.identity.certificate import Certificate, Fingerprint, SubjectPublicKeyInfo, parse_certificate, read_key


@dataclass(frozen=True, slots=True)
class Peer:
    """
    What the TLS handshake established; it is proof of possession, not yet a client.

    What costs time to read is read when it is first asked for, and once.

    Attributes:
        leaf: The certificate the peer showed, DER; None when it showed none.
        fingerprint: Of the leaf.
        verify_errors: What OpenSSL would have refused it for, by name; facts for the audit, never a decision.
        tls_version: `TLSv1.2` or `TLSv1.3`.
        cipher: The suite's name.
        group: The key exchange's group, where OpenSSL says it.
    """

    leaf: bytes | None = field(repr=False)
    fingerprint: Fingerprint | None
    verify_errors: tuple[str, ...]
    tls_version: str
    cipher: str
    group: str | None
    _read_chain: Callable[[], tuple[bytes, ...]] = field(default=tuple, repr=False)
    _read_server_leaf: Callable[[], bytes | None] = field(default=lambda: None, repr=False)
    _already: _Already = field(default_factory=lambda: _Already(), repr=False, compare=False)  # noqa: PLW0108 -- it stands below

    @classmethod
    def of_handshake(  # noqa: PLR0913 -- one for each fact
        cls,
        leaf: bytes | None,
        *,
        verify_errors: tuple[str, ...],
        tls_version: str,
        cipher: str,
        group: str | None,
        read_chain: Callable[[], tuple[bytes, ...]] = tuple,
        read_server_leaf: Callable[[], bytes | None] = lambda: None,
    ) -> Self:
        """
        Describe a finished handshake.

        Args:
            leaf: DER as the peer sent it.
            verify_errors: As in `Peer`, like the next three.
            tls_version: See there.
            cipher: See there.
            group: See there.
            read_chain: Gives all certificates the peer sent, DER, the leaf first.
            read_server_leaf: Gives the one it was shown.
        """
        fingerprint = Fingerprint.of_certificate(leaf) if leaf else None
        return cls(leaf, fingerprint, verify_errors, tls_version, cipher, group, read_chain, read_server_leaf)

    @property
    def key(self) -> SubjectPublicKeyInfo | None:
        """The leaf's key; None also when it cannot be read."""
        already = self._already
        if not already.has_key:
            already.key, already.has_key = _read_key(self.leaf), True
        return already.key

    @property
    def certificate(self) -> Certificate | None:
        """The leaf, read whole; None also when it cannot be read."""
        already = self._already
        if not already.has_certificate:
            already.certificate, already.has_certificate = _read_certificate(self.leaf), True
        return already.certificate

    @property
    def chain(self) -> tuple[bytes, ...]:
        """All certificates the peer sent, DER, the leaf first; empty when it showed none."""
        already = self._already
        if already.chain is None:
            already.chain = self._read_chain() or ((self.leaf,) if self.leaf else ())
        return already.chain

    @property
    def server_leaf(self) -> bytes | None:
        """The certificate that the peer was shown in this handshake, DER, whichever is in force by now."""
        return self._read_server_leaf()


@dataclass(slots=True)
class _Already:
    """What was read so far."""

    has_key: bool = False
    key: SubjectPublicKeyInfo | None = None
    has_certificate: bool = False
    certificate: Certificate | None = None
    chain: tuple[bytes, ...] | None = None


def _read_key(leaf: bytes | None) -> SubjectPublicKeyInfo | None:
    try:
        return read_key(leaf) if leaf else None
    except CertificateError:
        # OpenSSL reads a few forms that our parser does not. Such a leaf cannot have been enrolled either.
        return None


def _read_certificate(leaf: bytes | None) -> Certificate | None:
    try:
        return parse_certificate(leaf) if leaf else None
    except CertificateError:
        return None
