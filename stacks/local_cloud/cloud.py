"""
The embedded AWS: one endpoint on loopback that unmodified boto3 talks to.

A request signed for `cloudformation` goes to our engine, every other one to
moto's service APIs. Between the wire and moto stand the *stand-ins*: each
mends one service where moto's API loses what it was given or cannot know what
really runs.
"""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from moto.core.config import default_user_config
from moto.iam.models import iam_backends
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.utilities.utils import PARTITION_NAMES
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.authorizer.callers import CLOUD_KEY
from stacks.local_cloud.authorizer.gate import Authorizer, Hear
from stacks.local_cloud.engine.engine import Engine
from stacks.local_cloud.engine.expressions import partition_of
from stacks.local_cloud.engine.resource_life import ResourceLives, ScriptedFailure
from stacks.local_cloud.engine.schemas import Schemas
from stacks.local_cloud.engine.workshop import Workshop
from stacks.local_cloud.forwarding import StandIn
from stacks.local_cloud.moto_repairs import repairs
from stacks.local_cloud.resource_types import table
from stacks.local_cloud.row import Row
from stacks.local_cloud.unserved import completions
from stacks.local_cloud.wire import Wire

MOTO_ACCOUNT = "123456789012"
"""The one account moto serves when no access key says otherwise (moto, "Multi-Account support")."""

STABILIZATION_SECONDS = 120.0
"""A resource that waits for running tasks waits for real processes: seconds here, minutes on AWS."""

_ADDRESS = "127.0.0.1"
_JOIN_SECONDS = 5.0
_POLL_SECONDS = 0.05  # how often the accepting thread looks whether it shall end
_CREDENTIALS: dict[str, Any] = {"aws_access_key_id": CLOUD_KEY, "aws_secret_access_key": CLOUD_KEY}
_CLIENT_CONFIG = Config(
    # One attempt: a fault of the embedded cloud shows at once and is not waited away.
    retries={"total_max_attempts": 1},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=20,
    s3={"addressing_style": "path"},
    proxies={},  # whatever the shell says: loopback is never behind a proxy
)
_UNGUARDED = "/moto-api/"  # moto's own pages, which are of no service of AWS
_in_use = threading.Lock()
"""moto keeps its backends in module globals, so one process has room for one embedded cloud at a time."""


def _hear_nothing(_refusal: str) -> None:
    return None


class LocalCloud:
    """
    One embedded AWS account and region; a context manager.

    It starts empty: what an earlier cloud of this process held is gone.
    `stop` closes every connection, so nothing answers afterwards.

    Args:
        region: The one region it is in.
        account: The one account; moto's.
        stand_ins: What stands before single services of moto.
        rows: The resource types it makes; None is all of `resource_types`.
        schemas: Provider schemas for types AWS does not have, as a test may want.
        scripted_failures: What shall fail once; `fail_next` adds to them.
        stabilization_seconds: How long a resource may take to become stable.
        on_refusal: Told of each call of S3, KMS or DynamoDB that the deployed policies refuse.
    """

    def __init__(  # noqa: PLR0913 - each has a good default and a test sets the one it is about
        self,
        *,
        region: str = "us-east-1",
        account: str = MOTO_ACCOUNT,
        stand_ins: Sequence[StandIn] = (),
        rows: Mapping[str, Row] | None = None,
        schemas: Mapping[str, Mapping[str, Any]] | None = None,
        scripted_failures: Iterable[ScriptedFailure] = (),
        stabilization_seconds: float = STABILIZATION_SECONDS,
        on_refusal: Hear = _hear_nothing,
    ) -> None:
        if account != MOTO_ACCOUNT:
            raise ValueError(f"the embedded cloud serves account {MOTO_ACCOUNT} alone, not {account}")
        self.region = region
        self.account = account
        self.stand_ins: list[StandIn] = list(stand_ins)
        """Changed freely, also while the cloud runs: what runs in it is known only later."""
        self._repairs: list[StandIn] = []
        self._doors: dict[str, str] = {}
        self._open_doors: dict[str, _Listening] = {}
        authorizer = Authorizer(region, account, partition_of(region), doors=self._doors, hear=on_refusal)
        self._gates: list[StandIn] = list(authorizer.gates())
        self._rows = rows
        self._schemas = schemas
        self._scripted_failures = list(scripted_failures)
        self._stabilization_seconds = stabilization_seconds
        self._engine: Engine | None = None
        self._wire: Wire | None = None
        self._moto = _Dispatcher(create_backend_app)
        self._listening: _Listening | None = None
        self._session = boto3.Session(**_CREDENTIALS, region_name=region)
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Empty moto, listen on a free port of loopback and serve."""
        if not _in_use.acquire(blocking=False):
            raise RuntimeError("another embedded cloud runs in this process; moto has room for one")
        self._iam_config_before = default_user_config["iam"]
        try:
            self._empty_moto()
            self._repairs = [*completions(self.region, self.account), *repairs(self.region, self.account)]
            self._engine = self._new_engine()
            self._wire = Wire(self._engine)
            self._listening = _Listening(_ADDRESS, self._answer)
        except BaseException:
            _in_use.release()
            raise

    def stop(self) -> None:
        """End serving, close every connection and empty moto; a cloud that does not run is left alone."""
        if self._listening is None:
            return
        if self._engine is not None:
            self._engine.close()
        with self._clients_lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
        for listening in (*self._open_doors.values(), self._listening):
            listening.close()
        self._open_doors.clear()
        self._doors.clear()
        self._listening = self._engine = self._wire = None
        self._empty_moto()
        default_user_config["iam"] = self._iam_config_before
        _in_use.release()

    @property
    def endpoint_url(self) -> str:
        """Where boto3 finds this cloud; RuntimeError while it does not run."""
        if self._listening is None:
            raise RuntimeError("the embedded cloud does not run")
        return self._listening.url

    def open_door(self, instance_id: str, address: str) -> str:
        """
        Give an instance a way of its own into the cloud: what comes by it comes from the instance's subnet.

        Args:
            instance_id: Of EC2.
            address: Of loopback, the instance's alone for as long as it lives.

        Returns:
            Where boto3 on the instance finds the cloud.
        """
        self._doors[address] = instance_id
        if address not in self._open_doors:
            self._open_doors[address] = _Listening(address, self._answer)
        return self._open_doors[address].url

    def client(self, service: str) -> Any:
        """Give a boto3 client of this cloud, one per service, safe to share between threads, closed by `stop`."""
        with self._clients_lock:
            if service not in self._clients:
                # The stubs know services as literals; here the name is a value.
                make: Callable[..., Any] = self._session.client
                self._clients[service] = make(service, endpoint_url=self.endpoint_url, config=_CLIENT_CONFIG)
            return self._clients[service]

    def fail_next(self, failure: ScriptedFailure) -> None:
        """Let one resource fail that is still to be made, changed or removed."""
        if self._engine is None:
            self._scripted_failures.append(failure)
        else:
            self._engine.fail_next(failure)

    def _new_engine(self) -> Engine:
        lives = ResourceLives(
            rows=table.rows() if self._rows is None else self._rows,
            client=self.client,
            stabilization_seconds=self._stabilization_seconds,
            stopping=threading.Event(),
            failures=list(self._scripted_failures),
        )
        schemas = Schemas(self.region, extra=self._schemas)
        return Engine(Workshop(self.region, self.account, self.client, schemas, lives))

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        service = _service(environ)
        if service == "cloudformation" and self._wire is not None:
            return self._wire.handle(Request(environ))(environ, start_response)
        standing = (*self._gates, *self.stand_ins, *self._repairs)
        chosen = [stand_in for stand_in in standing if stand_in.service == service]
        if not chosen:
            untouched: Iterable[bytes] = self._moto(environ, start_response)
            return untouched
        return self._through(chosen, environ)(environ, start_response)

    def _through(self, stand_ins: Sequence[StandIn], environ: dict[str, Any]) -> Response:
        """Hand the request from stand-in to stand-in and at last to moto; each sees the whole body."""

        def forward_from(position: int, body: bytes) -> Response:
            rewound = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
            if position == len(stand_ins):
                return Response.from_app(self._moto, rewound)

            def forward(changed: bytes | None = None, /) -> Response:
                return forward_from(position + 1, body if changed is None else changed)

            return stand_ins[position].handle(Request(rewound), forward)

        return forward_from(0, Request(environ).get_data())

    def _empty_moto(self) -> None:
        """
        Forget all that moto holds, through its reset endpoint, and set what it must know before it serves again.

        The one setting: AWS's managed policies exist, so that roles can attach
        them (moto, "Configuration Options", `load_aws_managed_policies`). They
        take a sixth of a second to load, in each partition anew; only ours needs them.
        """
        default_user_config["iam"] = {"load_aws_managed_policies": False}
        environ = EnvironBuilder(path="/moto-api/reset", method="POST").get_environ()
        _, status, _ = run_wsgi_app(self._moto, environ, buffered=True)
        if not status.startswith("200"):
            raise RuntimeError(f"moto answered {status} to its reset")
        for partition in PARTITION_NAMES:
            if partition != partition_of(self.region):
                iam_backends[self.account][partition]  # asking for it makes it
        default_user_config["iam"] = {"load_aws_managed_policies": True}


def _service(environ: dict[str, Any]) -> str | None:
    """
    Read the service from the request's credential scope.

    In the header, `Credential=KEY/DATE/REGION/SERVICE/aws4_request`, or in the
    query of a presigned address (Signature Version 4, "Elements of an AWS API
    request signature"). Who does not sign so can only mean an object, or a
    call of STS that is made without credentials.
    """
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    _, found, scope = header.partition("Credential=")
    if not found:
        scope = Request(environ).args.get("X-Amz-Credential", "")
    parts = scope.split(",")[0].split("/")
    if len(parts) > 4:  # noqa: PLR2004 - five parts make a scope
        return parts[3]
    path: str = environ.get("PATH_INFO", "")
    if path.startswith(_UNGUARDED):
        return None
    return "sts" if path in {"", "/"} and environ["REQUEST_METHOD"] == "POST" else "s3"


class _Dispatcher(DomainDispatcherApplication):  # type: ignore[misc]  # moto ships no types
    """Moto's dispatcher, which lists its directory of services for every request; ours remembers what it found."""

    def __init__(self, create_app: Callable[..., Any]) -> None:
        super().__init__(create_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """Find the service a host name stands for; moto holds its lock meanwhile."""
        if host not in self._backends:
            self._backends[host] = super().get_backend_for_host(host)
        return self._backends[host]


class _QuietHandler(MotoRequestHandler):  # type: ignore[misc]  # moto ships no types
    """Moto's own request handler without a line per request on standard error."""

    def log(self, *_args: object) -> None:
        """Say nothing."""


class _Listening:
    """One address that answers, on a free port, until it is closed."""

    def __init__(self, address: str, answer: Callable[..., Iterable[bytes]]) -> None:
        self._server = _Server(address, 0, answer, handler=_QuietHandler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="local-cloud", daemon=True
        )
        self._thread.start()
        self.url = f"http://{address}:{self._server.port}"

    def close(self) -> None:
        """End serving and close every connection."""
        self._server.shutdown()
        self._thread.join(_JOIN_SECONDS)
        self._server.server_close()
        self._server.close_connections()


class _Server(ThreadedWSGIServer):
    """Remembers its connections, so that stopping really ends them: boto3 keeps its own open for reuse."""

    request_queue_size = 64

    def __init__(self, *args: Any, **options: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection before its thread starts."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection when its thread ends."""
        super().shutdown_request(request)
        self._connections.discard(request)

    def close_connections(self) -> None:
        """Cut what is still open; the threads that serve it end by themselves."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._connections.discard(connection)  # the other side was faster
