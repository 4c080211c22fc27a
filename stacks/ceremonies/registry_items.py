"""
The items of the registry as values: certificates, keys and tokens (pure).

What is rendered here, `service.identity.client_registry` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from service.contract import PIN_KEY_PREFIX, TOKEN_KEY_PREFIX, ClientState, RegistryAttribute
from service.errors import ServiceError
from service.identity.certificate import Certificate, Fingerprint, parse_certificate, parse_pin
from stacks.errors import DeploymentError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    Item = Mapping[str, AttributeValueTypeDef]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """
    What every item says.

    Attributes:
        not_before: It counts from here; aware, UTC.
        not_after: And up to here.
        revoked_at: None unless it was revoked.
        revocation_reason: In the words of whoever revoked it, if any.
    """

    client: str
    state: ClientState
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    enrolled_at: datetime
    revoked_at: datetime | None = None
    revocation_reason: str | None = None

    @property
    def is_revoked(self) -> bool:
        """Whether it is revoked, for good."""
        return self.state is ClientState.REVOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledCertificate(_Entry):
    """
    One certificate.

    Attributes:
        pin: SHA-256 of the public key kept at enrollment.
        certificate: Whole, or None where only a list was asked for.
    """

    fingerprint: Fingerprint
    pin: str
    certificate: Certificate | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """Its partition key in the table."""
        return self.fingerprint.hex


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledKey(_Entry):
    """
    One public key, in whatever certificate it comes; a revoked one also stands for keys that were never pinned.

    Attributes:
        subject_public_key_info: DER.
    """

    subject_public_key_info: bytes = field(repr=False)

    @property
    def pin(self) -> str:
        """SHA-256 of it, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.subject_public_key_info).hexdigest()

    @property
    def key(self) -> str:
        """Its partition key in the table."""
        return PIN_KEY_PREFIX + self.pin


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken(_Entry):
    """
    One opaque bearer token, of which only the hash is kept.

    Attributes:
        digest: SHA-256 of the token, 64 lower-case hexadecimal digits.
        bound_to: The certificate it counts with; None counts with any or none.
    """

    digest: str
    scopes: tuple[str, ...]
    bound_to: Fingerprint | None

    @property
    def key(self) -> str:
        """Its partition key in the table."""
        return TOKEN_KEY_PREFIX + self.digest


Enrolled = EnrolledCertificate | EnrolledKey | IssuedToken


class RecordUnreadableError(DeploymentError):
    """An item of the registry was not written by us."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the registry's record of {key} cannot be read", hint="look who wrote it")


def render(entry: Enrolled) -> dict[str, AttributeValueTypeDef]:
    """
    Write an entry as an item.

    Raises:
        ValueError: A certificate that was left out cannot be written.
    """
    item: dict[str, AttributeValueTypeDef] = {
        RegistryAttribute.FINGERPRINT: {"S": entry.key},
        RegistryAttribute.CLIENT: {"S": entry.client},
        RegistryAttribute.STATE: {"S": entry.state.value},
        RegistryAttribute.ROLES: _list(entry.roles),
        RegistryAttribute.NOT_BEFORE: {"S": show_moment(entry.not_before)},
        RegistryAttribute.NOT_AFTER: {"S": show_moment(entry.not_after)},
        RegistryAttribute.ENROLLED_AT: {"S": show_moment(entry.enrolled_at)},
        **_render_own(entry),
    }
    if entry.revoked_at is not None:
        item[RegistryAttribute.REVOKED_AT] = {"S": show_moment(entry.revoked_at)}
    if entry.revocation_reason is not None:
        item[RegistryAttribute.REVOCATION_REASON] = {"S": entry.revocation_reason}
    return item


def _render_own(entry: Enrolled) -> dict[str, AttributeValueTypeDef]:
    match entry:
        case EnrolledCertificate(certificate=None):
            raise ValueError("the certificate itself belongs into its item")
        case EnrolledCertificate(certificate=Certificate() as certificate):
            return {
                RegistryAttribute.CERTIFICATE: {"B": certificate.der},
                RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO: {"B": certificate.subject_public_key_info},
            }
        case EnrolledKey():
            return {RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO: {"B": entry.subject_public_key_info}}
        case IssuedToken(bound_to=None):
            return {RegistryAttribute.SCOPES: _list(entry.scopes)}
        case IssuedToken(bound_to=Fingerprint() as bound_to):
            return {
                RegistryAttribute.SCOPES: _list(entry.scopes),
                RegistryAttribute.BOUND_TO: {"S": bound_to.hex},
            }
        case _:
            raise TypeError(type(entry).__name__)


def parse(item: Item) -> Enrolled:
    """
    Read an item.

    Raises:
        RecordUnreadableError: It lacks something or holds what it must not.
    """
    try:
        key = item[RegistryAttribute.FINGERPRINT]["S"]
        if key.startswith(PIN_KEY_PREFIX):
            return _parse_key(item, parse_pin(key))
        if key.startswith(TOKEN_KEY_PREFIX):
            return _parse_token(item, Fingerprint(key.removeprefix(TOKEN_KEY_PREFIX)).hex)
        return _parse_certificate(item, Fingerprint(key))
    except (KeyError, ValueError, TypeError, AttributeError, ServiceError) as error:
        key = item.get(RegistryAttribute.FINGERPRINT, {}).get("S", "nothing")
        raise RecordUnreadableError(key) from error


def _parse_certificate(item: Item, fingerprint: Fingerprint) -> EnrolledCertificate:
    certificate = item.get(RegistryAttribute.CERTIFICATE)
    return EnrolledCertificate(
        fingerprint=fingerprint,
        pin=hashlib.sha256(bytes(item[RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO]["B"])).hexdigest(),
        certificate=None if certificate is None else parse_certificate(bytes(certificate["B"])),
        **_parse_common(item),
    )


def _parse_key(item: Item, pin: str) -> EnrolledKey:
    key = EnrolledKey(
        subject_public_key_info=bytes(item[RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO]["B"]), **_parse_common(item)
    )
    if key.pin != pin:
        raise ValueError("the pin of another key")
    return key


def _parse_token(item: Item, digest: str) -> IssuedToken:
    bound_to = item.get(RegistryAttribute.BOUND_TO)
    return IssuedToken(
        digest=digest,
        scopes=_names(item[RegistryAttribute.SCOPES]),
        bound_to=None if bound_to is None else Fingerprint(bound_to["S"]),
        **_parse_common(item),
    )


class _Common(TypedDict):
    client: str
    state: ClientState
    roles: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    enrolled_at: datetime
    revoked_at: datetime | None
    revocation_reason: str | None


def _parse_common(item: Item) -> _Common:
    return {
        "client": item[RegistryAttribute.CLIENT]["S"],
        "state": ClientState(item[RegistryAttribute.STATE]["S"]),
        "roles": _names(item[RegistryAttribute.ROLES]),
        "not_before": _time(item, RegistryAttribute.NOT_BEFORE),
        "not_after": _time(item, RegistryAttribute.NOT_AFTER),
        "enrolled_at": _time(item, RegistryAttribute.ENROLLED_AT),
        "revoked_at": _time(item, RegistryAttribute.REVOKED_AT) if RegistryAttribute.REVOKED_AT in item else None,
        "revocation_reason": item.get(RegistryAttribute.REVOCATION_REASON, {}).get("S"),
    }


def _names(value: AttributeValueTypeDef) -> tuple[str, ...]:
    return tuple(name["S"] for name in value["L"])


def _list(names: tuple[str, ...]) -> AttributeValueTypeDef:
    return {"L": [{"S": name} for name in names]}


def _time(item: Item, attribute: RegistryAttribute) -> datetime:
    moment = datetime.fromisoformat(item[attribute]["S"])
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def show_moment(moment: datetime) -> str:
    """Write a moment as items hold it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat("T", "seconds") + "Z"
