"""What the doctor writes down of a peer: its certificate in every notation, its connection, and what to do (pure)."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from ssl import DER_cert_to_PEM_cert
from typing import Final

from cryptography import x509

from service.endpoints.problem import detail_of, status_of
from service.identity.certificate import Certificate
from service.identity.peer import Peer
from service.identity.verdict import Reason, Refused, Verdict

SCHEMA: Final = 1
"""Of the document, docs/whoami.md: fields may be added; where one goes or changes, this number grows."""

MAX_NAMES: Final = 100
"""Alternative names that are shown; a certificate of 100 KiB holds thousands."""


@dataclass(frozen=True, slots=True)
class Examination:
    """
    One question to the doctor, and what it takes to answer it.

    Attributes:
        path: What is asked about, decoded.
        verdict: What the policy says of it.
        address: Of the peer, as PROXY or the connection says.
        environment: Stands in the command that enrolls.
    """

    request_id: str
    path: str
    verdict: Verdict
    peer: Peer
    address: tuple[str, int]
    environment: str
    at: datetime

    def document(self) -> dict[str, object]:
        """Write all of it down."""
        return {
            "schema": SCHEMA,
            "request_id": self.request_id,
            "path": self.path,
            **_decision(self.verdict),
            "fingerprint": self.peer.fingerprint.hex if self.peer.fingerprint else None,
            "certificate": self._certificate(),
            "connection": {
                "tls_version": self.peer.tls_version,
                "cipher": self.peer.cipher,
                "group": self.peer.group,
                "address": self.address[0],
                "port": self.address[1],
            },
            "enroll": self._enroll(),
        }

    def _certificate(self) -> dict[str, object] | None:
        if self.peer.fingerprint is None:
            return None
        # OpenSSL reads a few forms that our parser does not; such a leaf has a fingerprint and nothing else.
        read = self.peer.certificate
        described = _describe(read, self.at) if read else {}
        return {"sha256": self.peer.fingerprint.hex, **described, "objections": list(self.peer.verify_errors)}

    def _enroll(self) -> dict[str, object] | None:
        certificate, verdict = self.peer.certificate, self.verdict
        if certificate is None or not isinstance(verdict, Refused) or verdict.reason is not Reason.UNKNOWN_CERTIFICATE:
            return None
        return {
            "send": "Save the certificate below as client.pem and send it to your contact here; the key stays yours.",
            "command": f"python scripts/clients.py enroll --env {self.environment} --client NAME client.pem",
            "certificate": DER_cert_to_PEM_cert(certificate.der),
        }


def in_lines(document: Mapping[str, object]) -> str:
    """Write a document for somebody who reads it in a terminal."""
    return "".join(f"{_printable(line)}\n" for line in _lines(document))


# -- the parts -------------------------------------------------------------------


def _decision(verdict: Verdict) -> dict[str, object]:
    if isinstance(verdict, Refused):
        return {
            "decision": "refused",
            "status": int(status_of(verdict.reason)),
            "reason": verdict.reason,
            "detail": detail_of(verdict.reason),
            "client": None,
            "roles": [],
            "scopes": [],
        }
    return {
        "decision": "allowed",
        "status": None,
        "reason": None,
        "detail": "You are known here, and may ask for this path.",
        "client": verdict.name,
        "roles": list(verdict.roles),
        "scopes": list(verdict.scopes),
    }


def _describe(certificate: Certificate, at: datetime) -> dict[str, object]:
    return {
        "spki_pin": certificate.pin,
        "spki_pin_base64": "sha256//" + base64.b64encode(bytes.fromhex(certificate.pin)).decode(),
        "sha1": certificate.sha1,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": f"{certificate.serial:x}",
        "alternative_names": _alternative_names(certificate),
        "extended_key_usages": list(certificate.extended_key_usages),
        "not_before": certificate.not_before.strftime(_TIME),
        "not_after": certificate.not_after.strftime(_TIME),
        "is_in_date": certificate.is_in_date(at),
    }


_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"

_KINDS: Final[Mapping[type[x509.GeneralName], str]] = {
    x509.DNSName: "DNS",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "URI",
    x509.IPAddress: "IP",
}


def _alternative_names(certificate: Certificate) -> list[str]:
    """List them as openssl writes them; kinds nobody reads, and what is malformed, are left out."""
    try:
        extensions = x509.load_der_x509_certificate(certificate.der).extensions
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return []
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            named = [f"{_KINDS[type(name)]}:{name.value}" for name in extension.value if type(name) in _KINDS]
            return named[:MAX_NAMES]
    return []


# -- for a terminal --------------------------------------------------------------


def _lines(document: Mapping[str, object]) -> Iterator[str]:
    yield _headline(document)
    yield str(document["detail"])
    yield from _fields({"path": document["path"], "roles": document["roles"], "scopes": document["scopes"]}, "you")
    for part in ("certificate", "connection"):
        fields = document[part]
        yield from _fields(fields if isinstance(fields, Mapping) else {"": "none"}, part)
    yield from _fields({"id": document["request_id"]}, "request")
    enroll = document["enroll"]
    if isinstance(enroll, Mapping):
        yield from ("", str(enroll["send"]), f"What they type: {enroll['command']}", "")
        yield from str(enroll["certificate"]).splitlines()


def _headline(document: Mapping[str, object]) -> str:
    if document["decision"] == "refused":
        return f"refused, {document['status']} {document['reason']}"
    return f"allowed as client {document['client']}"


def _fields(fields: Mapping[str, object], part: str) -> Iterator[str]:
    for name, value in fields.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
        yield f"  {part} {name.replace('_', ' ')}".rstrip() + f": {text or 'none'}"


def _printable(line: str) -> str:
    """What a certificate says must not move the cursor of the one who reads it."""
    return "".join(character if character.isprintable() else "?" for character in line)
