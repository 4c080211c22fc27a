"""The probe on real sockets: what the server saw, or what went wrong on the way, each by its name."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stacks.ceremonies.probe import MAX_BODY_BYTES, Answer, fingerprint_of, probe
from stacks.ceremonies.probe_faults import Fault, ProbeFailedError, ProbeUsageError
from tests.certificates import HOST_NAME, YESTERDAY, Authority, Identity, client
from tests.stacks.ceremonies.scripted_server import Behavior, answering, http_answer, server_context, serving


class Scene:
    """An authority, a server certificate of it, and a directory for the files clients read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority()
        self.server = self.authority.server()
        self.trust = directory / "authority.pem"
        self.trust.write_bytes(self.authority.pem)

    def answering(self, answer: bytes) -> Behavior:
        """Serve with this authority's certificate and answer so."""
        return answering(self.server, self.directory / "server", lambda *_: answer)

    def ask(self, behavior: Behavior, path: str = "/whoami", *, host: str = HOST_NAME, seconds: float = 5) -> Answer:
        """Probe a server that behaves so."""
        with serving(behavior) as port:
            return probe(
                f"https://{host}:{port}{path}",
                trust=self.trust,
                connect_to=("127.0.0.1", port),
                timeout_seconds=seconds,
            )

    def fault(self, behavior: Behavior, *, host: str = HOST_NAME, seconds: float = 5) -> ProbeFailedError:
        """Probe a server that behaves so, and say how it failed."""
        with pytest.raises(ProbeFailedError) as caught:
            self.ask(behavior, host=host, seconds=seconds)
        return caught.value


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_accepted_client_sees_its_name(scene: Scene) -> None:
    answer = scene.ask(scene.answering(http_answer("200 OK", {"client": "acme", "fingerprint": "ab"})))

    assert (answer.status, answer.reason, answer.fingerprint) == (200, None, "ab")
    assert answer.is_accepted
    assert answer.document["client"] == "acme"


def test_a_refusal_is_an_answer_with_its_reason(scene: Scene) -> None:
    problem = {"reason": "no_certificate", "fingerprint": None, "status": 403}

    answer = scene.ask(scene.answering(http_answer("403 Forbidden", problem, kind="application/problem+json")))

    assert (answer.status, answer.reason, answer.fingerprint) == (403, "no_certificate", None)
    assert not answer.is_accepted


def test_the_client_certificate_is_shown(scene: Scene) -> None:
    identity = scene.authority.client()
    certificate, key = identity.write(scene.directory / "client")
    context = server_context(scene.server, scene.directory / "server", trust=scene.authority.pem)
    seen: list[bytes | None] = []

    def behavior(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            seen.append(session.getpeercert(binary_form=True))
            session.recv(4096)
            session.sendall(http_answer("200 OK", {}))

    with serving(behavior) as port:
        url = f"https://{HOST_NAME}:{port}/"
        probe(url, certificate=certificate, private_key=key, trust=scene.trust, connect_to=("127.0.0.1", port))

    assert seen == [identity.der]


def test_certificate_and_key_may_lie_in_one_file(scene: Scene) -> None:
    identity = scene.authority.client()
    both = scene.directory / "both.pem"
    both.write_bytes(identity.chain_pem + identity.key_pem)

    with serving(scene.answering(http_answer("200 OK", {}))) as port:
        url = f"https://{HOST_NAME}:{port}/"
        answer = probe(url, certificate=both, trust=scene.trust, connect_to=("127.0.0.1", port))

    assert answer.is_accepted


def test_our_own_address_and_the_servers_certificate_are_told(scene: Scene) -> None:
    peers: list[tuple[str, int]] = []
    inner = scene.answering(http_answer("200 OK", {}))

    def behavior(connection: socket.socket) -> None:
        peers.append(connection.getpeername())
        inner(connection)

    with serving(behavior) as port:
        answer = probe(
            f"https://{HOST_NAME}:{port}/",
            trust=scene.trust,
            connect_to=("127.0.0.1", port),
            source_address="127.0.0.77",
        )

    assert [answer.local_address] == peers
    assert answer.local_address[0] == "127.0.0.77"
    assert answer.server_certificate_sha256 == scene.server.fingerprint
    assert answer.tls_version == "TLSv1.3"


def test_the_request_is_what_a_plain_client_sends(scene: Scene) -> None:
    heads: list[bytes] = []

    def answer(head: bytes, _fingerprint: str | None) -> bytes:
        heads.append(head)
        return http_answer("200 OK", {})

    with serving(answering(scene.server, scene.directory / "server", answer)) as port:
        probe(f"https://{HOST_NAME}:{port}/a?b=c", trust=scene.trust, connect_to=("127.0.0.1", port))

    assert heads[0].startswith(f"GET /a?b=c HTTP/1.1\r\nHost: {HOST_NAME}:{port}\r\n".encode())


def test_a_url_without_a_path_asks_the_server_what_it_sees(scene: Scene) -> None:
    echo = answering(
        scene.server, scene.directory / "server", lambda head, _: http_answer("200 OK", {"h": head[:11].decode()})
    )

    assert scene.ask(echo, path="").document["h"] == "GET /whoami"


def test_an_answer_that_is_no_json_is_kept_as_it_is(scene: Scene) -> None:
    answer = scene.ask(scene.answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nhtml"))

    assert (answer.status, answer.body, answer.document, answer.reason) == (502, b"html", {}, None)


# -- what goes wrong on the way -------------------------------------------------------


def test_a_server_of_an_authority_we_do_not_trust(scene: Scene) -> None:
    stranger = Authority().server()

    error = scene.fault(answering(stranger, scene.directory / "server", lambda *_: b""))

    assert error.fault is Fault.SERVER_UNTRUSTED
    assert "--cacert" in (error.hint or "")


def test_a_server_that_leaves_its_intermediate_out(scene: Scene) -> None:
    """Root trusted, intermediate not sent: root -> (missing) -> leaf; RFC 8446, section 4.4.2."""
    complete = scene.authority.intermediate().server()
    alone = Identity(complete.certificate, complete.key)

    error = scene.fault(answering(alone, scene.directory / "server", lambda *_: b""))

    assert error.fault is Fault.SERVER_UNTRUSTED
    assert "unable to get local issuer certificate" in str(error)


def test_a_server_whose_certificate_expired(scene: Scene) -> None:
    expired = scene.authority.server(not_after=YESTERDAY)

    error = scene.fault(answering(expired, scene.directory / "server", lambda *_: b""))

    assert error.fault is Fault.SERVER_UNTRUSTED
    assert "expired" in str(error)


def test_a_server_with_a_certificate_for_another_host(scene: Scene) -> None:
    error = scene.fault(scene.answering(b""), host="other.example")

    assert error.fault is Fault.HOST_NAME_MISMATCH
    assert "not for other.example" in str(error)


def test_a_server_that_refuses_our_certificate_in_tls(scene: Scene) -> None:
    """TLS 1.3: our side of the handshake is over before the server looks; the alert comes with the first read."""
    certificate, key = client().write(scene.directory / "client")
    context = server_context(scene.server, scene.directory / "server", trust=scene.authority.pem)

    def behavior(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True):
            pass

    with serving(behavior) as port:
        url = f"https://{HOST_NAME}:{port}/"
        with pytest.raises(ProbeFailedError) as caught:
            probe(url, certificate=certificate, private_key=key, trust=scene.trust, connect_to=("127.0.0.1", port))

    assert caught.value.fault in {Fault.ALERT, Fault.CLOSED}  # a reset may overtake the alert
    assert caught.value.hint


def test_a_server_that_speaks_no_version_of_ours(scene: Scene) -> None:
    alert = bytes([21, 3, 3, 0, 2, 2, 70])  # fatal, protocol_version

    def behavior(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(alert)
        connection.recv(4096)

    error = scene.fault(behavior)

    assert error.fault is Fault.ALERT
    assert "protocol version" in str(error)


def test_a_port_that_speaks_plain_http(scene: Scene) -> None:
    def behavior(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(4096)

    assert scene.fault(behavior).fault is Fault.NOT_TLS


def test_a_balancer_with_nothing_behind_it_closes_at_once(scene: Scene) -> None:
    def behavior(connection: socket.socket) -> None:
        connection.recv(4096)

    error = scene.fault(behavior)

    assert error.fault is Fault.CLOSED
    assert "no healthy instance" in (error.hint or "")


def test_a_server_that_closes_after_the_handshake(scene: Scene) -> None:
    assert scene.fault(scene.answering(b"")).fault is Fault.CLOSED


def test_an_answer_cut_off_in_the_middle(scene: Scene) -> None:
    error = scene.fault(scene.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))

    assert error.fault is Fault.CLOSED


def test_an_answer_that_is_no_http(scene: Scene) -> None:
    assert scene.fault(scene.answering(b"SSH-2.0-OpenSSH_9.2\r\n")).fault is Fault.NOT_HTTP


def test_an_answer_without_an_end_is_not_read_on(scene: Scene) -> None:
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_BODY_BYTES + 1)

    assert scene.fault(scene.answering(endless)).fault is Fault.NOT_HTTP


def test_headers_without_an_end_are_not_read_on(scene: Scene) -> None:
    endless = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000

    assert scene.fault(scene.answering(endless)).fault is Fault.NOT_HTTP


@pytest.mark.parametrize("part", ["handshake", "head", "body"])
def test_a_silent_server_is_given_up_in_time(scene: Scene, part: str) -> None:
    behavior = _silent_in(part, scene)
    begin = time.monotonic()

    error = scene.fault(behavior, seconds=0.3)

    assert error.fault is Fault.TIMED_OUT
    assert time.monotonic() - begin < 2


def test_a_server_that_sends_a_byte_at_a_time_is_given_up_in_time(scene: Scene) -> None:
    """The deadline is for all of it, not for each read."""
    context = server_context(scene.server, scene.directory / "server")

    def behavior(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            session.recv(4096)
            session.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(100):
                session.sendall(b" ")
                time.sleep(0.05)  # this peer is slow on purpose

    begin = time.monotonic()

    assert scene.fault(behavior, seconds=0.4).fault is Fault.TIMED_OUT
    assert time.monotonic() - begin < 2


def test_a_port_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(ProbeFailedError) as caught:
        probe(f"https://127.0.0.1:{port}/")

    assert caught.value.fault is Fault.CONNECTION_REFUSED


def test_a_name_without_an_address() -> None:
    with pytest.raises(ProbeFailedError) as caught:
        probe("https://nothing.invalid/")

    assert caught.value.fault is Fault.NAME_UNKNOWN
    assert "--resolve" in (caught.value.hint or "")


def test_an_address_of_our_own_that_we_do_not_have() -> None:
    with pytest.raises(ProbeFailedError) as caught:
        probe("https://127.0.0.1:1/", source_address="192.0.2.1")

    assert caught.value.fault is Fault.UNREACHABLE


# -- what cannot be asked ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "a.example",
        "https://",
        "https://a:b/",
        "https://a:99999/",
        "https://u:p@a/",
        "https://a/ b",
    ],
)
def test_a_url_that_is_none_of_ours_is_misuse(url: str) -> None:
    with pytest.raises(ProbeUsageError) as caught:
        probe(url)

    assert caught.value.exit_code == 64


def _other_key(directory: Path) -> dict[str, Path]:
    certificate, _ = client().write(directory / "one")
    _, key = client().write(directory / "other")
    return {"certificate": certificate, "private_key": key}


@pytest.mark.parametrize(
    "files",
    [
        _other_key,
        lambda directory: {"certificate": directory / "missing"},
        lambda directory: {"private_key": client().write(directory)[1]},
        lambda directory: {"trust": client().write(directory)[1]},
        lambda directory: {"trust": directory / "missing"},
    ],
    ids=["no pair", "no such file", "key alone", "a key to trust", "nothing to trust"],
)
def test_files_that_do_not_belong_together_are_misuse(tmp_path: Path, files: Callable[[Path], dict[str, Path]]) -> None:
    with pytest.raises(ProbeUsageError):
        probe("https://127.0.0.1:1/", **files(tmp_path))  # type: ignore[arg-type]  # each key is one of probe's


def test_a_fingerprint_is_that_of_the_leaf(tmp_path: Path) -> None:
    identity = Authority().intermediate().client()
    chain, _ = identity.write(tmp_path)

    assert fingerprint_of(chain) == identity.fingerprint


def test_a_file_without_a_certificate_has_no_fingerprint(tmp_path: Path) -> None:
    _, key = client().write(tmp_path)

    with pytest.raises(ProbeUsageError):
        fingerprint_of(key)


def _silent_in(part: str, scene: Scene) -> Behavior:
    context = server_context(scene.server, scene.directory / "server")

    def behavior(connection: socket.socket) -> None:
        if part == "handshake":
            _wait_for_the_end(connection)
            return
        with context.wrap_socket(connection, server_side=True) as session:
            session.recv(4096)
            session.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 9\r\n\r\n{" if part == "body" else b""))
            _wait_for_the_end(session)

    return behavior


def _wait_for_the_end(connection: socket.socket | ssl.SSLSocket) -> None:
    while connection.recv(4096):
        pass
