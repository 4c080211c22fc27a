"""
The stage of the wire tests: AWS by moto, the service as a real process, peers with real TLS.

Nothing here judges; a test reads what came over the wire.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import boto3
import urllib3

from service.boot.server_identity import Manifest
from service.contract import (
    CHAIN_KEY,
    MANIFEST_KEY,
    OPENSSL_CONF_FILE,
    OPENSSL_CONF_VARIABLE,
    PIN_KEY_PREFIX,
    PRIVATE_KEY_KEY,
    ClientState,
    RegistryAttribute,
    Variable,
)
from tests.audit_lines import read_line
from tests.certificates import HOST_NAME, NOW, Identity

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

ROOT: Final = Path(__file__).parents[2]
ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
TABLE: Final = "clients"
PROXY: Final = b"PROXY TCP4 192.0.2.7 203.0.113.9 51514 443\r\n"
"""What the balancer says of a partner at 192.0.2.7, port 51514."""

CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
WAIT_SECONDS: Final = 10.0
DAY: Final = timedelta(days=1)
OURS: Final = (sys.executable, "-m", "service")


class Aws:
    """A bucket and a table on moto."""

    def __init__(self, url: str) -> None:
        self.url = url
        session = boto3.Session("test", "test", region_name=REGION)
        self.s3: S3Client = session.client("s3", endpoint_url=self.url)
        self.dynamodb: DynamoDBClient = session.client("dynamodb", endpoint_url=self.url)
        self.dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": RegistryAttribute.FINGERPRINT.value, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": RegistryAttribute.FINGERPRINT.value, "KeyType": "HASH"}],
        )

    def stop(self) -> None:
        """Close the connections to it."""
        self.s3.close()
        self.dynamodb.close()

    def bucket(self, name: str) -> str:
        """Make an empty versioned bucket."""
        self.s3.create_bucket(Bucket=name)
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def install(self, bucket: str, server: Identity, *, key_pem: bytes | None = None) -> None:
        """Write pair and manifest, as the ceremony does."""
        chain = self.s3.put_object(Bucket=bucket, Key=CHAIN_KEY, Body=server.chain_pem)
        key = self.s3.put_object(Bucket=bucket, Key=PRIVATE_KEY_KEY, Body=key_pem or server.key_pem)
        manifest = Manifest(
            host_name=HOST_NAME,
            chain=server.chain_pem.decode(),
            chain_version_id=chain["VersionId"],
            private_key_version_id=key["VersionId"],
            spki_sha256=server.pin,
            not_after=server.certificate.not_valid_after_utc,
        )
        self.s3.put_object(Bucket=bucket, Key=MANIFEST_KEY, Body=manifest.render())

    def enroll(
        self,
        identity: Identity,
        name: str,
        *,
        state: ClientState = ClientState.ACTIVE,
        subject_public_key_info: bytes | None = None,
        dates: tuple[datetime, datetime] = (NOW - timedelta(days=1), NOW + timedelta(days=1)),
    ) -> None:
        """Write one record of the registry, as the ceremony does."""
        begins, ends = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in dates)
        self.dynamodb.put_item(
            TableName=TABLE,
            Item={
                RegistryAttribute.FINGERPRINT: {"S": identity.fingerprint},
                RegistryAttribute.CLIENT: {"S": name},
                RegistryAttribute.CERTIFICATE: {"B": identity.der},
                RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO: {
                    "B": subject_public_key_info or identity.subject_public_key_info
                },
                RegistryAttribute.STATE: {"S": state.value},
                RegistryAttribute.ROLES: {"L": [{"S": "send"}, {"S": "receive"}]},
                RegistryAttribute.NOT_BEFORE: {"S": begins},
                RegistryAttribute.NOT_AFTER: {"S": ends},
            },
        )

    def pin(self, identity: Identity, name: str, *, state: ClientState = ClientState.ACTIVE) -> None:
        """Write the record of a key, whatever certificate it comes in, as the ceremony does."""
        begins, ends = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (NOW - DAY, NOW + DAY))
        self.dynamodb.put_item(
            TableName=TABLE,
            Item={
                RegistryAttribute.FINGERPRINT: {"S": PIN_KEY_PREFIX + identity.pin},
                RegistryAttribute.CLIENT: {"S": name},
                RegistryAttribute.SUBJECT_PUBLIC_KEY_INFO: {"B": identity.subject_public_key_info},
                RegistryAttribute.STATE: {"S": state.value},
                RegistryAttribute.ROLES: {"L": [{"S": "send"}]},
                RegistryAttribute.NOT_BEFORE: {"S": begins},
                RegistryAttribute.NOT_AFTER: {"S": ends},
            },
        )


def variables(aws: Aws, bucket: str, **changed: str) -> dict[str, str]:
    """Give the environment of a service that is right in everything a test does not change."""
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_REGION": REGION,
        "PATH": os.defpath,
        OPENSSL_CONF_VARIABLE: OPENSSL_CONF_FILE,
        Variable.ENVIRONMENT_NAME: "test",
        Variable.HOST_NAME: HOST_NAME,
        Variable.CERTIFICATE_BUCKET: bucket,
        Variable.CERTIFICATE_BUCKET_OWNER: ACCOUNT,
        Variable.CLIENT_REGISTRY_TABLE: TABLE,
        Variable.BIND_ADDRESS: "127.0.0.1",
        Variable.TRAFFIC_PORT: "0",
        Variable.HEALTH_PORT: "0",
        Variable.WORKERS: "1",
        Variable.LAME_DUCK_SECONDS: "0",
        Variable.DRAIN_SECONDS: "5",
        **changed,
    }


def boot(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Start `python -m service` where it must fail, and wait for its end."""
    return subprocess.run(  # noqa: S603 -- our own module
        OURS, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )


class Service:
    """`python -m service`, running; or what a test runs in its place."""

    def __init__(self, environment: Mapping[str, str], *, trust: bytes, command: Sequence[str | Path] = OURS) -> None:
        self.trust = trust
        self.events: list[dict[str, Any]] = []
        self.unfit: list[str] = []
        self._arrived: queue.Queue[dict[str, Any]] = queue.Queue()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed in close()
        self.process = subprocess.Popen(  # noqa: S603 -- our own module, or the command of a test
            command,
            cwd=ROOT,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.listening = self.event("listening")

    @property
    def address(self) -> tuple[str, int]:
        """Where peers connect."""
        return "127.0.0.1", self.listening["traffic_port"]

    def health(self) -> int:
        """Ask as the balancer does; 0 when nobody answers."""
        with urllib3.PoolManager(retries=False, timeout=2) as http:
            try:
                return http.request("GET", f"http://127.0.0.1:{self.listening['health_port']}/healthz").status
            except urllib3.exceptions.HTTPError:
                return 0

    def event(self, kind: str, **fields: object) -> dict[str, Any]:
        """Wait for an audit line of this kind that holds these fields."""
        seen = 0
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            for line in self.events[seen:]:
                seen += 1
                if line["event"] == kind and fields.items() <= line.items():
                    return line
            try:
                self.events.append(self._arrived.get(timeout=max(deadline - time.monotonic(), 0.01)))
            except queue.Empty:
                raise AssertionError(f"no event {kind} with {fields}; {self.events}; {self.errors()}") from None

    def wait_until_refusing(self) -> None:
        """Wait until no new connection is taken: the drain has begun in earnest."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection(self.address, timeout=1).close()
            except ConnectionRefusedError:
                return
            time.sleep(0.02)
        raise AssertionError("connections are still taken")

    def errors(self) -> str:
        """Read what the process wrote on standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the exit code."""
        try:
            return self.process.wait(WAIT_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """End it, if a test did not, and let go of its streams; every line it wrote was as documented."""
        self.stop(signal.SIGTERM)
        self._reader.join(WAIT_SECONDS)
        self._errors.close()
        assert self.unfit == []

    def _read(self) -> None:
        stream = self.process.stdout
        if stream is None:
            raise RuntimeError("standard output is a pipe")
        with stream:
            for line in stream:
                try:
                    read_line(line)
                except (AssertionError, ValueError, KeyError) as error:
                    self.unfit.append(f"{error!r}: {line}")
                self._arrived.put(json.loads(line))


@contextmanager
def running(environment: Mapping[str, str], *, trust: bytes) -> Iterator[Service]:
    """Run a service for the length of a block."""
    service = Service(environment, trust=trust)
    try:
        yield service
    finally:
        service.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    document: dict[str, Any]
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def client_context(
    trust: bytes, identity: Identity | None = None, *, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """Make a partner's TLS context, certificate and all."""
    context = ssl.create_default_context(cadata=trust.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    # Weak keys are a test's business; what our own machine thinks of them is not.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    if identity is not None:
        with tempfile.TemporaryDirectory() as directory:
            context.load_cert_chain(*identity.write(Path(directory)))
    return context


class Connection:
    """One mTLS connection of a partner."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls

    @classmethod
    def over(cls, plain: socket.socket, context: ssl.SSLContext, *, proxy: bytes = PROXY) -> Self:
        """Go through the handshake on an open socket, behind a balancer that sends `proxy`."""
        try:
            plain.sendall(proxy)
            # A connection that ends without close_notify must not look like one that ended well.
            return cls(context.wrap_socket(plain, server_hostname=HOST_NAME, suppress_ragged_eofs=False))
        except BaseException:
            plain.close()
            raise

    def send(self, request: bytes) -> None:
        """Send bytes inside TLS."""
        self.tls.sendall(request)

    def answer(self) -> Answer:
        """Read one answer."""
        # Closed also where it broke off: it holds the socket open beyond our own close.
        with HTTPResponse(self.tls) as response:
            response.begin()
            body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        document = json.loads(body) if "json" in headers.get("content-type", "") else {}
        return Answer(response.status, document, headers.get("content-type", ""), headers)

    def get(self, path: str = "/") -> Answer:
        """Ask and read the answer."""
        self.send(b"GET %s HTTP/1.1\r\nhost: %s\r\n\r\n" % (path.encode(), HOST_NAME.encode()))
        return self.answer()

    def close(self) -> None:
        """End the connection."""
        self.tls.close()


@contextmanager
def connection(
    service: Service,
    identity: Identity | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    proxy: bytes = PROXY,
) -> Iterator[Connection]:
    """Open a connection for the length of a block."""
    plain = socket.create_connection(service.address, timeout=WAIT_SECONDS)
    opened = Connection.over(plain, client_context(service.trust, identity, version=version), proxy=proxy)
    try:
        yield opened
    finally:
        opened.close()


def ask(
    service: Service,
    identity: Identity | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    proxy: bytes = PROXY,
) -> Answer:
    """Connect, ask `/`, read the answer, hang up."""
    with connection(service, identity, version=version, proxy=proxy) as opened:
        return opened.get()


def read_to_end(plain: socket.socket) -> bytes:
    """Read until the other side ends it, by FIN or by reset."""
    chunks = []
    with suppress(ConnectionResetError):
        while chunk := plain.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)


@contextmanager
def hung_endpoint() -> Iterator[str]:
    """Listen, and never answer: what a registry behind a lost route looks like."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class HeldEndpoint:
    """
    An AWS endpoint that holds each request until it is released, then lets it through.

    Attributes:
        reached: Set once a request has arrived.
        release: Set to let requests through.
    """

    def __init__(self, behind: str) -> None:
        self.reached = threading.Event()
        self.release = threading.Event()
        held = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                held.reached.set()
                held.release.wait(WAIT_SECONDS)
                with urllib3.PoolManager(retries=False) as http:
                    answer = http.request("POST", behind, body=body, headers=dict(self.headers.items()))
                self.send_response(answer.status)
                self.send_header("content-length", str(len(answer.data)))
                self.end_headers()
                with suppress(BrokenPipeError):  # Who waited is gone.
                    self.wfile.write(answer.data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the same
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Let everything through and end."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
