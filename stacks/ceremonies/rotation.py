"""
The ceremony of a client's next certificate: both count for a while, then the old one has ended by itself.

A client that changes its certificate at a moment of its own choosing needs a
time in which either is good. What is in force becomes `retiring` with an end;
nobody has to come back to clean up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from service.contract import ClientState
from service.identity.certificate import Fingerprint
from stacks.ceremonies.access import Clients
from stacks.ceremonies.client_table import ClientTable
from stacks.ceremonies.enrollment import (
    DEFAULT_PIN_DAYS,
    Enrollment,
    EnrollmentRefusedError,
    Terms,
    checked_days,
    checked_name,
    enroll,
    find,
)
from stacks.ceremonies.pasted import read_certificate
from stacks.ceremonies.registry_items import Enrolled, EnrolledCertificate, EnrolledKey, IssuedToken
from stacks.environment import Environment

DEFAULT_OVERLAP_DAYS: Final = 30
"""A partner's change window and its paperwork."""
MAX_OVERLAP_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class Rotation:
    """
    What came of rotating.

    Attributes:
        enrollment: The next certificate.
        retiring: What ends now, with its end.
        warnings: What will surprise somebody later.
    """

    enrollment: Enrollment
    retiring: tuple[Enrolled, ...]
    warnings: tuple[str, ...]


def rotate(  # noqa: PLR0913 -- where, then what
    clients: Clients,
    environment: Environment,
    client: str,
    certificate: bytes,
    *,
    overlap_days: int = DEFAULT_OVERLAP_DAYS,
    at: datetime | None = None,
) -> Rotation:
    """
    Enroll a client's next certificate with the roles of the current one, which then has an end.

    If the current key is pinned, so is the next one, and the current pin ends too.

    Raises:
        PastedError: It is not exactly one certificate, or a private key came along.
        UnknownCertificateError: There is no such client.
        EnrollmentRefusedError: The client has nothing in force, or certificates with different roles; or this is the
            certificate that another one follows already.
        AlreadyEnrolledError: For another client, or revoked.
    """
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    end = at + checked_days(overlap_days, most=MAX_OVERLAP_DAYS)
    table = ClientTable(clients, environment)
    entries = find(table, environment, checked_name(client))
    current = [each for each in entries if _is_in_force(each, at)]
    terms = Terms(_roles_of(client, current), DEFAULT_PIN_DAYS if _pins(current) else None)
    _refuse_going_back(read_certificate(certificate).fingerprint, entries)
    enrollment = enroll(clients, environment, client, certificate, terms, at=at)
    old = [each for each in current if _is_other(each, enrollment.record)]
    retired = [each.key for each in old if table.mark_retiring(each.key, not_after=min(end, each.not_after))]
    retiring = tuple(entry for key in retired if (entry := table.get(key)))
    return Rotation(enrollment, retiring, (*enrollment.warnings, *_about_tokens(entries, old)))


def _is_in_force(entry: Enrolled, at: datetime) -> bool:
    is_proof = isinstance(entry, EnrolledCertificate | EnrolledKey)
    return is_proof and entry.state is ClientState.ACTIVE and entry.not_after >= at


def _refuse_going_back(fingerprint: Fingerprint, entries: tuple[Enrolled, ...]) -> None:
    """Keep the current certificate from ending for one that ends itself."""
    for entry in entries:
        if entry.key == fingerprint.hex and entry.state is ClientState.RETIRING:
            raise EnrollmentRefusedError(
                f"certificate {fingerprint} is retiring already, until {entry.not_after:%Y-%m-%d}; nothing was changed",
                hint="give the client's next certificate; clients.py show --env ENV CLIENT lists what it has",
            )


def _roles_of(client: str, current: list[Enrolled]) -> tuple[str, ...]:
    roles = {frozenset(each.roles) for each in current if isinstance(each, EnrolledCertificate)}
    if not roles:
        raise EnrollmentRefusedError(f"{client} has no certificate in force", hint="clients.py enroll")
    if len(roles) > 1:
        raise EnrollmentRefusedError(
            f"{client} has certificates in force with different roles",
            hint="enroll the next one with the roles it shall have, then revoke the one it stands for",
        )
    return next(each.roles for each in current if isinstance(each, EnrolledCertificate))


def _pins(current: list[Enrolled]) -> bool:
    return any(isinstance(each, EnrolledKey) for each in current)


def _is_other(entry: Enrolled, following: EnrolledCertificate) -> bool:
    if isinstance(entry, EnrolledKey):
        return entry.pin != following.pin
    return entry.key != following.key


def _about_tokens(entries: tuple[Enrolled, ...], old: list[Enrolled]) -> tuple[str, ...]:
    fingerprints = {each.fingerprint for each in old if isinstance(each, EnrolledCertificate)}
    bound = [each for each in entries if isinstance(each, IssuedToken) and each.bound_to in fingerprints]
    if not any(not each.is_revoked for each in bound):
        return ()
    return ("tokens are bound to the old certificate and do not count with the next one: issue them anew",)
