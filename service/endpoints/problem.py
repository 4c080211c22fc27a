"""
Answers that say no, so that the one who reads them can act (RFC 9457).

A refused peer learns the reason, the fingerprint we saw and a request id to
ask about; never anything about other clients, keys or tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from service.identity.certificate import Fingerprint
from service.identity.verdict import Reason

TYPE_PREFIX: Final = "urn:mtls-ingress:reason:"

_DETAILS: Final[Mapping[Reason, str]] = {
    Reason.NO_CERTIFICATE: "No client certificate was shown in the TLS handshake. Configure your client to send one.",
    Reason.UNKNOWN_CERTIFICATE: (
        "This certificate is not enrolled. Send it to your contact here to have it enrolled, or if you are enrolled, "
        "configure your client to show that one: compare the fingerprint."
    ),
    Reason.KEY_MISMATCH: (
        "The certificate's public key is not the one enrolled under its fingerprint. "
        "Ask your contact here, with the request_id: the record is wrong, not your client."
    ),
    Reason.PENDING: (
        "This certificate is enrolled but not active yet. "
        "Ask your contact here, with the request_id, when it will be, and try again then."
    ),
    Reason.NOT_YET_VALID: (
        "The enrollment of this certificate has not begun. "
        "Wait for its first day; ask your contact here, with the request_id, which it is."
    ),
    Reason.EXPIRED: (
        "The enrollment of this certificate has ended. "
        "Show the certificate that follows it, or send your contact here a new one to be enrolled."
    ),
    Reason.REVOKED: (
        "The enrollment of this certificate was revoked. Ask your contact here why, with the request_id; "
        "it does not come back: a new key and certificate can be enrolled."
    ),
    Reason.WEAK_KEY: "This certificate's key is too weak. Send one with RSA of 2048 bits or more, or ECDSA on P-256.",
    Reason.CHAIN_UNTRUSTED: (
        "This certificate was not issued by an authority that is trusted here. Ask your contact here which ones are."
    ),
    Reason.TOKEN_MISSING: (
        "A bearer token is demanded here and none was sent. Send it in one header field, `Authorization: Bearer TOKEN`."
    ),
    Reason.TOKEN_INVALID: (
        "The bearer token was not accepted: its signature, dates, issuer or audience are wrong, or it was revoked. "
        "Get a fresh one; if that is refused too, ask your contact here, with the request_id, which of these it is."
    ),
    Reason.TOKEN_NOT_BOUND: (
        "The bearer token was not issued for the certificate of this connection. "
        "Get one with this very certificate (RFC 8705), or connect with the one it was issued for."
    ),
    Reason.SIGNATURE_MISSING: "A signed message is demanded here and it has no signature. Sign it.",
    Reason.SIGNATURE_INVALID: "The message's signature does not hold. Check key and canonical form, then sign it anew.",
    Reason.ASSERTION_MISSING: "A SAML assertion is demanded here and none was sent. Send one.",
    Reason.ASSERTION_INVALID: "The SAML assertion was not accepted. Get a fresh one for this audience.",
    Reason.NOT_PERMITTED: (
        "This path is not open to you: it is none of ours as it is written, or takes a role that you do not have. "
        "Check the path, then ask your contact here, with the request_id."
    ),
    Reason.RATE_LIMITED: "Too many questions from your address. Wait as Retry-After says, then ask again.",
    Reason.REGISTRY_UNAVAILABLE: "We cannot check certificates or tokens now; this is our fault. Try again shortly.",
}


_CHALLENGES: Final[Mapping[Reason, bytes]] = {
    Reason.TOKEN_MISSING: b'Bearer realm="mtls-ingress"',
    Reason.TOKEN_INVALID: b'Bearer realm="mtls-ingress", error="invalid_token"',
    Reason.TOKEN_NOT_BOUND: (
        b'Bearer realm="mtls-ingress", error="invalid_token", error_description="not bound to this certificate"'
    ),
}
"""RFC 6750, section 3; a request without a token is told no error."""


def status_of(reason: Reason) -> HTTPStatus:
    """Our fault is 503, a token 401, too many 429; every other refusal 403: no challenge exists for a certificate."""
    if reason is Reason.REGISTRY_UNAVAILABLE:
        return HTTPStatus.SERVICE_UNAVAILABLE
    if reason is Reason.RATE_LIMITED:
        return HTTPStatus.TOO_MANY_REQUESTS
    return HTTPStatus.UNAUTHORIZED if reason in _CHALLENGES else HTTPStatus.FORBIDDEN


def headers_of(reason: Reason, *, wait_seconds: int | None = None) -> tuple[tuple[bytes, bytes], ...]:
    """Give the fields that a refusal for this reason must carry; `wait_seconds` is when to ask again."""
    challenge = ((b"www-authenticate", _CHALLENGES[reason]),) if reason in _CHALLENGES else ()
    return challenge if wait_seconds is None else (*challenge, (b"retry-after", b"%d" % wait_seconds))


def detail_of(reason: Reason) -> str:
    """Say in a sentence what a refusal for this reason means, and what to do."""
    return _DETAILS[reason]


def refusal(reason: Reason, *, fingerprint: Fingerprint | None, request_id: str) -> dict[str, object]:
    """Describe why a peer was refused."""
    status = status_of(reason)
    return {
        "type": TYPE_PREFIX + reason,
        "title": status.phrase,
        "status": int(status),
        "detail": _DETAILS[reason],
        "reason": reason,
        "fingerprint": fingerprint.hex if fingerprint else None,
        "request_id": request_id,
    }


def problem(status: HTTPStatus, detail: str, *, request_id: str | None = None) -> dict[str, object]:
    """Describe a fault of the request itself, or of ours, that has nothing to do with who asks."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
    }
    return document if request_id is None else document | {"request_id": request_id}
