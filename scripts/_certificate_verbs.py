"""The verbs of `certificates.py`; the work is done in `stacks.ceremonies.server_certificate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from scripts._operator import Opener, certificate_admin, read_source, show_rows
from scripts._terminal import ExitCode, Terminal, UsageError, environment_name
from service.identity.key_set import MAX_KEY_SET_BYTES
from stacks.ceremonies import key_set, server_certificate
from stacks.ceremonies.development_authority import DevelopmentAuthority
from stacks.ceremonies.key_set import InstalledKeySet
from stacks.ceremonies.pasted import MAX_PASTED_BYTES
from stacks.ceremonies.server_certificate import PendingKey, Status, show_time
from stacks.ceremonies.signing_request import KeyKind, Subject
from stacks.deployment.account import LOCAL
from stacks.environment import Environment
from stacks.errors import DeploymentError

Verb = Callable[[argparse.Namespace, Terminal, Opener], int]


class DevelopmentRefusedError(DeploymentError):
    """Somebody asked for the development authority where partners connect."""

    exit_code = ExitCode.GUARD

    def __init__(self, environment_name: str) -> None:
        super().__init__(
            f"the development authority signs for {LOCAL} only, not for {environment_name}",
            hint=f"python scripts/certificates.py request --env {environment_name}",
        )


def request(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Make a key and the request for its certificate."""
    name = environment_name(options)
    subject = Subject(
        organization=options.organization, locality=options.locality, state=options.state, country=options.country
    )
    operator = open_operator(name)
    csr = server_certificate.request(
        certificate_admin(operator),
        operator.environment,
        subject=subject,
        key_kind=KeyKind(options.key),
        replace_pending=options.replace_pending,
    )
    terminal.progress(f"the key of {operator.environment.ingress.host_name} is pending in the certificate bucket")
    _write_request(csr, options.out, terminal)
    terminal.progress("next: give the request to the CA; when its answer is here,")
    terminal.progress(f"      python scripts/certificates.py install --env {name} --chain FILE")
    return ExitCode.DONE


def install(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Put a chain in force."""
    name = environment_name(options)
    now = datetime.now(UTC)
    if options.development:
        return _install_development(name, terminal, open_operator, at=now)
    if options.chain.count("-") > 1:
        raise UsageError("standard input can be read once; paste all certificates together, leaf first")
    # Each file ends its line: a PEM without a last line end would run into the next one.
    chain = b"\n".join(read_source(source, terminal, max_bytes=MAX_PASTED_BYTES) for source in options.chain)
    operator = open_operator(name)
    admin = certificate_admin(operator)
    server_certificate.install(admin, operator.environment, chain, at=now)
    terminal.progress(f"in force for {name}; running tasks take it within a minute, without a restart")
    _show(server_certificate.status(admin, operator.environment), operator.environment.ingress.host_name, terminal, now)
    return ExitCode.DONE


def install_key_set(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Put a token issuer's public keys in force."""
    name = environment_name(options)
    data = read_source(options.file, terminal, max_bytes=MAX_KEY_SET_BYTES)
    operator = open_operator(name)
    admin = certificate_admin(operator)
    before = key_set.status(admin, operator.environment)
    keys = key_set.install(admin, operator.environment, data)
    gone = sorted(_key_names(before) - {each.key_id or "" for each in keys})
    if gone:
        terminal.warning(f"tokens signed with {', '.join(gone)} are refused from now on")
    terminal.progress(f"in force for {name}; running tasks take it within some minutes, without a restart")
    show_rows(
        terminal, [("key set", _keys_in_words(operator.environment, key_set.status(admin, operator.environment)))]
    )
    return ExitCode.DONE


def status(options: argparse.Namespace, terminal: Terminal, open_operator: Opener) -> int:
    """Show what is in force and what is pending."""
    operator = open_operator(environment_name(options))
    admin, environment = certificate_admin(operator), operator.environment
    found, keys = server_certificate.status(admin, environment), key_set.status(admin, environment)
    host_name, now = environment.ingress.host_name, datetime.now(UTC)
    if options.output == "json":
        terminal.record(_as_record(found, host_name, now) | {"key_set": _keys_as_record(keys)})
    else:
        _show(found, host_name, terminal, now)
        if environment.bearer_token is not None:
            show_rows(terminal, [("key set", _keys_in_words(environment, keys))])
    return ExitCode.DONE


VERBS: Final[Mapping[str, Verb]] = {
    "request": request,
    "install": install,
    "install-key-set": install_key_set,
    "status": status,
}


def _install_development(name: str, terminal: Terminal, open_operator: Opener, *, at: datetime) -> int:
    if name != LOCAL:
        raise DevelopmentRefusedError(name)
    operator = open_operator(name)
    admin = certificate_admin(operator)
    authority = DevelopmentAuthority.create(at)
    csr = server_certificate.request(admin, operator.environment, replace_pending=True)
    server_certificate.install(admin, operator.environment, authority.sign(csr), at=at)
    terminal.progress("in force for local; this authority signed it, and clients trust it with --cacert FILE:")
    terminal.out(authority.certificate_pem.decode().rstrip())
    return ExitCode.DONE


def _write_request(csr: bytes, out: Path | None, terminal: Terminal) -> None:
    if out is None:
        terminal.out(csr.decode().rstrip())
        return
    try:
        out.write_bytes(csr)
    except OSError as error:  # The key is pending already: its request must not be lost.
        terminal.out(csr.decode().rstrip())
        raise UsageError(f"{out} cannot be written, so the request is on standard output: {error.strerror}") from error
    terminal.progress(f"its request is in {out}")


def _show(found: Status, host_name: str, terminal: Terminal, now: datetime) -> None:
    rows = [("host name", host_name)]
    if found.manifest is None or found.leaf is None:
        rows.append(("in force", "none yet"))
    else:
        leaf = found.leaf
        rows += [
            ("in force", leaf.subject),
            ("names", ", ".join(leaf.dns_names)),
            ("issuer", leaf.issuer),
            ("fingerprint", f"SHA-256 {leaf.fingerprint}"),
            ("public key", f"SPKI SHA-256 {leaf.pin}"),
            ("not before", show_time(leaf.not_before)),
            ("not after", f"{show_time(leaf.not_after)} ({_days_in_words(_days_left(leaf.not_after, now))})"),
        ]
        if found.manifest.host_name != host_name:
            terminal.warning(f"the certificate in force is for {found.manifest.host_name}, not for {host_name}")
    rows.append(("pending", _pending_in_words(found.pending)))
    show_rows(terminal, rows)


def _as_record(found: Status, host_name: str, now: datetime) -> dict[str, object]:
    in_force: dict[str, object] | None = None
    if found.manifest is not None and found.leaf is not None:
        leaf = found.leaf
        in_force = {
            "subject": leaf.subject,
            "dns_names": list(leaf.dns_names),
            "issuer": leaf.issuer,
            "fingerprint": leaf.fingerprint.hex,
            "spki_sha256": leaf.pin,
            "not_before": show_time(leaf.not_before),
            "not_after": show_time(leaf.not_after),
            "days_left": _days_left(leaf.not_after, now),
            "chain_version_id": found.manifest.chain_version_id,
            "private_key_version_id": found.manifest.private_key_version_id,
            "chain": found.manifest.chain,
        }
    pending: dict[str, object] | None = None
    if found.pending is not None:
        pending = {
            "since": show_time(found.pending.since),
            "spki_sha256": found.pending.spki_sha256,
            "kind": found.pending.kind,
        }
    return {"host_name": host_name, "in_force": in_force, "pending": pending}


def _days_left(not_after: datetime, now: datetime) -> int:
    return (not_after - now).days


def _days_in_words(days: int) -> str:
    if days < 0:
        return "expired"
    return "1 day left" if days == 1 else f"{days} days left"


def _pending_in_words(pending: PendingKey | None) -> str:
    if pending is None:
        return "no key"
    pin = f", SPKI SHA-256 {pending.spki_sha256}" if pending.spki_sha256 else ""
    return f"a key since {show_time(pending.since)}{pin}"


def _key_names(found: InstalledKeySet | None) -> set[str]:
    return {each.key_id or "" for each in found.keys or ()} - {""} if found else set()


def _keys_in_words(environment: Environment, found: InstalledKeySet | None) -> str:
    tokens = environment.bearer_token
    if tokens is None or tokens.key_set is None:
        return "none: opaque tokens alone are taken"
    if tokens.key_set_object is None:
        return f"at {tokens.key_set}"
    if found is None:
        return f"none yet in {tokens.key_set_object}"
    keys = ", ".join(f"{key.key_id or 'without a name'} ({key.kind})" for key in found.keys or ())
    return f"{found.place} since {show_time(found.since)}: {keys or 'not a usable set'}"


def _keys_as_record(found: InstalledKeySet | None) -> dict[str, object] | None:
    if found is None:
        return None
    keys = (
        None
        if found.keys is None
        else [{"kid": key.key_id, "kind": key.kind, "algorithms": list(key.algorithms)} for key in found.keys]
    )
    return {"object": found.place, "since": show_time(found.since), "keys": keys}
