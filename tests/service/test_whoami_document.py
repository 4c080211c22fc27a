"""`docs/whoami.md` describes the doctor's document: every field, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from service.endpoints.examination import Examination, in_lines
from service.identity.peer import Peer
from service.identity.verdict import Client, Reason, Refused, Verdict
from tests.certificates import NOW, Identity, client, new_key

PAGE = Path(__file__).parents[2] / "docs" / "whoami.md"


def examine(verdict: Verdict, leaf: bytes | None) -> dict[str, object]:
    """Examine a peer."""
    peer = Peer.of_handshake(leaf, verify_errors=("self_signed",), tls_version="TLSv1.3", cipher="C", group=None)
    examined = Examination(
        request_id="1",
        path="/",
        verdict=verdict,
        peer=peer,
        address=("192.0.2.7", 51514),
        environment="test",
        at=NOW,
    )
    return examined.document()


def fields_of(part: str) -> list[str]:
    """The fields that the page gives a part, in order."""
    text = PAGE.read_text().split(f"\n{part}\n", 1)[1].split("\n#", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def parts() -> Iterator[tuple[str, dict[str, object]]]:
    """Every part of a stranger's document, where nothing is null."""
    document = examine(Refused(Reason.UNKNOWN_CERTIFICATE), client().der)
    yield "## The document", document
    for part in ("certificate", "connection", "enroll"):
        value = document[part]
        assert isinstance(value, dict)
        yield f"### `{part}`", value


def test_the_page_has_every_field() -> None:
    for part, fields in parts():
        assert fields_of(part) == list(fields), part


@pytest.mark.parametrize("verdict", [Client("acme", ()), Refused(Reason.NO_CERTIFICATE)], ids=["allowed", "refused"])
def test_every_document_has_the_same_fields(verdict: Verdict) -> None:
    assert list(examine(verdict, None)) == fields_of("## The document")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_status_and_its_sentence(reason: Reason) -> None:
    document = examine(Refused(reason), client().der)

    assert document["decision"] == "refused"
    assert document["reason"] == reason
    assert document["detail"]
    assert isinstance(document["status"], int)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.UNKNOWN_CERTIFICATE])
def test_what_is_enrolled_already_or_refused_for_another_cause_is_not_sent_to_be_enrolled(reason: Reason) -> None:
    """Enrolling it once more changes nothing, and both sides would believe that they had mended it."""
    assert examine(Refused(reason), client().der)["enroll"] is None


def test_a_certificate_that_nobody_can_read_still_has_its_fingerprint() -> None:
    document = examine(Refused(Reason.UNKNOWN_CERTIFICATE), b"0\x03no")

    assert document["fingerprint"]
    assert document["certificate"] == {"sha256": document["fingerprint"], "objections": ["self_signed"]}
    assert document["enroll"] is None


@pytest.mark.parametrize("oid", ["2.5.29.17", "2.5.29.37", "2.5.29.19"], ids=["names", "usages", "constraints"])
def test_a_certificate_with_a_malformed_extension_is_examined_all_the_same(oid: str) -> None:
    key = new_key()
    malformed = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x30\x82garbage"), critical=False)
        .sign(key, hashes.SHA256())
    )

    document = examine(Refused(Reason.UNKNOWN_CERTIFICATE), malformed.public_bytes(Encoding.DER))

    assert document["fingerprint"] == malformed.fingerprint(hashes.SHA256()).hex()
    assert in_lines(document)


def test_thousands_of_names_do_not_fill_the_page() -> None:
    many: Identity = client(dns_names=tuple(f"n{number}.example" for number in range(1000)))

    document = examine(Refused(Reason.UNKNOWN_CERTIFICATE), many.der)

    assert isinstance(document["certificate"], dict)
    assert len(document["certificate"]["alternative_names"]) == 100


def test_the_text_says_all_of_it() -> None:
    document = examine(Client("acme", ("send",), scopes=("read",)), client().der)

    text = in_lines(document)

    assert text.startswith("allowed as client acme\n")
    assert f"certificate sha256: {document['fingerprint']}" in text
    assert "you roles: send\n" in text
    assert "you scopes: read\n" in text
