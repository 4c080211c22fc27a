"""
The token issuer's public keys: install and look.

The issuer gives them out as a JWK set; where the environment keeps the set in
the certificate bucket, this puts it there, checked as the service will check
it. Running tasks take it within minutes, without a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.errors import KeySetError
from service.identity.key_set import PublicKey, parse_key_set
from stacks.ceremonies.access import Clients
from stacks.ceremonies.certificate_bucket import CertificateBucket
from stacks.environment import Environment
from stacks.errors import DeploymentError


@dataclass(frozen=True, slots=True)
class InstalledKeySet:
    """
    What the bucket holds.

    Attributes:
        place: The object's name.
        keys: None when it cannot be read; the service has none then, or its last good ones.
        since: When it was written; aware.
    """

    place: str
    keys: tuple[PublicKey, ...] | None
    since: datetime


class NoPlaceForKeySetError(DeploymentError):
    """The environment does not keep a key set in the bucket."""

    exit_code = 5

    def __init__(self, environment_name: str) -> None:
        super().__init__(
            f"{environment_name} keeps no key set in its bucket",
            hint=f"name it in environments/{environment_name}.toml, [bearer_token] key_set, and deploy that first",
        )


class KeySetRefusedError(DeploymentError):
    """The set must not be installed; every fault is listed."""

    exit_code = 5

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(
            f"the key set is not installed, the one in force stays: {'; '.join(faults)}",
            hint="ask the issuer for its public keys as a JWK set (RFC 7517); private keys never leave it",
        )
        self.faults = faults


def install(clients: Clients, environment: Environment, data: bytes) -> tuple[PublicKey, ...]:
    """
    Put a key set in force.

    Args:
        clients: Acting as the certificate-admin role.
        environment: Its `[bearer_token]` names the object.
        data: The JWK set as the issuer gives it out.

    Returns:
        Its usable keys.

    Raises:
        NoPlaceForKeySetError: The environment names no object.
        KeySetRefusedError: It holds a private key, or nothing we can use.
    """
    place = environment.key_set_object
    if place is None:
        raise NoPlaceForKeySetError(environment.name)
    try:
        keys = parse_key_set(data).keys
    except KeySetError as error:
        raise KeySetRefusedError(error.faults) from error
    # Public, like the manifest, and encrypted as that is: with S3's own key.
    CertificateBucket(clients, environment).put(
        place, data, ServerSideEncryption="AES256", ContentType="application/json"
    )
    return keys


def status(clients: Clients, environment: Environment) -> InstalledKeySet | None:
    """Say which keys are in force; None when there are none yet, or the environment keeps them elsewhere."""
    place = environment.key_set_object
    stored = CertificateBucket(clients, environment).get(place) if place is not None else None
    if place is None or stored is None:
        return None
    try:
        keys: tuple[PublicKey, ...] | None = parse_key_set(stored.body).keys
    except KeySetError:
        keys = None
    return InstalledKeySet(place, keys, stored.last_modified)
