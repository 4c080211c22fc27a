"""
The clients' ceremony: enroll a certificate and its key, list, show, activate.

One item of the registry is one certificate, key or token; a client may have
several, so that the next one can be enrolled before the current one ends. What
is written here, `service.identity.client_registry` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from service.contract import PIN_KEY_PREFIX, TOKEN_KEY_PREFIX, ClientState
from service.identity.certificate import Certificate, Fingerprint
from stacks.ceremonies.access import Clients
from stacks.ceremonies.client_certificate import warnings_about
from stacks.ceremonies.client_table import ClientTable
from stacks.ceremonies.pasted import read_certificate
from stacks.ceremonies.registry_items import Enrolled, EnrolledCertificate, EnrolledKey
from stacks.environment import Environment
from stacks.errors import DeploymentError

DEFAULT_PIN_DAYS: Final = 730
"""NIST SP 800-57 part 1, table 1: a private authentication key is in use for one to two years."""
MAX_PIN_DAYS: Final = 1096

_CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9])?")
_ROLE: Final = re.compile(r"[a-z0-9][a-z0-9:._-]{0,62}")
_MAX_ROLES: Final = 32
_LONGEST_SHOWN: Final = 64
"""Characters; what was refused is shown that far."""


@dataclass(frozen=True, slots=True)
class Terms:
    """
    On what terms a certificate is enrolled.

    Attributes:
        roles: What the client may do; the service hands them on.
        pin_days: How long its key counts in every other certificate too; None leaves the key alone.
        is_pending: It counts only once it is activated.
    """

    roles: tuple[str, ...] = ()
    pin_days: int | None = None
    is_pending: bool = False


@dataclass(frozen=True, slots=True)
class Enrollment:
    """
    What came of enrolling.

    Attributes:
        record: The certificate.
        key: Its key, if that was asked for.
        is_new: False if exactly this was enrolled already; then nothing was written.
        warnings: What will surprise somebody later.
    """

    record: EnrolledCertificate
    key: EnrolledKey | None
    is_new: bool
    warnings: tuple[str, ...]


class EnrollmentRefusedError(DeploymentError):
    """The client or its certificate cannot be enrolled like this; nothing was written."""

    exit_code = 5


class AlreadyEnrolledError(EnrollmentRefusedError):
    """The certificate or its key is enrolled already, and otherwise than asked now."""

    def __init__(self, entry: Enrolled, *, difference: str, hint: str) -> None:
        what = "certificate" if isinstance(entry, EnrolledCertificate) else "the key"
        super().__init__(f"{what} {entry.key} is enrolled already, {difference}; nothing was changed", hint=hint)
        self.entry = entry


class UnknownCertificateError(DeploymentError):
    """There is no such certificate, key, token or client in the registry."""

    exit_code = 5

    def __init__(self, environment_name: str, what: str) -> None:
        super().__init__(
            f"{what} is not enrolled in {environment_name}",
            hint=f"python scripts/clients.py list --env {environment_name}",
        )


def enroll(  # noqa: PLR0913 -- where, then what
    clients: Clients,
    environment: Environment,
    client: str,
    certificate: bytes,
    terms: Terms = Terms(),
    *,
    at: datetime | None = None,
) -> Enrollment:
    """
    Enroll a client's certificate; from the next request on it identifies the client.

    Args:
        clients: Who may write the registry.
        environment: Whose registry.
        client: The name the service will say and log; a client may have several certificates.
        certificate: As the partner sent it: PEM, DER, or a paste with text around it.
        terms: On what terms.
        at: Now, aware; None takes the clock's.

    Raises:
        PastedError: It is not exactly one certificate, or a private key came along.
        EnrollmentRefusedError: The name, a role or the key cannot be accepted.
        AlreadyEnrolledError: For another client, with other roles, or revoked.
    """
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    leaf = read_certificate(certificate)
    wanted = _record(checked_name(client), leaf, terms, at=at)
    if leaf.weakness:
        raise EnrollmentRefusedError(
            f"the certificate's key is too weak: {leaf.weakness}", hint="ask for a new P-256 or RSA 3072 key"
        )
    key = None if terms.pin_days is None else _key(wanted, leaf, days=terms.pin_days, at=at)
    table = ClientTable(clients, environment)
    _refuse_key(table.get(PIN_KEY_PREFIX + leaf.pin), wanted, is_pinned_now=key is not None)
    added = table.add(wanted)
    found = wanted if added else table.get(wanted.key)
    if not isinstance(found, EnrolledCertificate):
        raise EnrollmentRefusedError("somebody else changed the registry meanwhile", hint="type it again")
    _refuse_difference(found, wanted)
    is_key_added = key is not None and table.add(key)
    warnings = (*_about_end(found, at), *warnings_about(leaf, at=at, is_pinned=key is not None))
    return Enrollment(found, key, is_new=added or is_key_added, warnings=warnings)


def _about_end(found: EnrolledCertificate, at: datetime) -> Iterator[str]:
    """Warn of a record that a rotation gave an end before the certificate's own; to enroll it again mends nothing."""
    if found.state is ClientState.RETIRING and at > found.not_after:
        yield (
            f"its enrollment ended on {found.not_after:%Y-%m-%d} and does not come back: it is refused; "
            "the client has to use its next certificate"
        )


def list_clients(clients: Clients, environment: Environment) -> tuple[Enrolled, ...]:
    """List all that is enrolled, by client and then by end; the certificates themselves are left out."""
    records = ClientTable(clients, environment).all()
    return tuple(sorted(records, key=lambda each: (each.client, each.not_after, each.key)))


def show(clients: Clients, environment: Environment, what: Fingerprint | str) -> tuple[Enrolled, ...]:
    """
    Show one entry, or all of a client.

    Args:
        clients: Who may read the registry.
        environment: Whose registry.
        what: 64 digits are looked up as a certificate's fingerprint, a key's pin and a token's digest, in this order;
            text is the partition key of a key or token, or else a client's name.

    Raises:
        UnknownCertificateError: There is none.
    """
    return find(ClientTable(clients, environment), environment, what)


def find(table: ClientTable, environment: Environment, what: Fingerprint | str) -> tuple[Enrolled, ...]:
    """Do what `show` does, in a table that is open already."""
    if isinstance(what, Fingerprint):
        keys = (what.hex, PIN_KEY_PREFIX + what.hex, TOKEN_KEY_PREFIX + what.hex)
        found = next((entry for key in keys if (entry := table.get(key))), None)
        entries = [] if found is None else [found]
    elif what.startswith((PIN_KEY_PREFIX, TOKEN_KEY_PREFIX)):
        found = table.get(what)
        entries = [] if found is None else [found]
    else:
        entries = sorted(table.of_client(what), key=lambda each: (each.not_after, each.key))
    if not entries:
        raise UnknownCertificateError(environment.name, _name_of(what))
    return tuple(entries)


def activate(clients: Clients, environment: Environment, what: Fingerprint | str) -> tuple[Enrolled, ...]:
    """
    Put in force what was enrolled as pending; returns what was.

    Raises:
        UnknownCertificateError: There is none.
        EnrollmentRefusedError: Nothing of it is pending.
    """
    table = ClientTable(clients, environment)
    activated = [entry for entry in find(table, environment, what) if table.mark_active(entry.key)]
    if not activated:
        raise EnrollmentRefusedError(f"nothing of {_name_of(what)} is pending")
    return tuple(entry for each in activated if (entry := table.get(each.key)))


def _name_of(what: Fingerprint | str) -> str:
    if isinstance(what, Fingerprint):
        return f"certificate {what}"
    return what if "#" in what else f"a client named {what}"


# -- what may be enrolled --------------------------------------------------------------


def checked_name(client: str) -> str:
    """Read a client's name; raises EnrollmentRefusedError."""
    if not _CLIENT_NAME.fullmatch(client):
        raise EnrollmentRefusedError(
            f"the client's name {_shown(client)} cannot be used",
            hint="1 to 64 of a-z, A-Z, 0-9, blanks and . _ @ -, beginning and ending with a letter or digit",
        )
    return client


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]!r}... of {len(text)} characters"


def checked_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """Read roles, each once; raises EnrollmentRefusedError."""
    checked = tuple(dict.fromkeys(roles))
    for role in checked:
        if not _ROLE.fullmatch(role):
            raise EnrollmentRefusedError(
                f"the role {_shown(role)} cannot be used", hint="1 to 63 of a-z, 0-9 and : . _ -"
            )
    if len(checked) > _MAX_ROLES:
        raise EnrollmentRefusedError(f"{len(checked)} roles, at most {_MAX_ROLES} expected")
    return checked


def checked_days(days: int, *, most: int) -> timedelta:
    """Read how long something shall count; raises EnrollmentRefusedError."""
    if not 1 <= days <= most:
        raise EnrollmentRefusedError(f"{days} days, 1 to {most} expected")
    return timedelta(days=days)


def _record(client: str, certificate: Certificate, terms: Terms, *, at: datetime) -> EnrolledCertificate:
    return EnrolledCertificate(
        fingerprint=certificate.fingerprint,
        client=client,
        state=ClientState.PENDING if terms.is_pending else ClientState.ACTIVE,
        roles=checked_roles(terms.roles),
        pin=certificate.pin,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        enrolled_at=at,
        certificate=certificate,
    )


def _key(record: EnrolledCertificate, certificate: Certificate, *, days: int, at: datetime) -> EnrolledKey:
    """Say what is enrolled of a key: from now on, for days of its own, since certificates come and go around it."""
    return EnrolledKey(
        subject_public_key_info=certificate.subject_public_key_info,
        client=record.client,
        state=record.state,
        roles=record.roles,
        not_before=at,
        not_after=at + checked_days(days, most=MAX_PIN_DAYS),
        enrolled_at=at,
    )


def _refuse_key(existing: Enrolled | None, wanted: EnrolledCertificate, *, is_pinned_now: bool) -> None:
    """Refuse a key that was revoked, that is another client's, or that was pinned with other roles."""
    if existing is None:
        return
    if existing.is_revoked:
        raise AlreadyEnrolledError(
            existing,
            difference="and revoked",
            hint="whoever took a key can make any certificate with it; ask for a new key and certificate",
        )
    if existing.client != wanted.client:
        raise AlreadyEnrolledError(
            existing,
            difference=f"for the client {existing.client}",
            hint="one key is one client; ask this client for a key of its own",
        )
    if is_pinned_now and set(existing.roles) != set(wanted.roles):
        raise AlreadyEnrolledError(
            existing,
            difference=f"with {_roles_in_words(existing)}",
            hint="ask for a new key with the new roles, then revoke this one",
        )


def _refuse_difference(existing: EnrolledCertificate, wanted: EnrolledCertificate) -> None:
    if existing.client != wanted.client:
        raise AlreadyEnrolledError(
            existing,
            difference=f"for the client {existing.client}",
            hint="one certificate is one client; ask this client for a certificate of its own",
        )
    if existing.is_revoked:
        raise AlreadyEnrolledError(
            existing,
            difference="and revoked",
            hint="a revoked certificate does not come back; ask for a new key and certificate",
        )
    if set(existing.roles) != set(wanted.roles):
        raise AlreadyEnrolledError(
            existing,
            difference=f"with {_roles_in_words(existing)}",
            hint="enroll a new certificate with the new roles, then revoke this one",
        )


def _roles_in_words(entry: Enrolled) -> str:
    return f"the roles {', '.join(entry.roles)}" if entry.roles else "no roles"
