"""Standard output is the audit's: what an application prints stands on standard error."""

from __future__ import annotations

from service.contract import Variable
from tests.certificates import Identity
from tests.wire.conftest import StartService
from tests.wire.stage import connection


def test_what_an_application_prints_is_no_audit_line(start_service: StartService, partner: Identity) -> None:
    service = start_service(**{Variable.APPLICATION: "tests.applications.talkative:app"})

    with connection(service, partner) as opened:
        status = opened.get().status
    line = service.event("request")
    service.stop()

    assert (status, line["client"]) == (200, "acme")
    said = service.errors()
    assert "imported\n" in said
    assert '"forged"' in said
    assert "asked" in said
    assert not [each for each in service.events if each.get("client") == "forged"]
