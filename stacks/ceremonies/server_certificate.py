"""
The server certificate's ceremony: request, install, status.

The private key is made here and goes straight into the bucket, where it waits
as pending until the CA's answer arrives; it is never on a disk. What runs is
what the manifest names by object version, so nothing changes for the running
service until the manifest, written last, is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from service.boot.server_identity import Manifest, ServerIdentity, check_server_identity
from service.contract import CHAIN_KEY, MANIFEST_KEY, PENDING_PRIVATE_KEY_KEY, PRIVATE_KEY_KEY
from service.errors import CertificateError, ManifestError, ServerIdentityError
from service.identity.certificate import Certificate, load_pem_chain
from stacks.ceremonies import signing_request
from stacks.ceremonies.access import Clients
from stacks.ceremonies.certificate_bucket import CertificateBucket, ObjectChangedError, StoredObject
from stacks.ceremonies.pasted import name_of, read_certificates
from stacks.ceremonies.signing_request import KeyKind, Subject
from stacks.environment import Environment
from stacks.errors import DeploymentError

_SPKI: Final = "spki-sha256"
_KIND: Final = "key-kind"


@dataclass(frozen=True, slots=True)
class PendingKey:
    """
    A key whose certificate has not arrived yet: what may be said of it.

    Attributes:
        since: When it was made; aware.
        spki_sha256: Its pin, or None if whoever wrote it did not note it.
        kind: What it is, as noted when it was made.
    """

    since: datetime
    spki_sha256: str | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """What the bucket holds: the pair in force and its leaf, and a key that waits; each may be absent."""

    manifest: Manifest | None
    leaf: Certificate | None
    pending: PendingKey | None


class PendingKeyExistsError(DeploymentError):
    """A key waits for its certificate already, and a new one would make that certificate useless."""

    exit_code = 5

    def __init__(self, environment_name: str, pending: PendingKey | None) -> None:
        since = f" since {show_time(pending.since)}" if pending else ""
        pin = f" (SPKI SHA-256 {pending.spki_sha256})" if pending and pending.spki_sha256 else ""
        super().__init__(
            f"a key of {environment_name} is pending{since}{pin}; it was not touched",
            hint="install the chain that answers its request, or give the key up with --replace-pending",
        )
        self.pending = pending


class NoPendingKeyError(DeploymentError):
    """A chain arrived, and no key waits for it."""

    exit_code = 5

    def __init__(self, environment_name: str) -> None:
        super().__init__(
            "no key is pending, so this chain answers no request of ours; what runs is unchanged",
            hint=f"python scripts/certificates.py request --env {environment_name}",
        )


class ChainRefusedError(DeploymentError):
    """The chain must not be installed; every fault is listed."""

    exit_code = 5

    def __init__(self, faults: tuple[str, ...], *, hint: str | None = None) -> None:
        super().__init__(f"the chain is not installed, what runs is unchanged: {'; '.join(faults)}", hint=hint)
        self.faults = faults


class ManifestUnusableError(DeploymentError):
    """The manifest in the bucket was not written by us."""

    exit_code = 5

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(
            f"the manifest in the bucket is not usable: {'; '.join(faults)}",
            hint="look who wrote it; the version before it is still in the bucket",
        )


def request(
    clients: Clients,
    environment: Environment,
    *,
    subject: Subject | None = None,
    key_kind: KeyKind = KeyKind.P256,
    replace_pending: bool = False,
) -> bytes:
    """
    Make a key, keep it as pending, and ask for a certificate for it.

    Args:
        clients: Acting as the certificate-admin role.
        environment: Its host name is what the certificate will be for.
        subject: What the CA writes beside the host name.
        key_kind: Of the new key.
        replace_pending: Give up a key that waits already.

    Returns:
        The certificate signing request in PEM, for a public CA.

    Raises:
        PendingKeyExistsError: One waits already, and it was not to be replaced.
    """
    made = signing_request.make(environment.ingress.host_name, subject or Subject(), key_kind=key_kind)
    bucket = CertificateBucket(clients, environment)
    condition = {} if replace_pending else {"IfNoneMatch": "*"}
    try:
        bucket.put(
            PENDING_PRIVATE_KEY_KEY,
            made.private_key_pem,
            Metadata={_SPKI: made.spki_sha256, _KIND: key_kind.value},
            **condition,
        )
    except ObjectChangedError as error:
        raise PendingKeyExistsError(environment.name, _pending(bucket.look(PENDING_PRIVATE_KEY_KEY))) from error
    return made.csr_pem


def install(clients: Clients, environment: Environment, chain: bytes, *, at: datetime) -> Manifest:
    """
    Put the CA's answer in force.

    1. Read the chain, the manifest in force and the pending key.
    2. Check chain and key together, as the service will when it boots.
    3. Write chain, then key: new versions that nobody reads yet.
    4. Write the manifest that names them: from here on the new pair is in force.
    5. Hide the pending key, which is the key in force now.

    Interrupted anywhere, the old pair is in force or the new one, never half
    of each, and the same command typed again finishes the work. A pair that
    is in force already is left as it is.

    Args:
        clients: Acting as the certificate-admin role.
        environment: Whose host name the leaf must be for.
        chain: As the CA sent it: leaf first, then each issuer; PEM, or files one after the other.
        at: Now; aware.

    Raises:
        NoPendingKeyError: Nobody asked for this chain.
        ChainRefusedError: With every fault.
        ObjectChangedError: Somebody else installed at the same moment; theirs stands.
        PastedError: There is no certificate in the chain.
    """
    certificates = read_certificates(chain)
    bucket = CertificateBucket(clients, environment)
    before = bucket.get(MANIFEST_KEY)
    pending = bucket.get(PENDING_PRIVATE_KEY_KEY)
    in_force = _in_force(before, certificates[0])
    if in_force is not None:
        _hide_leftover(bucket, pending, in_force)
        return in_force
    if pending is None:
        raise NoPendingKeyError(environment.name)
    identity = _check(certificates, pending, host_name=environment.ingress.host_name, at=at)
    manifest = Manifest(
        host_name=environment.ingress.host_name,
        chain=identity.chain_pem.decode(),
        chain_version_id=bucket.put(CHAIN_KEY, identity.chain_pem),
        private_key_version_id=bucket.put(PRIVATE_KEY_KEY, identity.private_key_pem),
        spki_sha256=identity.leaf.pin,
        not_after=identity.not_after,
    )
    _write_manifest(bucket, manifest, before)
    _hide_leftover(bucket, pending, manifest)
    return manifest


def status(clients: Clients, environment: Environment) -> Status:
    """
    Say which pair is in force and whether a key waits; no private key is read.

    Raises:
        ManifestUnusableError: The manifest is not one of ours.
    """
    bucket = CertificateBucket(clients, environment)
    stored = bucket.get(MANIFEST_KEY)
    pending = _pending(bucket.look(PENDING_PRIVATE_KEY_KEY))
    if stored is None:
        return Status(None, None, pending)
    manifest = _parse(stored)
    try:
        leaf = load_pem_chain(manifest.chain.encode())[0]
    except CertificateError as error:
        raise ManifestUnusableError((f"its chain: {error}",)) from error
    return Status(manifest, leaf, pending)


def show_time(moment: datetime) -> str:
    """Write a moment as the house does, `2026-11-23T10:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- checking what came back ---------------------------------------------------


def _check(
    certificates: Sequence[Certificate], pending: StoredObject, *, host_name: str, at: datetime
) -> ServerIdentity:
    pin = _pin_of(pending.body)
    place = next((place for place, each in enumerate(certificates) if each.pin == pin), None)
    faults: list[str] = []
    if place:
        faults.append(f"the leaf stands at place {place + 1} of {len(certificates)}; it must come first")
    if len(certificates) == 1 and certificates[0].issuer != certificates[0].subject:
        faults.append(f"the issuer's certificate is missing: {certificates[0].issuer}")
    identity: ServerIdentity | None = None
    try:
        identity = check_server_identity(_chain_pem(certificates), pending.body, host_name=host_name, at=at)
    except ServerIdentityError as error:
        faults.extend(error.faults)
    if faults or identity is None:
        raise ChainRefusedError(tuple(faults), hint=_advice(certificates, pending, pin, place))
    return identity


def _advice(certificates: Sequence[Certificate], pending: StoredObject, pin: str, place: int | None) -> str:
    if place is None:
        return (
            f"this chain answers another request: its first key is SPKI SHA-256 {certificates[0].pin}, "
            f"the one pending since {show_time(pending.last_modified)} is {pin}"
        )
    if place > 0:
        return f"give {name_of(certificates[place])} first, then its issuer, then the issuer's issuer"
    if len(certificates) == 1:
        return "give what the CA sent beside the leaf too: --chain LEAF --chain INTERMEDIATE"
    return "ask the CA for what is named above; the pending key keeps waiting"


def _pin_of(private_key_pem: bytes) -> str:
    try:
        key = load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError):
        return ""  # check_server_identity names this fault
    return signing_request.pin_of(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _chain_pem(certificates: Sequence[Certificate]) -> bytes:
    """Write the certificates anew: whatever text stood around them goes neither to the bucket nor to the manifest."""
    return b"".join(x509.load_der_x509_certificate(each.der).public_bytes(Encoding.PEM) for each in certificates)


# -- the manifest ----------------------------------------------------------------


def _in_force(stored: StoredObject | None, leaf: Certificate) -> Manifest | None:
    """Return the manifest if it puts this very leaf in force; one that cannot be read puts nothing in force."""
    if stored is None:
        return None
    try:
        manifest = Manifest.parse(stored.body)
        return manifest if load_pem_chain(manifest.chain.encode())[0] == leaf else None
    except (ManifestError, CertificateError):
        return None


def _parse(stored: StoredObject) -> Manifest:
    try:
        return Manifest.parse(stored.body)
    except ManifestError as error:
        raise ManifestUnusableError(error.faults) from error


def _write_manifest(bucket: CertificateBucket, manifest: Manifest, before: StoredObject | None) -> None:
    """
    Write the manifest over the one we read, and over no other.

    It holds no secret and is encrypted with S3's own key, so that the
    deployer, who must not use the store's key, can read it.
    """
    condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
    bucket.put(
        MANIFEST_KEY,
        manifest.render(),
        ServerSideEncryption="AES256",
        ContentType="application/json",
        **condition,
    )


# -- the pending key ---------------------------------------------------------------


def _hide_leftover(bucket: CertificateBucket, pending: StoredObject | None, manifest: Manifest) -> None:
    """
    Hide a pending key that is in force now.

    A delete marker, and its versions stay until the lifecycle expires them:
    they are the very bytes of `server/key.pem`, under the same policy and the
    same encryption key, so purging them would protect nothing, and would need
    the right to delete versions, which would let one mistake destroy the pair
    in force. A key that somebody replaced meanwhile is left alone.
    """
    if pending is None or _pin_of(pending.body) != manifest.spki_sha256:
        return
    try:
        bucket.hide(PENDING_PRIVATE_KEY_KEY, etag=pending.etag)
    except ObjectChangedError:
        return


def _pending(stored: StoredObject | None) -> PendingKey | None:
    if stored is None:
        return None
    return PendingKey(stored.last_modified, stored.metadata.get(_SPKI), stored.metadata.get(_KIND))
