"""
The gate between the service and the stacks: every name both sides must spell alike.

Constants only. A port, a variable, an object key or a table attribute that
the templates write and the service reads is named here once, so the two can
never disagree.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

# -- ports -----------------------------------------------------------------
PUBLIC_PORT: Final = 443
"""What partners connect to, on the load balancer."""
TRAFFIC_PORT: Final = 8443
"""Where the service ends TLS; above 1024, so that nobody runs as root."""
HEALTH_PORT: Final = 8080
"""Plain HTTP for the load balancer's health check; it sends no PROXY header there."""
HEALTH_PATH: Final = "/healthz"

# -- the container ---------------------------------------------------------
CONTAINER_NAME: Final = "service"
CONTAINER_USER: Final = "10001:10001"


class Variable(StrEnum):
    """The environment variables the service boots with; `service.settings` types and bounds them."""

    ENVIRONMENT_NAME = "MTLS_ENVIRONMENT_NAME"
    HOST_NAME = "MTLS_HOST_NAME"
    CERTIFICATE_BUCKET = "MTLS_CERTIFICATE_BUCKET"
    CERTIFICATE_BUCKET_OWNER = "MTLS_CERTIFICATE_BUCKET_OWNER"
    CLIENT_REGISTRY_TABLE = "MTLS_CLIENT_REGISTRY_TABLE"
    PROXY_PROTOCOL = "MTLS_PROXY_PROTOCOL"
    BIND_ADDRESS = "MTLS_BIND_ADDRESS"
    TRAFFIC_PORT = "MTLS_TRAFFIC_PORT"
    HEALTH_PORT = "MTLS_HEALTH_PORT"
    WORKERS = "MTLS_WORKERS"
    IDLE_TIMEOUT_SECONDS = "MTLS_IDLE_TIMEOUT_SECONDS"
    LAME_DUCK_SECONDS = "MTLS_LAME_DUCK_SECONDS"
    DRAIN_SECONDS = "MTLS_DRAIN_SECONDS"


class ProxyProtocol(StrEnum):
    """Whether every connection must open with a PROXY header, or must not."""

    REQUIRED = "required"
    FORBIDDEN = "forbidden"


# -- objects in the certificate bucket ---------------------------------------
SERVER_PREFIX: Final = "server/"
"""Key material and chain; encrypted with the store's own key, read by the task role."""
MANIFEST_PREFIX: Final = "manifest/"
"""Public facts only; readable by the deployer too."""
CHAIN_KEY: Final = "server/chain.pem"
PRIVATE_KEY_KEY: Final = "server/key.pem"
PENDING_PRIVATE_KEY_KEY: Final = "server/pending-key.pem"
MANIFEST_KEY: Final = "manifest/server.json"


class ManifestField(StrEnum):
    """What the manifest says of the pair in force; written last, so a pair switches at once."""

    FORMAT = "format"
    HOST_NAME = "host_name"
    CHAIN = "chain"
    CHAIN_VERSION_ID = "chain_version_id"
    PRIVATE_KEY_VERSION_ID = "private_key_version_id"
    SPKI_SHA256 = "spki_sha256"
    NOT_AFTER = "not_after"


MANIFEST_FORMAT: Final = 1

# -- the client registry (DynamoDB) ------------------------------------------


class RegistryAttribute(StrEnum):
    """
    Attributes of one enrolled certificate.

    `FINGERPRINT` is the partition key: SHA-256 of the DER leaf, 64 lower-case
    hexadecimal digits (S). `CERTIFICATE` and `SUBJECT_PUBLIC_KEY_INFO` are DER
    (B), `ROLES` a list of strings (L), times ISO 8601 in UTC (S).
    """

    FINGERPRINT = "fingerprint"
    CLIENT = "client"
    CERTIFICATE = "certificate"
    SUBJECT_PUBLIC_KEY_INFO = "subject_public_key_info"
    STATE = "state"
    ROLES = "roles"
    NOT_BEFORE = "not_before"
    NOT_AFTER = "not_after"
    ENROLLED_AT = "enrolled_at"
    REVOKED_AT = "revoked_at"
    REVOCATION_REASON = "revocation_reason"


class ClientState(StrEnum):
    """Where an enrolled certificate stands in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"
    REVOKED = "revoked"


CLIENT_INDEX: Final = "by-client"
"""Global secondary index: partition key `client`, sort key `fingerprint`, all attributes."""
