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
    Reason.UNKNOWN_CERTIFICATE: "This certificate is not enrolled. Send it to your contact here to have it enrolled.",
    Reason.KEY_MISMATCH: "The certificate's public key is not the one enrolled under its fingerprint.",
    Reason.PENDING: "This certificate is enrolled but not active yet.",
    Reason.NOT_YET_VALID: "The enrollment of this certificate has not begun.",
    Reason.EXPIRED: "The enrollment of this certificate has ended. Send your current certificate to be enrolled.",
    Reason.REVOKED: "The enrollment of this certificate was revoked.",
    Reason.REGISTRY_UNAVAILABLE: "We cannot check certificates at this moment; this is our fault. Try again shortly.",
}


def status_of(reason: Reason) -> HTTPStatus:
    """Our fault is 503; every other refusal 403, as no challenge exists for a certificate."""
    return HTTPStatus.SERVICE_UNAVAILABLE if reason is Reason.REGISTRY_UNAVAILABLE else HTTPStatus.FORBIDDEN


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
