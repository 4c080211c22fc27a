"""
The container credentials endpoint: each task's role, to that task alone.

Every task gets a path and a token of its own; the answer is what
sts:AssumeRole gave, renewed before it runs out (AWS SDK reference,
"Container credential provider").
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_ADDRESS: Final = "127.0.0.1"
"""SDKs take credentials over plain HTTP from a loopback address only."""
_RENEW_BEFORE: Final = timedelta(minutes=10)
_LIFETIME: Final = timedelta(hours=1)
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_POLL_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 5.0
_IO_SECONDS: Final = 10.0
_PATH: Final = "/v2/credentials/"


@dataclass(frozen=True, slots=True)
class CredentialsAccess:
    """What a task is told: where to ask, and with what token."""

    uri: str
    token: str = field(repr=False)


@dataclass(slots=True)
class _TaskRole:
    """One task's role and its current credentials."""

    role_arn: str
    token: str = field(repr=False)
    answer: dict[str, str] = field(default_factory=dict, repr=False)
    expires_at: datetime = _LONG_AGO


class CredentialsEndpoint:
    """
    Serves task-role credentials over loopback.

    Args:
        sts: A boto3 client for `sts` of the embedded cloud.
    """

    def __init__(self, sts: Any) -> None:
        self._sts = sts
        self._roles: dict[str, _TaskRole] = {}
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = _Server((_ADDRESS, 0), _Handler, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="task-credentials", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(_STOP_SECONDS)
            self._server.server_close()
            self._server = self._thread = None

    def grant(self, task_id: str, role_arn: str) -> CredentialsAccess:
        """
        Assume a task's role and say how the task gets at it.

        Raises:
            ClientError: The role cannot be assumed.
        """
        if self._server is None:
            raise RuntimeError("the credentials endpoint does not run")
        role = _TaskRole(role_arn, secrets.token_urlsafe(32))
        self._renew(task_id, role)
        with self._lock:
            self._roles[task_id] = role
        return CredentialsAccess(f"http://{_ADDRESS}:{self._server.server_port}{_PATH}{task_id}", role.token)

    def revoke(self, task_id: str) -> None:
        """Forget a task that is over."""
        with self._lock:
            self._roles.pop(task_id, None)

    def answer(self, task_id: str, token: str) -> dict[str, str] | None:
        """Give a task's credentials, renewed if need be; None for a task or a token we do not know."""
        with self._lock:
            role = self._roles.get(task_id)
            # Compared in any case, so that the time taken tells nothing of which tasks there are.
            if not hmac.compare_digest((role.token if role else "").encode(), token.encode()) or role is None:
                return None
            if role.expires_at - datetime.now(UTC) < _RENEW_BEFORE:
                self._renew(task_id, role)
            return role.answer

    def _renew(self, task_id: str, role: _TaskRole) -> None:
        credentials = self._sts.assume_role(
            RoleArn=role.role_arn, RoleSessionName=task_id, DurationSeconds=int(_LIFETIME.total_seconds())
        )["Credentials"]
        role.expires_at = credentials["Expiration"]
        role.answer = {
            "RoleArn": role.role_arn,
            "AccessKeyId": credentials["AccessKeyId"],
            "SecretAccessKey": credentials["SecretAccessKey"],
            "Token": credentials["SessionToken"],
            "Expiration": role.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], endpoint: CredentialsEndpoint
    ) -> None:
        self.endpoint = endpoint
        super().__init__(address, handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IO_SECONDS

    def do_GET(self) -> None:
        task_id = self.path.removeprefix(_PATH)
        answer = self.server.endpoint.answer(task_id, self.headers.get("Authorization", ""))
        status = HTTPStatus.OK if answer is not None else HTTPStatus.FORBIDDEN
        body = json.dumps(answer or {"code": "AccessDenied", "message": "no such task, or not its token"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
        """Say nothing."""
