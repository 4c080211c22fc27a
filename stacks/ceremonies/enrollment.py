"""
The clients' ceremony: enroll a certificate, list, show, revoke.

One item of the registry is one certificate; a client may have several, so
that the next one can be enrolled before the current one ends. What is written
here, `service.identity.client_registry` reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from service.contract import ClientState
from service.identity.certificate import Certificate, Fingerprint
from stacks.ceremonies.access import Clients
from stacks.ceremonies.client_certificate import warnings_about
from stacks.ceremonies.client_table import ClientTable, EnrolledCertificate
from stacks.ceremonies.pasted import read_certificate
from stacks.environment import Environment
from stacks.errors import DeploymentError

_CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9])?")
_ROLE: Final = re.compile(r"[a-z0-9][a-z0-9:._-]{0,62}")
_MAX_ROLES: Final = 32
_LONGEST_SHOWN: Final = 64
"""Characters; what was refused is shown that far."""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """
    What came of enrolling.

    Attributes:
        is_new: False if exactly this was enrolled already; then nothing was written.
        warnings: What will surprise somebody later.
    """

    record: EnrolledCertificate
    is_new: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Revocation:
    """What came of revoking; `is_new` is False if it was revoked before, and then nothing was written."""

    record: EnrolledCertificate
    is_new: bool


class EnrollmentRefusedError(DeploymentError):
    """The client or its certificate cannot be enrolled like this; nothing was written."""

    exit_code = 5


class AlreadyEnrolledError(EnrollmentRefusedError):
    """The certificate is enrolled already, and otherwise than asked now."""

    def __init__(self, record: EnrolledCertificate, *, difference: str, hint: str) -> None:
        super().__init__(
            f"certificate {record.fingerprint} is enrolled already, {difference}; nothing was changed", hint=hint
        )
        self.record = record


class UnknownCertificateError(DeploymentError):
    """There is no such certificate in the registry."""

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
    roles: Iterable[str] = (),
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
        roles: What the client may do; the service hands them on.
        at: Now, aware; None takes the clock's.

    Raises:
        PastedError: It is not exactly one certificate, or a private key came along.
        EnrollmentRefusedError: The name, a role or the key cannot be accepted.
        AlreadyEnrolledError: For another client, with other roles, or revoked.
    """
    at = at or datetime.now(UTC)
    leaf = read_certificate(certificate)
    wanted = _record(_checked_name(client), _checked_roles(roles), leaf, at=at)
    if leaf.weakness:
        raise EnrollmentRefusedError(
            f"the certificate's key is too weak: {leaf.weakness}", hint="ask for a new P-256 or RSA 3072 key"
        )
    warnings = warnings_about(leaf, at=at)
    table = ClientTable(clients, environment)
    if table.add(wanted, leaf):
        return Enrollment(wanted, is_new=True, warnings=warnings)
    existing = table.get(wanted.fingerprint)
    if existing is None:
        raise EnrollmentRefusedError("somebody else changed the registry meanwhile", hint="type it again")
    _refuse_difference(existing, wanted)
    return Enrollment(existing, is_new=False, warnings=warnings)


def list_clients(clients: Clients, environment: Environment) -> tuple[EnrolledCertificate, ...]:
    """List all that is enrolled, by client and then by end; the certificates themselves are left out."""
    records = ClientTable(clients, environment).all()
    return tuple(sorted(records, key=lambda each: (each.client, each.not_after, each.fingerprint.hex)))


def show(clients: Clients, environment: Environment, what: Fingerprint | str) -> tuple[EnrolledCertificate, ...]:
    """
    Show one certificate by its fingerprint, or all certificates of a client by its name.

    Raises:
        UnknownCertificateError: There is none.
    """
    table = ClientTable(clients, environment)
    if isinstance(what, Fingerprint):
        record = table.get(what)
        records = [] if record is None else [record]
    else:
        records = sorted(table.of_client(what), key=lambda each: each.not_after)
    if not records:
        name = f"certificate {what}" if isinstance(what, Fingerprint) else f"a client named {what}"
        raise UnknownCertificateError(environment.name, name)
    return tuple(records)


def revoke(
    clients: Clients,
    environment: Environment,
    fingerprint: Fingerprint,
    *,
    reason: str | None = None,
    at: datetime | None = None,
) -> Revocation:
    """
    Revoke a certificate for good; one that is revoked already keeps its first date and reason.

    Raises:
        UnknownCertificateError: It is not enrolled.
    """
    table = ClientTable(clients, environment)
    is_new = table.mark_revoked(fingerprint, reason=reason, at=at or datetime.now(UTC))
    record = table.get(fingerprint)
    if record is None:
        raise UnknownCertificateError(environment.name, f"certificate {fingerprint}")
    return Revocation(record, is_new=is_new)


# -- what may be enrolled --------------------------------------------------------------


def _checked_name(client: str) -> str:
    if not _CLIENT_NAME.fullmatch(client):
        raise EnrollmentRefusedError(
            f"the client's name {_shown(client)} cannot be used",
            hint="1 to 64 of a-z, A-Z, 0-9, blanks and . _ @ -, beginning and ending with a letter or digit",
        )
    return client


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]!r}... of {len(text)} characters"


def _checked_roles(roles: Iterable[str]) -> tuple[str, ...]:
    checked = tuple(dict.fromkeys(roles))
    for role in checked:
        if not _ROLE.fullmatch(role):
            raise EnrollmentRefusedError(
                f"the role {_shown(role)} cannot be used", hint="1 to 63 of a-z, 0-9 and : . _ -"
            )
    if len(checked) > _MAX_ROLES:
        raise EnrollmentRefusedError(f"{len(checked)} roles, at most {_MAX_ROLES} expected")
    return checked


def _record(client: str, roles: tuple[str, ...], certificate: Certificate, *, at: datetime) -> EnrolledCertificate:
    return EnrolledCertificate(
        fingerprint=certificate.fingerprint,
        client=client,
        state=ClientState.ACTIVE,
        roles=roles,
        pin=certificate.pin,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        enrolled_at=at.replace(microsecond=0),
        revoked_at=None,
        revocation_reason=None,
        certificate=certificate,
    )


def _refuse_difference(existing: EnrolledCertificate, wanted: EnrolledCertificate) -> None:
    if existing.client != wanted.client:
        raise AlreadyEnrolledError(
            existing,
            difference=f"for the client {existing.client}",
            hint="one certificate is one client; ask this client for a certificate of its own",
        )
    if existing.revoked_at is not None or existing.state is ClientState.REVOKED:
        raise AlreadyEnrolledError(
            existing,
            difference="and revoked",
            hint="a revoked certificate does not come back; ask for a new key and certificate",
        )
    if set(existing.roles) != set(wanted.roles):
        raise AlreadyEnrolledError(
            existing,
            difference=f"with {'the roles ' + ', '.join(existing.roles) if existing.roles else 'no roles'}",
            hint="enroll a new certificate with the new roles, then revoke this one",
        )
