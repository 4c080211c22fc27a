"""The verbs of `clients.py`; the work is done in `stacks.ceremonies`."""

from __future__ import annotations

import argparse
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

from scripts._operator import Opener, read_source, show_rows
from scripts._terminal import ExitCode, Terminal, UsageError, environment_name
from service.contract import PIN_KEY_PREFIX, TOKEN_KEY_PREFIX, TOKEN_PREFIX
from service.errors import FingerprintError
from service.identity.certificate import Certificate, Fingerprint, parse_pin
from stacks.ceremonies import enrollment, revocation, rotation, token_issue
from stacks.ceremonies.pasted import MAX_PASTED_BYTES, name_of
from stacks.ceremonies.registry_items import Enrolled, EnrolledCertificate, EnrolledKey, IssuedToken
from stacks.ceremonies.server_certificate import show_time
from stacks.errors import DeploymentError

Verb = Callable[[argparse.Namespace, Terminal, Opener], int]

_MAX_REASON: Final = 256
_MEANT_AS_FINGERPRINT: Final = re.compile(r"(?:[0-9a-fA-F]{2}[\s:-]?){16,}")
"""A client may be called `beef`; sixteen bytes and more in hexadecimal are meant as a fingerprint."""

_KEY_FORMS: Final = ("sha256/", "pin-sha256=", PIN_KEY_PREFIX)


class NotApprovedError(DeploymentError):
    """Nobody said yes."""

    exit_code = ExitCode.NOT_APPROVED


def enroll(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Enroll a certificate."""
    name = environment_name(options)
    data = read_source(options.certificate, terminal, max_bytes=MAX_PASTED_BYTES)
    operator = open_operator(name)
    pin_days = options.pin_days or (enrollment.DEFAULT_PIN_DAYS if options.pin_key else None)
    terms = enrollment.Terms(tuple(options.role), pin_days, is_pending=options.pending)
    enrolled = enrollment.enroll(operator.account, operator.environment, options.client, data, terms)
    terminal.progress(f"enrolled in {name}" if enrolled.is_new else f"enrolled in {name} before; nothing was changed")
    _show_all([each for each in (enrolled.record, enrolled.key) if each], terminal)
    for warning in enrolled.warnings:
        terminal.warning(warning)
    return ExitCode.DONE


def rotate(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Enroll a client's next certificate."""
    name = environment_name(options)
    data = read_source(options.certificate, terminal, max_bytes=MAX_PASTED_BYTES)
    operator = open_operator(name)
    rotated = rotation.rotate(
        operator.account, operator.environment, options.client, data, overlap_days=options.overlap_days
    )
    enrolled = rotated.enrollment
    if enrolled.is_new or rotated.retiring:
        terminal.progress(f"enrolled in {name}; the ones before it are retiring")
    else:
        terminal.progress(f"enrolled in {name} before, and no other is in force; nothing was changed")
    _show_all([each for each in (enrolled.record, enrolled.key, *rotated.retiring) if each], terminal)
    for warning in rotated.warnings:
        terminal.warning(warning)
    return ExitCode.DONE


def activate(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Put in force what is pending."""
    name = environment_name(options)
    what = _named(" ".join(options.what))
    operator = open_operator(name)
    activated = enrollment.activate(operator.account, operator.environment, what)
    terminal.progress(f"in force in {name}")
    _show_all(activated, terminal)
    return ExitCode.DONE


def issue_token(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Issue a token; it alone goes to standard output, so that it can be piped to where it belongs."""
    name = environment_name(options)
    bound_to = _fingerprint(options.bind) if options.bind else None
    operator = open_operator(name)
    grant = token_issue.Grant(
        tuple(options.role), tuple(options.scope), options.days, bound_to=bound_to, is_unbound=options.unbound
    )
    issued = token_issue.issue_token(operator.account, operator.environment, " ".join(options.client), grant)
    for label, value in _rows(issued.record):
        terminal.progress(f"{label:<12}  {value}")
    terminal.progress("this is shown once and kept nowhere:")
    terminal.out(issued.text)
    return ExitCode.DONE


def list_clients(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """List everything that is enrolled."""
    operator = open_operator(environment_name(options))
    records = enrollment.list_clients(operator.account, operator.environment)
    if options.output == "json":
        terminal.out(json.dumps([_as_record(record) for record in records]))
        return ExitCode.DONE
    if not records:
        terminal.progress("nobody is enrolled yet")
        return ExitCode.DONE
    _show_table(records, terminal)
    return ExitCode.DONE


def show(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Show one entry, or all of a client."""
    what = _named(" ".join(options.what))
    operator = open_operator(environment_name(options))
    records = enrollment.show(operator.account, operator.environment, what)
    if options.output == "json":
        terminal.out(json.dumps([_as_record(record) for record in records]))
        return ExitCode.DONE
    _show_all(records, terminal)
    return ExitCode.DONE


def revoke(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Revoke what belongs together, after a yes that knows what it is."""
    name = environment_name(options)
    what = _named(" ".join(options.what))
    if options.reason and len(options.reason) > _MAX_REASON:
        raise UsageError(f"the reason is longer than {_MAX_REASON} characters")
    operator = open_operator(name)
    plan = revocation.plan_revocation(operator.account, operator.environment, what, keeps_key=options.keep_key)
    if plan.pending and not options.yes:
        _approve(plan, name, terminal)
    done = revocation.revoke(
        operator.account, operator.environment, what, reason=options.reason, keeps_key=options.keep_key
    )
    terminal.progress(f"revoked in {name}" if done.pending else f"revoked in {name} before; nothing was changed")
    _show_all(done.pending or done.entries, terminal)
    return ExitCode.DONE


VERBS: Final[Mapping[str, Verb]] = {
    "enroll": enroll,
    "rotate": rotate,
    "activate": activate,
    "issue-token": issue_token,
    "list": list_clients,
    "show": show,
    "revoke": revoke,
}


def _approve(plan: revocation.Revocation, environment_name: str, terminal: Terminal) -> None:
    for each in plan.pending:
        terminal.progress(f"to be revoked: {_name_of(each)} of {each.client}")
    if not terminal.can_ask:
        raise NotApprovedError(
            "nothing was revoked: nobody is here to say yes",
            hint="the same command with --yes",
        )
    if not terminal.ask(f"revoke all of this in {environment_name} for good?"):
        raise NotApprovedError("nothing was revoked")


def _fingerprint(text: str) -> Fingerprint:
    try:
        return Fingerprint.parse(text)
    except FingerprintError as error:
        raise UsageError(str(error), hint="openssl x509 -in FILE -noout -fingerprint -sha256") from error


def _named(text: str) -> Fingerprint | str:
    """Read what somebody means: a key, a token or a certificate in any written form, or a client."""
    bare = text.strip()
    if bare.startswith(TOKEN_PREFIX):
        return token_issue.key_of(bare)
    if bare.startswith(TOKEN_KEY_PREFIX):
        return TOKEN_KEY_PREFIX + _fingerprint(bare.removeprefix(TOKEN_KEY_PREFIX)).hex
    if bare.startswith(_KEY_FORMS):
        return _key(bare)
    if "=" in bare or _MEANT_AS_FINGERPRINT.fullmatch(bare):
        return _fingerprint(bare)
    try:
        return Fingerprint.parse(bare)
    except FingerprintError:
        return bare


def _key(text: str) -> str:
    try:
        return PIN_KEY_PREFIX + parse_pin(text)
    except FingerprintError as error:
        raise UsageError(str(error)) from error


def _show_all(records: Sequence[Enrolled], terminal: Terminal) -> None:
    for number, record in enumerate(records):
        if number:
            terminal.out("")
        show_rows(terminal, _rows(record))


def _rows(record: Enrolled) -> list[tuple[str, str]]:
    return [
        ("client", record.client),
        ("roles", ", ".join(record.roles) or "none"),
        ("state", _state_in_words(record)),
        *_own_rows(record),
        ("not before", show_time(record.not_before)),
        ("not after", show_time(record.not_after)),
        ("enrolled", show_time(record.enrolled_at)),
    ]


def _own_rows(record: Enrolled) -> list[tuple[str, str]]:
    match record:
        case EnrolledCertificate():
            names = (
                []
                if record.certificate is None
                else [("subject", name_of(record.certificate)), ("issuer", record.certificate.issuer)]
            )
            return [
                *names,
                ("fingerprint", f"SHA-256 {record.fingerprint}"),
                ("public key", f"SPKI SHA-256 {record.pin}"),
            ]
        case EnrolledKey():
            return [("any with key", f"SPKI SHA-256 {record.pin}")]
        case IssuedToken():
            return [
                ("token", f"SHA-256 {record.digest}"),
                ("scopes", " ".join(record.scopes) or "none"),
                ("bound to", str(record.bound_to or "no certificate")),
            ]
        case _:
            assert_never(record)


def _name_of(record: Enrolled) -> str:
    match record:
        case EnrolledCertificate():
            return f"certificate {record.fingerprint}"
        case EnrolledKey():
            return f"key {record.pin}"
        case IssuedToken():
            return f"token {record.digest}"
        case _:
            assert_never(record)


def _state_in_words(record: Enrolled) -> str:
    since = f" since {show_time(record.revoked_at)}" if record.revoked_at else ""
    reason = f": {record.revocation_reason}" if record.revocation_reason else ""
    return f"{record.state}{since}{reason}"


def _show_table(records: Sequence[Enrolled], terminal: Terminal) -> None:
    width = max(len("CLIENT"), *(len(record.client) for record in records))
    terminal.out(f"{'CLIENT':<{width}}  {'STATE':<8}  {'NOT AFTER':<20}  {'KIND AND SHA-256':<76}  ROLES")
    for record in records:
        terminal.out(
            f"{record.client:<{width}}  {record.state:<8}  {show_time(record.not_after)}  "
            f"{_name_of(record):<76}  {','.join(record.roles)}".rstrip()
        )


def _as_record(record: Enrolled) -> dict[str, object]:
    return {
        "client": record.client,
        "state": record.state.value,
        "roles": list(record.roles),
        "not_before": show_time(record.not_before),
        "not_after": show_time(record.not_after),
        "enrolled_at": show_time(record.enrolled_at),
        "revoked_at": show_time(record.revoked_at) if record.revoked_at else None,
        "revocation_reason": record.revocation_reason,
        **_own_facts(record),
    }


def _own_facts(record: Enrolled) -> dict[str, object]:
    match record:
        case EnrolledCertificate(certificate=None):
            return {"kind": "certificate", "fingerprint": record.fingerprint.hex, "spki_sha256": record.pin}
        case EnrolledCertificate(certificate=Certificate() as certificate):
            return {
                "kind": "certificate",
                "fingerprint": record.fingerprint.hex,
                "spki_sha256": record.pin,
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "certificate": ssl.DER_cert_to_PEM_cert(certificate.der),
            }
        case EnrolledKey():
            return {"kind": "key", "spki_sha256": record.pin}
        case IssuedToken():
            return {
                "kind": "token",
                "token_sha256": record.digest,
                "scopes": list(record.scopes),
                "bound_to": record.bound_to.hex if record.bound_to else None,
            }
        case _:
            raise TypeError(type(record).__name__)
