"""
The ceremony that ends trust: what must go with a certificate, a key or a client, and that it goes.

Think as whoever stole a key: any certificate can be made with it, so that a
certificate that is revoked alone changes nothing for a thief while its key is
pinned, or while another certificate of it is enrolled. Hence a certificate is
revoked with its key, with every other certificate of that key, and with the
tokens bound to those; the key is written down as revoked even if it was never
pinned, so that nobody enrolls it again. Only who knows that the key is safe
keeps it, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from service.contract import PIN_KEY_PREFIX, ClientState
from service.identity.certificate import Fingerprint
from stacks.ceremonies.access import Clients
from stacks.ceremonies.client_table import ClientTable
from stacks.ceremonies.enrollment import EnrollmentRefusedError, find
from stacks.ceremonies.registry_items import Enrolled, EnrolledCertificate, EnrolledKey, IssuedToken
from stacks.environment import Environment


@dataclass(frozen=True, slots=True)
class Revocation:
    """
    What is to be revoked together, or was.

    Attributes:
        entries: As they stand, keys first: no moment must be left in which a key still opens what its certificate
            no longer does.
        pending: Those that are not revoked yet; keys that were never pinned are among them.
    """

    entries: tuple[Enrolled, ...]
    pending: tuple[Enrolled, ...]


def plan_revocation(
    clients: Clients,
    environment: Environment,
    what: Fingerprint | str,
    *,
    keeps_key: bool = False,
    at: datetime | None = None,
) -> Revocation:
    """
    Say what would be revoked.

    Args:
        clients: Who may read the registry.
        environment: Whose registry.
        what: As for `enrollment.show`: one entry, or all of a client.
        keeps_key: Leave the key, and whatever else holds it.
        at: Now, aware; None takes the clock's.

    Raises:
        UnknownCertificateError: There is no such entry.
        EnrollmentRefusedError: A key shall be revoked and kept.
    """
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    table = ClientTable(clients, environment)
    named = find(table, environment, what)
    if keeps_key and any(isinstance(each, EnrolledKey) for each in named):
        raise EnrollmentRefusedError("a key cannot be revoked and kept", hint="name the certificate alone")
    whole = {each.key: each for each in named}
    if not isinstance(what, str) or "#" in what:
        whole |= {each.key: each for each in _related(named, table.of_client(named[0].client), keeps_key=keeps_key)}
    keys = {} if keeps_key else {each.key: each for each in _keys(table, whole.values(), at=at)}
    entries = tuple(sorted((whole | keys).values(), key=_order))
    return Revocation(entries, tuple(each for each in entries if not each.is_revoked))


def revoke(  # noqa: PLR0913 -- where, then what
    clients: Clients,
    environment: Environment,
    what: Fingerprint | str,
    *,
    reason: str | None = None,
    keeps_key: bool = False,
    at: datetime | None = None,
) -> Revocation:
    """
    Revoke for good, all that belongs together; what is revoked already keeps its first date and reason.

    Returns:
        The entries as they stand now, and those of them that this call revoked.

    Raises:
        UnknownCertificateError: There is no such entry.
        EnrollmentRefusedError: A key shall be revoked and kept.
    """
    at = (at or datetime.now(UTC)).replace(microsecond=0)
    plan = plan_revocation(clients, environment, what, keeps_key=keeps_key, at=at)
    table = ClientTable(clients, environment)
    done = [each.key for each in plan.pending if _revoke_one(table, each, reason=reason, at=at)]
    entries = tuple(entry for each in plan.entries if (entry := table.get(each.key)))
    return Revocation(entries, tuple(each for each in entries if each.key in done))


def _related(named: Iterable[Enrolled], others: Iterable[Enrolled], *, keeps_key: bool) -> list[Enrolled]:
    """Find what holds the same keys, and the tokens bound to any of those certificates."""
    pins = set() if keeps_key else {each.pin for each in named if not isinstance(each, IssuedToken)}
    listed = list(others)
    same_key = [each for each in listed if not isinstance(each, IssuedToken) and each.pin in pins]
    fingerprints = {each.fingerprint for each in (*named, *same_key) if isinstance(each, EnrolledCertificate)}
    tokens = [each for each in listed if isinstance(each, IssuedToken) and each.bound_to in fingerprints]
    return [*same_key, *tokens]


def _keys(table: ClientTable, entries: Iterable[Enrolled], *, at: datetime) -> list[Enrolled]:
    """Find the keys of certificates, also those that were never pinned; these are not in the table yet."""
    found: dict[str, Enrolled] = {}
    for certificate in entries:
        if isinstance(certificate, EnrolledCertificate) and certificate.pin not in found:
            whole = certificate.certificate
            existing = table.get(PIN_KEY_PREFIX + certificate.pin)
            if existing is not None:
                found[certificate.pin] = existing
            elif whole is not None:
                found[certificate.pin] = _unpinned(certificate, whole.subject_public_key_info, at=at)
    return list(found.values())


def _unpinned(certificate: EnrolledCertificate, key: bytes, *, at: datetime) -> EnrolledKey:
    return EnrolledKey(
        subject_public_key_info=key,
        client=certificate.client,
        state=ClientState.PENDING,  # Not revoked yet; it is written as nothing else.
        roles=(),
        not_before=at,
        not_after=at,
        enrolled_at=at,
    )


def _revoke_one(table: ClientTable, entry: Enrolled, *, reason: str | None, at: datetime) -> bool:
    if isinstance(entry, EnrolledKey) and table.add(
        replace(entry, state=ClientState.REVOKED, revoked_at=at, revocation_reason=reason)
    ):
        return True
    return table.mark_revoked(entry.key, reason=reason, at=at)


def _order(entry: Enrolled) -> tuple[int, datetime, str]:
    rank = 0 if isinstance(entry, EnrolledKey) else 1 if isinstance(entry, EnrolledCertificate) else 2
    return rank, entry.not_after, entry.key
