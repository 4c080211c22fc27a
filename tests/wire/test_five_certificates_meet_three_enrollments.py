"""
The table: what each kind of certificate gets, by how it stands in the registry, over both versions of TLS.

|                      | pinned | unknown                   | revoked     |
|----------------------|--------|---------------------------|-------------|
| none                 |        | 403 `no_certificate`      |             |
| self-signed          | 200    | 403 `unknown_certificate` | 403 `revoked` |
| of an unknown CA     | 200    | 403 `unknown_certificate` | 403 `revoked` |
| expired              | 200    | 403 `unknown_certificate` | 403 `revoked` |
| for servers only     | 200    | 403 `unknown_certificate` | 403 `revoked` |

Nobody is cut off in the handshake, and the pin alone decides. nginx answers the
last two with a page of its own, whatever the application wanted to say.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

import pytest

from service.contract import ClientState
from tests.certificates import SERVER_AUTH, YESTERDAY, Authority, Identity, client
from tests.wire.stage import Aws, Service, ask

CERTIFICATES: Final[dict[str, tuple[Callable[[], Identity], tuple[str, ...]]]] = {
    "self-signed": (client, ("self_signed",)),
    "of an unknown CA": (lambda: Authority().intermediate().client(), ("issuer_unknown",)),
    "expired": (lambda: client(not_after=YESTERDAY), ("self_signed", "expired")),
    "for servers only": (lambda: client(purposes=(SERVER_AUTH,)), ("self_signed", "purpose")),
}
"""Each with what OpenSSL holds against it; for the audit, and for nobody's decision."""

ENROLLMENTS: Final[dict[str, tuple[ClientState | None, int, str | None]]] = {
    "pinned": (ClientState.ACTIVE, 200, None),
    "unknown": (None, 403, "unknown_certificate"),
    "revoked": (ClientState.REVOKED, 403, "revoked"),
}

both_versions = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)


@both_versions
@pytest.mark.parametrize("enrollment", ENROLLMENTS)
@pytest.mark.parametrize("kind", CERTIFICATES)
def test_the_pin_decides(aws: Aws, service: Service, kind: str, enrollment: str, version: ssl.TLSVersion) -> None:
    (make, objections), (state, status, reason) = CERTIFICATES[kind], ENROLLMENTS[enrollment]
    partner = make()
    if state is not None:
        aws.enroll(partner, "acme", state=state)

    answer = ask(service, partner, version=version)

    assert (answer.status, answer.document.get("reason")) == (status, reason)
    assert answer.document["fingerprint"] == partner.fingerprint
    line = service.event("request", fingerprint=partner.fingerprint)
    assert (line["status"], line["reason"]) == (status, reason)
    assert line["tls_version"] == version.name.replace("_", ".")
    assert set(objections) <= set(line["verify_errors"])


@both_versions
def test_none_is_told_so(service: Service, version: ssl.TLSVersion) -> None:
    answer = ask(service, version=version)

    assert (answer.status, answer.document["reason"]) == (403, "no_certificate")
