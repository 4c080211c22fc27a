"""
The one place that builds the TLS context partners meet.

Any client certificate is accepted in the handshake; OpenSSL's objections are
collected as facts and the decision is left to HTTP, where it can be explained.
The standard library cannot do this on any version (cpython issue 75425), which
is why it is pyOpenSSL.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from service.boot.server_identity import ServerIdentity
from service.errors import HandshakeFailedError

TLS12_SUITES: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Mozilla's intermediate list without DHE: forward secrecy and AEAD, nothing else (RFC 9325, section 4.2)."""

TLS13_SUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

ALPN_HTTP11: Final = b"http/1.1"

OP_NO_RENEGOTIATION: Final = 1 << 30
"""SSL_OP_NO_RENEGOTIATION of OpenSSL 1.1.0h and later; pyOpenSSL has no name for it."""

MAX_ISSUERS: Final = 5
"""
Above a leaf OpenSSL verifies so many, for objections that decide nothing; who sends more has that as one of them.

Its own limit is 100, and the signatures of as many fit into a handshake: 0.1 s of our CPU for whoever likes.
"""

_OPTIONS: Final = SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | OP_NO_RENEGOTIATION


def build_tls_context(identity: ServerIdentity) -> SSL.Context:
    """
    Make the context for a checked pair.

    No session ever comes back: resumption would carry an identity past the
    handshake that proves it (the class of CVE-2025-23419). No CA names are
    sent: with a list, Java and Schannel clients silently send no certificate.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(TLS12_SUITES)
    context.set_tls13_ciphersuites(TLS13_SUITES)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER, _keep_objection)
    context.set_verify_depth(MAX_ISSUERS)
    context.set_alpn_select_callback(_select_protocol)
    _use_pair(context, identity)
    return context


def _use_pair(context: SSL.Context, identity: ServerIdentity) -> None:
    leaf, *issuers = x509.load_pem_x509_certificates(identity.chain_pem)
    key = load_pem_private_key(identity.private_key_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):  # pragma: no cover -- checked at boot
        raise TypeError("a checked pair has an RSA or ECDSA key")
    context.use_certificate(leaf)
    for issuer in issuers:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(key)
    context.check_privatekey()


def _keep_objection(connection: SSL.Connection, _certificate: object, error: int, depth: int, accepted: int) -> bool:
    """Note what OpenSSL holds against the chain, and go on. Never raises: an exception here would refuse the peer."""
    if not accepted:
        connection.get_app_data().append((depth, error))
    return True


def _select_protocol(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """Answer ALPN; a client that wants only other protocols gets the alert no_application_protocol (RFC 7301)."""
    if ALPN_HTTP11 in offered:
        return ALPN_HTTP11
    raise HandshakeFailedError(("no application protocol in common: we speak http/1.1",))
