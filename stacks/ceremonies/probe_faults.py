"""
What can go wrong on the way to an answer, in words: who has to mend it, and where to look.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from stacks.errors import DeploymentError

_NAME_ERRORS: Final = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})


class Fault(StrEnum):
    """Why there was no answer; each is mended by somebody else."""

    NAME_UNKNOWN = "name_unknown"
    CONNECTION_REFUSED = "connection_refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    SERVER_UNTRUSTED = "server_untrusted"
    HOST_NAME_MISMATCH = "host_name_mismatch"
    ALERT = "alert"
    CLOSED = "closed"
    NOT_TLS = "not_tls"
    NOT_HTTP = "not_http"


class ProbeFailedError(DeploymentError):
    """There was no answer to speak of: the way to it failed."""

    def __init__(self, fault: Fault, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.fault = fault


class ProbeUsageError(DeploymentError):
    """The probe was asked for something it cannot do: a wrong URL, a file that is not what it should be."""

    exit_code = 64


@contextmanager
def faults_in_words(host: str, where: str, *, timeout_seconds: float) -> Iterator[None]:
    """
    Turn what sockets, TLS and HTTP throw into a sentence.

    Args:
        host: The name that was asked for.
        where: What was connected to, as an operator knows it.
        timeout_seconds: What the deadline was.

    Raises:
        ProbeFailedError: For all of it.
    """
    try:
        yield
    except TimeoutError as error:
        raise ProbeFailedError(
            Fault.TIMED_OUT,
            f"{where} gave no whole answer within {timeout_seconds:g} seconds",
            hint="this machine may be outside partner_cidrs; a server that waits for a PROXY header looks the same",
        ) from error
    except ssl.SSLError as error:
        raise _tls_fault(error, host) from error
    except socket.gaierror as error:
        raise ProbeFailedError(
            Fault.NAME_UNKNOWN,
            f"the name {host} has no address",
            hint="check the DNS record, or go round it with --resolve HOST:PORT:ADDRESS",
        ) from error
    except http.client.HTTPException as error:
        raise _http_fault(error, where) from error
    except OSError as error:
        raise _network_fault(error, where) from error


def _tls_fault(error: ssl.SSLError, host: str) -> ProbeFailedError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, host)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _closed("in the middle of TLS, without a word")
    reason = error.reason or ""
    if "ALERT" in reason:
        alert = reason.partition("ALERT_")[2].replace("_", " ").lower() or reason.lower()
        return ProbeFailedError(
            Fault.ALERT,
            f"the server ended TLS with the alert `{alert}`",
            hint="our ingress never refuses a certificate in TLS but in HTTP, with a reason: is this one of ours?",
        )
    if reason in _NOT_TLS:
        return ProbeFailedError(
            Fault.NOT_TLS,
            "what answers there does not speak TLS",
            hint="a wrong port, or a listener that ends TLS where it should pass TCP through",
        )
    return ProbeFailedError(Fault.ALERT, f"TLS failed: {in_words(error)}")


def _untrusted(error: ssl.SSLCertVerificationError, host: str) -> ProbeFailedError:
    if error.verify_code in _NAME_ERRORS:
        return ProbeFailedError(
            Fault.HOST_NAME_MISMATCH,
            f"the server's certificate is not for {host}",
            hint="use the host name of the environment file; --resolve HOST:PORT:ADDRESS connects it elsewhere",
        )
    return ProbeFailedError(
        Fault.SERVER_UNTRUSTED,
        f"the server's certificate is not trusted: {error.verify_message}",
        hint="--cacert FILE names the authority to trust; with a public one, the server's chain lacks its intermediate",
    )


def _network_fault(error: OSError, where: str) -> ProbeFailedError:
    if isinstance(error, ConnectionRefusedError):
        return ProbeFailedError(
            Fault.CONNECTION_REFUSED,
            f"{where} refuses connections: nothing listens there",
            hint="deploy.py status shows whether the ingress is up",
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return _closed("by a reset")
    return ProbeFailedError(Fault.UNREACHABLE, f"{where} cannot be reached: {in_words(error)}")


def _http_fault(error: http.client.HTTPException, where: str) -> ProbeFailedError:
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return _closed("before the answer was whole")
    return ProbeFailedError(Fault.NOT_HTTP, f"{where} does not answer in HTTP: {type(error).__name__}")


def _closed(how: str) -> ProbeFailedError:
    return ProbeFailedError(
        Fault.CLOSED,
        f"the connection was closed {how}",
        hint="behind a balancer: no healthy instance, or only one of balancer and service speaks PROXY protocol; "
        "deploy.py status shows the instances",
    )


def in_words(error: BaseException) -> str:
    """Say an error of TLS or of the system without its numbers and places."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)
