"""
What an answer of the ingress means and who can mend it, in words (pure).

The sentences a partner's engineer and the one who enrolls him would exchange
on the phone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from stacks.ceremonies.probe import Answer

_MEANING: Final = {
    "no_certificate": "the server saw no client certificate",
    "unknown_certificate": "the server saw the certificate, and nobody has enrolled it",
    "key_mismatch": "the certificate is enrolled with another public key than the one it showed",
    "not_yet_valid": "the time it was enrolled for has not begun",
    "expired": "the time it was enrolled for is over",
    "pending": "the certificate is enrolled and waits to be activated",
    "revoked": "the certificate was revoked",
    "weak_key": "the certificate's key is too weak",
    "chain_untrusted": "no authority that is trusted here issued the certificate",
    "token_missing": "a bearer token is demanded and none was sent",
    "token_invalid": "the bearer token's signature, dates, issuer or audience are wrong",
    "token_not_bound": "the bearer token was issued for another certificate",
    "signature_missing": "a signed message is demanded and there was no signature",
    "signature_invalid": "the message's signature does not hold",
    "assertion_missing": "a SAML assertion is demanded and none was sent",
    "assertion_invalid": "the SAML assertion was not accepted",
    "not_permitted": "the client is known and may not do this",
    "registry_unavailable": "the server could not look the certificate up: the fault is ours, not the client's",
    "rate_limited": "too many requests from this address",
}
_REMEDY: Final = {
    "unknown_certificate": "send the certificate to be enrolled: clients.py enroll --env ENV --client NAME {file}",
    "key_mismatch": "the record is wrong, not the client: clients.py show --env ENV FINGERPRINT, and look who wrote it",
    "not_yet_valid": "wait for its first day: clients.py show --env ENV FINGERPRINT says which it is",
    "expired": "make a new certificate and have it enrolled: clients.py rotate --env ENV --client NAME {file}",
    "revoked": "make a new key and certificate and have it enrolled; a revoked one does not come back",
    "weak_key": "make a new P-256 or RSA 3072 key and certificate and have it enrolled",
    "registry_unavailable": "type it again in a minute; if it stays, deploy.py status and the service's log",
    "pending": "the one who enrolls puts it in force: clients.py activate --env ENV FINGERPRINT",
    "token_missing": "send it as the header `authorization: Bearer ...`",
    "token_invalid": "get a fresh token; the cause in the audit line of its request_id says what was wrong",
    "token_not_bound": "ask the issuer for one bound to the certificate in use (RFC 8705, cnf x5t#S256)",
    "not_permitted": "the one who enrolls can give the role that the path demands",
    "rate_limited": "wait a minute",
}


def explain(answer: Answer, *, own_fingerprint: str | None, certificate: str | None = None) -> tuple[str, ...]:
    """
    Say what the server saw, what it decided, and what to do about it.

    Args:
        answer: What it answered.
        own_fingerprint: SHA-256 of the certificate we meant to show, or None if we meant to show none.
        certificate: The file it lies in, for the command to type.

    Returns:
        Sentences, most important first.
    """
    words = (*_decision(answer), *_certificate(answer, own_fingerprint), *_remedy(answer, own_fingerprint, certificate))
    return tuple(map(_printable, words))


def describe(document: Mapping[str, object]) -> Iterator[str]:
    """
    Write down all that a server said, a line a field, the fields of a part under its name; texts of several lines last.

    Nothing of it may move the cursor of the one who reads it.
    """
    texts: list[str] = []
    for name, value in document.items():
        parts = value if isinstance(value, Mapping) else {"": value}
        for part, said in parts.items():
            if isinstance(said, str) and "\n" in said:
                texts += said.splitlines()
            else:
                yield "  " + _printable(f"{name} {part}".strip().replace("_", " ") + f": {_in_a_line(said)}")
    # As they are, so that they can be copied.
    yield from map(_printable, texts)


def _in_a_line(value: object) -> str:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return ", ".join("yes" if each is True else "no" if each is False else str(each) for each in values) or "none"


def _printable(line: str) -> str:
    """Write what a server sent without letting it move the cursor."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _decision(answer: Answer) -> tuple[str, ...]:
    if answer.is_accepted:
        client = answer.document.get("client")
        return (f"accepted as client {client}" if isinstance(client, str) else "accepted",)
    if answer.reason is None:
        return (f"the server answered {answer.status} without a reason code",)
    meaning = _MEANING.get(answer.reason)
    return (f"refused, {answer.reason}: {meaning}" if meaning else f"refused, {answer.reason}",)


def _certificate(answer: Answer, own_fingerprint: str | None) -> tuple[str, ...]:
    if answer.fingerprint is None:
        return ()
    if own_fingerprint in {None, answer.fingerprint}:
        return (f"the server saw certificate SHA-256 {answer.fingerprint}",)
    return (
        f"the server saw certificate SHA-256 {answer.fingerprint}, but the one we showed is {own_fingerprint}",
        "something between ends TLS and starts it anew",
    )


def _remedy(answer: Answer, own_fingerprint: str | None, certificate: str | None) -> tuple[str, ...]:
    if answer.reason == "no_certificate":
        if own_fingerprint is None:
            return ("show one: --cert FILE --key FILE",)
        return ("we meant to show one and it did not arrive: something between ends TLS and starts it anew",)
    remedy = _REMEDY.get(answer.reason or "")
    return (remedy.format(file=certificate or "FILE"),) if remedy else ()
