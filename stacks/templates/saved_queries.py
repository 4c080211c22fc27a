"""
The questions to the log that runbooks ask, saved in CloudWatch Logs Insights.

None shows a path: what somebody asks of an application may tell of a patient.
"""

from __future__ import annotations

from typing import Final

from troposphere import Template
from troposphere.logs import QueryDefinition

from stacks.environment import Environment
from stacks.naming import Output
from stacks.templates.joints import take

_QUERIES: Final = {
    "RefusalsByReason": (
        "refusals by reason",
        """\
filter event = "request" and decision = "refused"
| stats count() as refusals by reason
| sort refusals desc""",
    ),
    "RefusalsByClient": (
        "refusals by client",
        """\
filter event = "request" and decision = "refused"
| stats count() as refusals by client, fingerprint, peer_address, reason
| sort refusals desc""",
    ),
    "CertificatesThatEndSoon": (
        "certificates that end soon",
        """\
filter event = "metrics" and (ispresent(ServerCertDaysToExpiry) or ispresent(client))
| stats min(ServerCertDaysToExpiry) as server_days, min(ClientCertDaysToExpiry) as client_days by client
| sort client_days asc""",
    ),
    "HandshakeFailures": (
        "handshake failures",
        """\
filter event in ["handshake_failed", "connection_refused", "connection_cut"]
| stats count() as ended by event, reason, peer_address
| sort ended desc""",
    ),
    "RequestsOfAClient": (
        "requests of a client (put its name in)",
        """\
fields @timestamp, request_id, decision, reason, cause, status, method, duration_ms, peer_address
| filter event = "request" and client = "Mercy General"
| sort @timestamp desc
| limit 200""",
    ),
    "FailuresOfTheService": (
        "failures of the service",
        """\
filter event in ["certificate_reload_failed", "key_set_failed", "audit_lines_lost", "worker_ended"]
  or (event = "request" and (decision = "failed" or reason = "registry_unavailable"))
| stats count() as times, latest(@timestamp) as last by event, status, cause
| sort times desc""",
    ),
}
"""By logical id: the name an operator finds it by, and the question."""


def add_saved_queries(template: Template, environment: Environment) -> None:
    """Add the queries to a template."""
    log_group = take(template, environment, Output.SERVICE_LOG_GROUP_NAME)
    folder = f"{environment.project}-{environment.name}"
    for title, (name, question) in _QUERIES.items():
        template.add_resource(
            QueryDefinition(title, Name=f"{folder}/{name}", QueryString=question, LogGroupNames=[log_group])
        )
