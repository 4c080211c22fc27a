"""What a request to KMS asks for, and what another service asks of KMS on a caller's behalf."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from werkzeug.wrappers import Request

from stacks.local_cloud.authorizer.asked import Asked, UnknownCallError
from stacks.local_cloud.authorizer.context import Context
from stacks.local_cloud.authorizer.deployed import Deployed

_KEYLESS: Final = frozenset(
    {"CreateKey", "ListKeys", "ListAliases", "GenerateRandom", "ListRetirableGrants", "DescribeCustomKeyStores"}
)
"""Operations on no key (Service Authorization Reference, "Actions defined by AWS KMS")."""
_KEY_ID_BYTES: Final = 36
"""moto writes the key's id before what is encrypted with it."""


class NoSuchKeyError(Exception):
    """A key that is not there: KMS says so before it says who may use it."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"Key '{identity}' does not exist")


class UnusableKeyError(Exception):
    """
    A key that is disabled or about to be deleted: whoever needs it finds it unusable.

    Attributes:
        code: KMS's word for it.
    """

    def __init__(self, key: Any) -> None:
        is_pending = key.key_state == "PendingDeletion"
        self.code = "KMSInvalidStateException" if is_pending else "DisabledException"
        super().__init__(f"{key.arn} is {'pending deletion' if is_pending else 'disabled'}.")


def key_call(
    deployed: Deployed, action: str, identity: str, encryption_context: Mapping[str, str], *, service: str
) -> Asked:
    """
    Say what a service asks of KMS for its caller.

    Raises:
        NoSuchKeyError: There is no such key.
        UnusableKeyError: It can be used by nobody now.
    """
    key = deployed.key(identity)
    if key is None:
        raise NoSuchKeyError(identity)
    if key.key_state != "Enabled":
        raise UnusableKeyError(key)
    context: Context = {"kms:viaservice": f"{service}.{deployed.region}.amazonaws.com", **_of(encryption_context)}
    return Asked(f"kms:{action}", key.arn, context, deployed.key_policies(key), is_on_behalf=True)


class KeyCalls:
    """Reads requests to KMS."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed

    def asked(self, request: Request) -> Iterator[Asked]:
        """
        Say what a request asks for.

        Raises:
            UnknownCallError: It names no key where one is needed.
            NoSuchKeyError: There is no such key.
        """
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        given: Mapping[str, Any] = json.loads(request.get_data() or b"{}")
        if operation in _KEYLESS:
            yield Asked(f"kms:{operation}", "*")
        elif operation == "ReEncrypt":
            source = given.get("SourceKeyId") or _key_of(given.get("CiphertextBlob", ""))
            yield self._on("ReEncryptFrom", source, given.get("SourceEncryptionContext", {}))
            yield self._on("ReEncryptTo", given["DestinationKeyId"], given.get("DestinationEncryptionContext", {}))
        else:
            identity = given.get("KeyId") or given.get("TargetKeyId") or _key_of(given.get("CiphertextBlob", ""))
            identity = identity or given.get("AliasName", "")
            yield self._on(operation, identity, given.get("EncryptionContext", {}))

    def _on(self, operation: str, identity: str, encryption_context: Mapping[str, str]) -> Asked:
        if not identity or not operation:
            raise UnknownCallError(operation or "a call without a target")
        key = self._deployed.key(identity)
        if key is None:
            raise NoSuchKeyError(identity)
        context = _of(encryption_context)
        if "alias/" in identity:
            context["kms:requestalias"] = f"alias/{identity.rpartition('alias/')[2]}"
        return Asked(f"kms:{operation}", key.arn, context, self._deployed.key_policies(key))


def _of(encryption_context: Mapping[str, str]) -> Context:
    """Give the keys of an encryption context (KMS guide, "AWS KMS condition keys")."""
    keys: Context = {f"kms:encryptioncontext:{name.lower()}": value for name, value in encryption_context.items()}
    if encryption_context:
        keys["kms:encryptioncontextkeys"] = tuple(encryption_context)
    return keys


def _key_of(ciphertext: str) -> str:
    try:
        return base64.b64decode(ciphertext)[:_KEY_ID_BYTES].decode("ascii")
    except ValueError:  # no base64, or no text
        return ""
