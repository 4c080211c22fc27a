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
    RELOAD_SECONDS = "MTLS_RELOAD_SECONDS"
    METRICS_SECONDS = "MTLS_METRICS_SECONDS"
    # who may do what
    POLICY = "MTLS_POLICY"
    REVOCATION_SECONDS = "MTLS_REVOCATION_SECONDS"
    STALE_SECONDS = "MTLS_STALE_SECONDS"
    REGISTRY_CACHE_ENTRIES = "MTLS_REGISTRY_CACHE_ENTRIES"
    TOKEN_ISSUER = "MTLS_TOKEN_ISSUER"
    TOKEN_AUDIENCE = "MTLS_TOKEN_AUDIENCE"
    TOKEN_KEY_SET = "MTLS_TOKEN_KEY_SET"
    TOKEN_KEY_SET_SECONDS = "MTLS_TOKEN_KEY_SET_SECONDS"
    TOKEN_BINDING = "MTLS_TOKEN_BINDING"
    # what answers
    APPLICATION = "MTLS_APPLICATION"
    FORWARD_TO = "MTLS_FORWARD_TO"
    UPSTREAM_SECONDS = "MTLS_UPSTREAM_SECONDS"
    WHOAMI_PER_MINUTE = "MTLS_WHOAMI_PER_MINUTE"
    # limits of one connection and of all
    PROXY_HEADER_SECONDS = "MTLS_PROXY_HEADER_SECONDS"
    HANDSHAKE_SECONDS = "MTLS_HANDSHAKE_SECONDS"
    HEAD_SECONDS = "MTLS_HEAD_SECONDS"
    HEAD_BYTES = "MTLS_HEAD_BYTES"
    BODY_SECONDS = "MTLS_BODY_SECONDS"
    BODY_BYTES = "MTLS_BODY_BYTES"
    ANSWER_SECONDS = "MTLS_ANSWER_SECONDS"
    CONNECTION_SECONDS = "MTLS_CONNECTION_SECONDS"
    CONNECTIONS = "MTLS_CONNECTIONS"
    CONNECTIONS_PER_SOURCE = "MTLS_CONNECTIONS_PER_SOURCE"


OPENSSL_CONF_VARIABLE: Final = "OPENSSL_CONF"
"""OpenSSL reads the file it names once, when it is loaded; groups and tickets have no other knob."""
OPENSSL_CONF_FILE: Final = "service/boot/openssl.cnf"
"""From the working directory, which is `/app` in the container and the working tree everywhere else."""


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
    Attributes of one enrolled certificate, key or token.

    `FINGERPRINT` is the partition key (S). For a certificate it is SHA-256 of
    the DER leaf, 64 lower-case hexadecimal digits; for a key `pin#` and the
    SHA-256 of its SPKI; for a token `token#` and its SHA-256. `CERTIFICATE`
    and `SUBJECT_PUBLIC_KEY_INFO` are DER (B), `ROLES` and `SCOPES` lists of
    strings (L), times ISO 8601 in UTC (S). `BOUND_TO` is the fingerprint of
    the certificate a token counts with (S); a token without it is not bound.
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
    SCOPES = "scopes"
    BOUND_TO = "bound_to"


PIN_KEY_PREFIX: Final = "pin#"
TOKEN_KEY_PREFIX: Final = "token#"
TOKEN_PREFIX: Final = "mti_"
"""What opaque tokens begin with, so that a scanner for leaked secrets knows one."""


class ClientState(StrEnum):
    """Where an enrolled certificate stands in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRING = "retiring"
    REVOKED = "revoked"


class TokenBinding(StrEnum):
    """Whether a bearer token must be bound to the certificate it comes with (RFC 8705, section 3)."""

    REQUIRED = "required"
    OPTIONAL = "optional"


KEY_SET_PREFIX: Final = "tokens/"
"""Public keys of token issuers in the certificate bucket; `MTLS_TOKEN_KEY_SET` names an object below it, or a URL."""

CLIENT_INDEX: Final = "by-client"
"""Global secondary index: partition key `client`, sort key `fingerprint`, all attributes."""

# -- metrics (CloudWatch embedded metric format) -------------------------------
METRIC_NAMESPACE: Final = "mtls-ingress"


class Dimension(StrEnum):
    """By what metrics are told apart."""

    ENVIRONMENT = "environment"
    TLS_VERSION = "tls_version"
    GROUP = "group"
    REASON = "reason"
    DECISION = "decision"
    CLIENT = "client"


class Metric(StrEnum):
    """
    What the service measures; every one has the dimension `environment`.

    A count is written as a total by the environment alone too, where nothing
    was counted as 0.
    """

    HANDSHAKES = "Handshakes"
    """Count; dimensions `tls_version`, `group`."""
    HANDSHAKES_FAILED = "HandshakesFailed"
    """Count: the peer broke off, broke the protocol, or shared no version with us."""
    CONNECTIONS_REFUSED = "ConnectionsRefused"
    """Count; dimension `reason`: a limit of connections, a PROXY header that was wrong."""
    CONNECTIONS_OPEN = "ConnectionsOpen"
    """Gauge, of each worker."""
    REQUESTS = "Requests"
    """Count; dimension `decision`."""
    REQUESTS_FAILED = "RequestsFailed"
    """Count: 5xx of what is behind the gate, or an answer broken off that its peer still waited for."""
    REFUSALS = "Refusals"
    """Count; dimension `reason`."""
    LATENCY = "Latency"
    """Milliseconds from the end of a request's header to the end of its answer."""
    SERVER_CERTIFICATE_DAYS = "ServerCertDaysToExpiry"
    """Gauge in days, emitted as long as the service runs; below zero once it is over."""
    CLIENT_CERTIFICATE_DAYS = "ClientCertDaysToExpiry"
    """Gauge in days; dimension `client`: the soonest end of the enrollments it was let in by; without it, of all."""
    RELOAD_FAILURES = "CertificateReloadFailures"
    """Count: a new pair could not be taken, the old one serves on."""
    REGISTRY_ERRORS = "RegistryErrors"
    """Count: lookups without a usable answer."""
    KEY_SET_FAILURES = "KeySetFailures"
    """Count: the token issuer's public keys could not be fetched or read, the last good ones serve on."""
    AUDIT_LINES_LOST = "AuditLinesLost"
    """Count: decisions whose line could not be written."""
