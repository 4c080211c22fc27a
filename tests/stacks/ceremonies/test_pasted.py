"""What partners really send is read; what must not be read is refused without a byte of it repeated."""

from __future__ import annotations

import base64
import contextlib
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from hypothesis import given
from hypothesis import strategies as st

from stacks.ceremonies.pasted import (
    MAX_PASTED_BYTES,
    PastedError,
    PrivateKeyPastedError,
    SeveralCertificatesError,
    read_certificate,
    read_certificates,
)
from stacks.ceremonies.signing_request import Subject, make
from tests.certificates import Identity, client

PARTNER: Final = client()
PEM: Final = PARTNER.pem.decode()

# What stands around a certificate in a mail: anything but the beginning of another block.
_AROUND = st.text(st.characters(codec="utf-8"), max_size=200).filter(
    lambda text: "-----" not in text and "KEY" not in text and "\\" not in text
)


@given(before=_AROUND, after=_AROUND, line_end=st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n"]))
def test_any_text_around_it_and_any_line_ends_give_the_same_certificate(before: str, after: str, line_end: str) -> None:
    pasted = f"{before}\n{PEM.replace(chr(10), line_end)}\n{after}"

    assert read_certificate(pasted.encode()).der == PARTNER.der


@given(margin=st.text(" \t>|\u00a0\u200b", max_size=8))
def test_any_margin_gives_the_same_certificate(margin: str) -> None:
    """Quoted in a mail, indented in a wiki, with invisible blanks from a chat window."""
    pasted = "".join(f"{margin}{line}\n" for line in PEM.splitlines())

    assert read_certificate(pasted.encode()).der == PARTNER.der


@given(width=st.integers(1, 2000))
def test_any_line_width_gives_the_same_certificate(width: int) -> None:
    text = base64.b64encode(PARTNER.der).decode()
    lines = "\n".join(text[start : start + width] for start in range(0, len(text), width))

    assert (
        read_certificate(f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----".encode()).der == PARTNER.der
    )


@given(st.binary(max_size=500))
def test_no_bytes_make_it_raise_anything_but_its_own_error(data: bytes) -> None:
    with pytest.raises(PastedError):
        read_certificates(data)


@pytest.mark.filterwarnings("ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning")
@given(data=st.data())
def test_a_damaged_certificate_is_refused_or_read_never_worse(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(PARTNER.der) - 1))
    damaged = bytearray(PARTNER.der)
    damaged[place] ^= data.draw(st.integers(1, 255))

    with contextlib.suppress(PastedError):
        assert read_certificate(bytes(damaged)).der


@pytest.mark.parametrize(
    "pasted",
    [
        PARTNER.der,
        base64.b64encode(PARTNER.der),
        base64.encodebytes(PARTNER.der),
        PEM.encode("utf-16"),
        PEM.replace("\n", "\\n").encode(),
        PEM.replace("CERTIFICATE", "X509 CERTIFICATE").encode(),
        (PEM + PEM).encode(),
    ],
    ids=["DER", "Base64", "Base64 in lines", "UTF-16 of Windows", "out of JSON", "an old label", "twice the same"],
)
def test_one_certificate_in_any_form_is_read(pasted: bytes) -> None:
    assert read_certificate(pasted).der == PARTNER.der


def test_several_certificates_are_named_and_none_is_chosen() -> None:
    other = client(common_name="other.example")

    with pytest.raises(SeveralCertificatesError) as caught:
        read_certificate(PARTNER.pem + other.pem)

    assert "CN=partner.example" in str(caught.value)
    assert f"CN=other.example (SHA-256 {other.fingerprint})" in str(caught.value)


def test_a_chain_keeps_its_order() -> None:
    other = client(common_name="other.example")

    assert [each.der for each in read_certificates(other.pem + PARTNER.pem)] == [other.der, PARTNER.der]


def _text_or_nothing(value: str | bytes) -> str:
    """Name a case by its words; made bytes differ from process to process."""
    return value if isinstance(value, str) else ""


def _forms_of_a_private_key(identity: Identity) -> list[tuple[str, bytes]]:
    key = identity.key
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    locked = BestAvailableEncryption(b"passphrase")
    return [
        ("PKCS #8", identity.key_pem),
        ("SEC 1", key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())),
        ("with a passphrase", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)),
        ("OpenSSH", key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())),
        ("DER", pkcs8),
        ("DER with a passphrase", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, locked)),
        ("Base64 alone", base64.b64encode(pkcs8)),
        ("UTF-16", identity.key_pem.decode().encode("utf-16")),
        ("out of JSON", identity.key_pem.replace(b"\n", b"\\n")),
        ("beside its certificate", identity.pem + identity.key_pem),
        ("cut off", identity.key_pem[:120]),
        ("PKCS #12", serialize_key_and_certificates(b"x", key, identity.certificate, None, locked)),
    ]


@pytest.mark.parametrize(("form", "data"), _forms_of_a_private_key(PARTNER), ids=_text_or_nothing)
def test_a_private_key_in_any_form_is_refused_loudly(form: str, data: bytes) -> None:
    with pytest.raises(PrivateKeyPastedError, match="must never leave its owner") as caught:
        read_certificate(data)

    assert "compromised" in (caught.value.hint or ""), form


@given(before=_AROUND, after=_AROUND)
def test_no_byte_of_a_private_key_is_repeated(before: str, after: str) -> None:
    with pytest.raises(PrivateKeyPastedError) as caught:
        read_certificate(f"{before}\n{PARTNER.key_pem.decode()}\n{after}".encode())

    said = f"{caught.value} {caught.value.hint}"
    secret = "".join(PARTNER.key_pem.decode().splitlines()[1:-1])
    assert not any(secret[start : start + 8] in said for start in range(len(secret) - 8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b" \r\n ", "it is empty"),
        (make("a.example", Subject()).csr_pem, "a certificate signing request"),
        (serialize_certificates([PARTNER.certificate], Encoding.PEM), "PKCS #7"),
        (PARTNER.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), "openssl x509"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "public key alone"),
        (PARTNER.pem[:-30], "cut off"),
        (PARTNER.fingerprint.encode(), "this is a fingerprint"),
        (":".join(PARTNER.fingerprint[i : i + 2] for i in range(0, 40, 2)).upper().encode(), "this is a fingerprint"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "certificate 1"),
        (b"<html>404</html>", "neither PEM nor DER"),
        (b"-----BEGIN", "a block without a name"),
        (PARTNER.pem * 33, "33 PEM blocks"),
        (b"x" * (MAX_PASTED_BYTES + 1), "longer than"),
    ],
    ids=_text_or_nothing,
)
def test_what_is_something_else_is_named(data: bytes, said: str) -> None:
    with pytest.raises(PastedError, match=said):
        read_certificate(data)
