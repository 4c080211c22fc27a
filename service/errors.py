"""
Everything that can go wrong here, one class per decision someone must take.

An error takes facts, keeps them, and composes its own sentence. It never
carries a key, a token or a whole certificate; a fingerprint is enough. What a
peer did wrong is mostly not here at all: a refusal is an answer.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from http import HTTPStatus


class ServiceError(Exception):
    """
    The family of this package.

    Attributes:
        hint: What to do next, or None when the sentence says it all.
    """

    hint: str | None = None


class _FaultsError(ServiceError):
    """Several faults found together, shown together, so that one correction is enough."""

    subject = ""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__(f"{self.subject}: {'; '.join(faults)}")


class SettingsError(_FaultsError):
    """The environment variables do not make a service; nothing was started."""

    subject = "the settings are not usable"
    hint = (
        "on AWS they come from the environment file: mend it, then `deploy.py check` and `deploy.py deploy`; "
        "elsewhere set the variables named above, then start again"
    )


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """
    One thing to mend in a policy; an environment file's faults read the same.

    Attributes:
        place: Keys and indices from the root, `("routes", "0", "path")`; empty for the whole.
    """

    place: tuple[str, ...]
    expected: str
    found: str

    def __str__(self) -> str:
        """Render the fault as one line."""
        dotted = "".join(f"[{name}]" if name.isdecimal() else f".{name}" for name in self.place).removeprefix(".")
        sentence = f"expected {self.expected}, found {self.found}"
        return f"{dotted}: {sentence}" if dotted else sentence


class PolicyError(ServiceError):
    """The policy does not say what a request must pass; every fault is listed."""

    def __init__(self, faults: tuple[PolicyFault, ...]) -> None:
        self.faults = faults
        super().__init__(f"the policy is not usable: {'; '.join(map(str, faults))}")


class KeySetError(_FaultsError):
    """These bytes are no set of public keys that tokens can be checked with."""

    subject = "the key set is not usable"


class KeySetUnavailableError(ServiceError):
    """The key set could not be fetched."""

    def __init__(self, *, place: str, cause: str) -> None:
        self.place, self.cause = place, cause
        super().__init__(f"no key set from {place}: {cause}")


class CertificateError(ServiceError):
    """These bytes are not one X.509 certificate we can read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a readable certificate: {reason}")


class FingerprintError(ServiceError):
    """This text is not a SHA-256 fingerprint."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a SHA-256 fingerprint: {reason}")


class ManifestError(_FaultsError):
    """The manifest does not say which pair is in force."""

    subject = "the server certificate's manifest is not usable"
    hint = "write it anew with `certificates.py install`"


class ServerIdentityError(_FaultsError):
    """The server's chain and key must not be served; every fault is listed."""

    subject = "the server certificate is not usable"
    hint = "install a chain that fits with `certificates.py install`; `certificates.py status` shows what is there"


class TlsSettingsError(_FaultsError):
    """
    TLS is not what was asked for: the TLS library did not take its settings, or not all of them.

    Args:
        variable: Names the library's settings file.
        file: What it should name.
    """

    def __init__(self, faults: tuple[str, ...], *, variable: str, file: str) -> None:
        self.subject = f"TLS is not as asked, {variable} does not hold"
        self.hint = (
            f"set {variable}={file}, a path from the working directory (/app in the container), and leave that file "
            "as it was released: OpenSSL is silent about a missing file and a misspelt line"
        )
        super().__init__(faults)


class ObjectRefusedError(ServiceError):
    """
    The store will not give us an object.

    S3 answers 403 both to a caller without the right and, when that caller
    may not list the bucket, for an object that does not exist.
    """

    def __init__(self, *, bucket: str, key: str, version: str | None, code: str) -> None:
        self.bucket, self.key, self.version, self.code = bucket, key, version, code
        which = f"s3://{bucket}/{key}" + (f" (version {version})" if version else "")
        super().__init__(
            f"the certificate store refuses {which}: {code}: "
            "either the task role may not read it, or no certificate is installed yet",
        )
        self.hint = (
            "`certificates.py status` tells which: it shows no installed certificate, then `certificates.py install`; "
            "it shows one, then compare the task role's policy, the bucket policy and the key policy with the bucket "
            "named above and its owner"
        )


class StoreUnreachableError(ServiceError):
    """Waiting did not help: the certificate store gave no answer."""

    hint = "check the route to S3 (gateway endpoint, security group) and the region; the task starts again by itself"

    def __init__(self, *, bucket: str, tried: str, cause: str) -> None:
        self.bucket, self.tried, self.cause = bucket, tried, cause
        super().__init__(f"the certificate store {bucket} cannot be reached ({tried}): {cause}")


class CredentialsMissingError(ServiceError):
    """There is nobody to act as: AWS gave this process no credentials."""

    hint = "give the task definition its task role, or set AWS_CONTAINER_CREDENTIALS_FULL_URI as the ECS agent does"

    def __init__(self, *, cause: str) -> None:
        self.cause = cause
        super().__init__(f"no AWS credentials to read the certificate store with: {cause}")


class AwsSettingsError(ServiceError):
    """What this process was told about AWS, beside our own settings, makes no client."""

    hint = "correct the AWS_ variables of the task definition, or what its credentials endpoint answers"

    def __init__(self, *, cause: str) -> None:
        self.cause = cause
        super().__init__(f"the AWS settings are not usable: {cause}")


class ObjectTooLargeError(ServiceError):
    """An object is far larger than what belongs there, so it is not read."""

    hint = "look who wrote it: object versions and the bucket's audit trail tell; `certificates.py install` replaces it"

    def __init__(self, *, bucket: str, key: str, max_bytes: int) -> None:
        self.bucket, self.key, self.max_bytes = bucket, key, max_bytes
        super().__init__(f"s3://{bucket}/{key} is larger than {max_bytes} bytes")


class ListenError(ServiceError):
    """A port we must listen on is taken or not allowed, or the address is not ours."""

    def __init__(self, *, address: str, port: int, error: OSError) -> None:
        self.address, self.port = address, port
        super().__init__(f"cannot listen on {address} port {port}: {error.strerror}")
        match error.errno:
            case errno.EADDRINUSE:
                self.hint = f"`ss -ltnp 'sport = :{port}'` shows what holds the port: end it, or set another port"
            case errno.EADDRNOTAVAIL:
                self.hint = "set MTLS_BIND_ADDRESS to an address of this machine, or to 0.0.0.0 for all of them"
            case errno.EACCES:
                self.hint = "set a port from 1024 on: the service runs without the rights that a lower one takes"
            case _:
                self.hint = "set MTLS_BIND_ADDRESS, MTLS_TRAFFIC_PORT and MTLS_HEALTH_PORT to what this machine has"


class RegistryUnavailableError(ServiceError):
    """
    The client registry gave no usable answer in time: we are wrong, not the peer.

    Attributes:
        is_outage: It could not be reached, or cannot work for now. False when it answered and that is the fault:
            we may not ask, or the record cannot be read. Somebody may have meant it so.
    """

    def __init__(self, cause: str, *, is_outage: bool = True) -> None:
        self.cause, self.is_outage = cause, is_outage
        super().__init__(f"the client registry is unavailable: {cause}")

    def copy(self) -> RegistryUnavailableError:
        """Make another one, without a traceback: the same answer is for many."""
        return RegistryUnavailableError(self.cause, is_outage=self.is_outage)


class RegistryOverloadedError(RegistryUnavailableError):
    """Too much is asked of the registry at once, by whomever: this says nothing of the registry itself."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, is_outage=False)

    def copy(self) -> RegistryOverloadedError:
        """Make another one."""
        return RegistryOverloadedError(self.cause)


class ProxyHeaderError(ServiceError):
    """A connection did not open the way the PROXY protocol setting demands."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"PROXY header: {reason}")


class HandshakeFailedError(ServiceError):
    """
    The peer broke the TLS protocol, or we share no version or suite with it.

    Attributes:
        reasons: OpenSSL's own words, innermost first.
    """

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__(f"TLS handshake failed: {', '.join(reasons) or 'the connection ended'}")


class BodyTooLargeError(ServiceError):
    """A request's body is longer than whoever must read it in whole allows."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        super().__init__(f"the body is longer than {max_bytes} bytes")


class PeerGoneError(ServiceError):
    """The peer left before its request was whole, or before its answer was: there is nobody to tell."""

    def __init__(self) -> None:
        super().__init__("the peer went away")


class ApplicationError(ServiceError):
    """The application behind the gate cannot be loaded, or says that it cannot start."""

    hint = "correct MTLS_APPLICATION, or the application in the image it names, then start again"

    def __init__(self, *, cause: str, reference: str = "behind the gate") -> None:
        self.reference, self.cause = reference, cause
        super().__init__(f"the application {reference} does not start: {cause}")


class UpstreamError(ServiceError):
    """
    The upstream gave no answer that can be passed on, or broke off in the middle of one.

    Attributes:
        cause: For the audit.
        status: For the client, if its answer has not begun.
        detail: The same in a sentence.
    """

    def __init__(self, cause: str, *, status: HTTPStatus = HTTPStatus.BAD_GATEWAY, detail: str = "") -> None:
        self.cause, self.status, self.detail = cause, status, detail
        super().__init__(f"the upstream: {cause}")


class BadRequestError(ServiceError):
    """
    A request that is HTTP, and yet cannot be taken.

    Attributes:
        detail: For the peer: what is wrong with it.
        status: 400, but where another one says it better.
    """

    def __init__(self, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self.detail, self.status = detail, status
        super().__init__(f"bad request: {detail}")
