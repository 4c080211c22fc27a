"""The verbs of `clients.py`; the work is done in `stacks.ceremonies.enrollment`."""

from __future__ import annotations

import argparse
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from scripts._operator import Opener, read_source, show_rows
from scripts._terminal import ExitCode, Terminal, UsageError, environment_name
from service.errors import FingerprintError
from service.identity.certificate import Fingerprint
from stacks.ceremonies import enrollment
from stacks.ceremonies.client_table import EnrolledCertificate
from stacks.ceremonies.pasted import MAX_PASTED_BYTES, name_of
from stacks.ceremonies.server_certificate import show_time
from stacks.errors import DeploymentError

Verb = Callable[[argparse.Namespace, Terminal, Opener], int]

_MAX_REASON: Final = 256
_MEANT_AS_FINGERPRINT: Final = re.compile(r"(?:[0-9a-fA-F]{2}[\s:-]?){16,}")
"""A client may be called `beef`; sixteen bytes and more in hexadecimal are meant as a fingerprint."""


class NotApprovedError(DeploymentError):
    """Nobody said yes."""

    exit_code = ExitCode.NOT_APPROVED


def enroll(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Enroll a certificate."""
    name = environment_name(options)
    data = read_source(options.certificate, terminal, max_bytes=MAX_PASTED_BYTES)
    operator = open_operator(name)
    enrolled = enrollment.enroll(operator.account, operator.environment, options.client, data, options.role)
    terminal.progress(f"enrolled in {name}" if enrolled.is_new else f"enrolled in {name} before; nothing was changed")
    _show(enrolled.record, terminal)
    for warning in enrolled.warnings:
        terminal.warning(warning)
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
    """Show one certificate, or all of a client."""
    what = _fingerprint_or_client(" ".join(options.what))
    operator = open_operator(environment_name(options))
    records = enrollment.show(operator.account, operator.environment, what)
    if options.output == "json":
        terminal.out(json.dumps([_as_record(record) for record in records]))
        return ExitCode.DONE
    for number, record in enumerate(records):
        if number:
            terminal.out("")
        _show(record, terminal)
    return ExitCode.DONE


def revoke(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Revoke a certificate, after a yes."""
    name = environment_name(options)
    fingerprint = _fingerprint(" ".join(options.fingerprint))
    if options.reason and len(options.reason) > _MAX_REASON:
        raise UsageError(f"the reason is longer than {_MAX_REASON} characters")
    operator = open_operator(name)
    (record,) = enrollment.show(operator.account, operator.environment, fingerprint)
    if record.revoked_at is None and not options.yes:
        _approve(record, name, terminal)
    revocation = enrollment.revoke(operator.account, operator.environment, fingerprint, reason=options.reason)
    terminal.progress(f"revoked in {name}" if revocation.is_new else f"revoked in {name} before; nothing was changed")
    _show(revocation.record, terminal)
    return ExitCode.DONE


VERBS: Final[Mapping[str, Verb]] = {"enroll": enroll, "list": list_clients, "show": show, "revoke": revoke}


def _approve(record: EnrolledCertificate, environment_name: str, terminal: Terminal) -> None:
    if not terminal.can_ask:
        raise NotApprovedError(
            f"certificate {record.fingerprint} of {record.client} was not revoked: nobody is here to say yes",
            hint="the same command with --yes",
        )
    if not terminal.ask(f"revoke {record.fingerprint} of {record.client} in {environment_name} for good?"):
        raise NotApprovedError("nothing was revoked")


def _fingerprint(text: str) -> Fingerprint:
    # `openssl x509 -fingerprint` writes `sha256 Fingerprint=` in front.
    try:
        return Fingerprint.parse(text.rpartition("=")[2])
    except FingerprintError as error:
        raise UsageError(str(error), hint="openssl x509 -in FILE -noout -fingerprint -sha256") from error


def _fingerprint_or_client(text: str) -> Fingerprint | str:
    if "=" in text or _MEANT_AS_FINGERPRINT.fullmatch(text.strip()):
        return _fingerprint(text)
    try:
        return Fingerprint.parse(text)
    except FingerprintError:
        return text


def _show(record: EnrolledCertificate, terminal: Terminal) -> None:
    rows = [
        ("client", record.client),
        ("roles", ", ".join(record.roles) or "none"),
        ("state", _state_in_words(record)),
        ("fingerprint", f"SHA-256 {record.fingerprint}"),
        ("public key", f"SPKI SHA-256 {record.pin}"),
        ("not before", show_time(record.not_before)),
        ("not after", show_time(record.not_after)),
        ("enrolled", show_time(record.enrolled_at)),
    ]
    if record.certificate is not None:
        rows[3:3] = [("subject", name_of(record.certificate)), ("issuer", record.certificate.issuer)]
    show_rows(terminal, rows)


def _state_in_words(record: EnrolledCertificate) -> str:
    since = f" since {show_time(record.revoked_at)}" if record.revoked_at else ""
    reason = f": {record.revocation_reason}" if record.revocation_reason else ""
    return f"{record.state}{since}{reason}"


def _show_table(records: Sequence[EnrolledCertificate], terminal: Terminal) -> None:
    width = max(len("CLIENT"), *(len(record.client) for record in records))
    terminal.out(f"{'CLIENT':<{width}}  {'STATE':<8}  {'NOT AFTER':<20}  {'FINGERPRINT':<64}  ROLES")
    for record in records:
        terminal.out(
            f"{record.client:<{width}}  {record.state:<8}  {show_time(record.not_after)}  "
            f"{record.fingerprint.hex}  {','.join(record.roles)}".rstrip()
        )


def _as_record(record: EnrolledCertificate) -> dict[str, object]:
    facts: dict[str, object] = {
        "client": record.client,
        "fingerprint": record.fingerprint.hex,
        "spki_sha256": record.pin,
        "state": record.state.value,
        "roles": list(record.roles),
        "not_before": show_time(record.not_before),
        "not_after": show_time(record.not_after),
        "enrolled_at": show_time(record.enrolled_at),
        "revoked_at": show_time(record.revoked_at) if record.revoked_at else None,
        "revocation_reason": record.revocation_reason,
    }
    if record.certificate is not None:
        facts["subject"] = record.certificate.subject
        facts["issuer"] = record.certificate.issuer
        facts["certificate"] = ssl.DER_cert_to_PEM_cert(record.certificate.der)
    return facts
