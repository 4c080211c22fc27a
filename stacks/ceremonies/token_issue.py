"""
The ceremony of an opaque bearer token: made here, shown once, kept as a hash.

Where the registry is read by somebody who should not, no token can be made of
what is found there; where a token is found, its prefix says what it is.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from service.contract import TOKEN_KEY_PREFIX, TOKEN_PREFIX, ClientState
from service.identity.certificate import Fingerprint
from stacks.ceremonies.access import Clients
from stacks.ceremonies.client_table import ClientTable
from stacks.ceremonies.enrollment import (
    EnrollmentRefusedError,
    checked_days,
    checked_name,
    checked_roles,
    find,
)
from stacks.ceremonies.registry_items import Enrolled, EnrolledCertificate, IssuedToken
from stacks.environment import Environment

TOKEN_BYTES: Final = 32
"""256 bits: nothing is gained by guessing, or by a faster hash than SHA-256 of what leaked."""

DEFAULT_TOKEN_DAYS: Final = 90
MAX_TOKEN_DAYS: Final = 366

_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,128}")
"""RFC 6749, section 3.3: `scope-token`."""
_MAX_SCOPES: Final = 32


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What a token shall allow.

    Attributes:
        days: From now on.
        bound_to: The certificate it counts with; None with `is_unbound` counts with any or none.
        is_unbound: Neither this nor `bound_to` takes the client's certificate in force, if there is exactly one.
    """

    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    days: int = DEFAULT_TOKEN_DAYS
    bound_to: Fingerprint | None = None
    is_unbound: bool = False


@dataclass(frozen=True, slots=True)
class NewToken:
    """
    A token nobody has seen yet.

    Attributes:
        text: To be shown once and kept nowhere.
    """

    text: str = field(repr=False)
    record: IssuedToken


def issue_token(
    clients: Clients, environment: Environment, client: str, grant: Grant, *, at: datetime | None = None
) -> NewToken:
    """
    Issue a token to a client that is enrolled.

    Raises:
        UnknownCertificateError: There is no such client.
        EnrollmentRefusedError: A role, a scope, the days or the certificate cannot be accepted.
    """
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    table = ClientTable(clients, environment)
    entries = find(table, environment, checked_name(client))
    if all(each.is_revoked for each in entries):
        raise EnrollmentRefusedError(f"everything of the client {client} is revoked", hint="enroll it anew first")
    text = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    record = IssuedToken(
        digest=digest_of(text),
        client=client,
        state=ClientState.ACTIVE,
        roles=checked_roles(grant.roles),
        scopes=_checked_scopes(grant.scopes),
        not_before=at,
        not_after=at + checked_days(grant.days, most=MAX_TOKEN_DAYS),
        enrolled_at=at,
        bound_to=_binding(grant, client, entries, at=at),
    )
    if not table.add(record):
        raise EnrollmentRefusedError("somebody else changed the registry meanwhile", hint="type it again")
    return NewToken(text, record)


def digest_of(token: str) -> str:
    """Hash a token as the registry holds it."""
    return hashlib.sha256(token.encode()).hexdigest()


def key_of(token: str) -> str:
    """Name a token's item by the token itself."""
    return TOKEN_KEY_PREFIX + digest_of(token)


def _binding(grant: Grant, client: str, entries: Iterable[Enrolled], *, at: datetime) -> Fingerprint | None:
    if grant.is_unbound:
        return None
    usable = [
        each.fingerprint
        for each in entries
        if isinstance(each, EnrolledCertificate) and not each.is_revoked and each.not_after >= at
    ]
    if grant.bound_to is not None:
        if grant.bound_to not in usable:
            raise EnrollmentRefusedError(
                f"certificate {grant.bound_to} is none of {client}'s that is in force", hint="see `clients.py show`"
            )
        return grant.bound_to
    if len(usable) != 1:
        raise EnrollmentRefusedError(
            f"{client} has {len(usable)} certificates in force, and a token is bound to one",
            hint="--bind FINGERPRINT, or --unbound for a token that counts without a certificate",
        )
    return usable[0]


def _checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    checked = tuple(dict.fromkeys(scopes))
    for scope in checked:
        if not _SCOPE.fullmatch(scope):
            raise EnrollmentRefusedError(
                f"the scope {scope[:64]!r} cannot be used", hint="1 to 128 printable characters, no blanks and quotes"
            )
    if len(checked) > _MAX_SCOPES:
        raise EnrollmentRefusedError(f"{len(checked)} scopes, at most {_MAX_SCOPES} expected")
    return checked
