"""One parser for certificates and their fingerprints."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CertificateError, FingerprintError
from service.identity.certificate import (
    MAX_CERTIFICATE_BYTES,
    Fingerprint,
    load_pem_chain,
    parse_certificate,
    parse_pin,
    read_key,
    weakness_of,
)
from tests.certificates import CLIENT_AUTH, NOW, SERVER_AUTH, TOMORROW, YESTERDAY, Authority, Identity, client, rsa_key

DIGITS = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(DIGITS)
def test_a_fingerprint_is_read_back_as_written(digits: str) -> None:
    assert Fingerprint.parse(str(Fingerprint(digits))) == Fingerprint(digits)


@given(DIGITS, st.sampled_from([":", " ", "-", "\n", "\u200e", ": "]))
def test_a_fingerprint_may_be_written_as_people_and_windows_do(digits: str, between: str) -> None:
    pairs = (digits[at : at + 2] for at in range(0, 64, 2))

    assert Fingerprint.parse("\u200e" + between.join(pairs).upper()) == Fingerprint(digits)


@given(st.text(max_size=100))
def test_no_text_raises_anything_but_our_own_error(text: str) -> None:
    try:
        assert len(Fingerprint.parse(text).hex) == 64
    except FingerprintError as error:
        assert error.reason  # noqa: PT017 -- either outcome is right


@pytest.mark.parametrize(
    "label",
    ["sha256 Fingerprint=", "SHA256 Fingerprint=", "SHA-256: ", "Certificate fingerprint (SHA-256): ", "sha256:"],
)
@given(digits=DIGITS)
def test_a_fingerprint_may_have_the_label_of_a_tool_in_front(label: str, digits: str) -> None:
    assert Fingerprint.parse(label + digits.upper()) == Fingerprint(digits)


def test_what_openssl_prints_may_be_pasted_whole() -> None:
    command = ["openssl", "x509", "-noout", "-subject", "-fingerprint", "-sha256", "-dates"]
    said = subprocess.run(command, input=KNOWN.pem, capture_output=True, check=True).stdout.decode()  # noqa: S603

    assert Fingerprint.parse(said).hex == KNOWN.fingerprint


def test_the_certificate_itself_may_be_pasted_instead() -> None:
    assert Fingerprint.parse("from our mail:\r\n" + KNOWN.pem.decode()).hex == KNOWN.fingerprint


@pytest.mark.parametrize("text", ["ab:" * 19 + "cd", "sha1 Fingerprint=" + "AB:" * 19 + "CD", "ab" * 20])
def test_a_sha_1_is_recognized_and_refused(text: str) -> None:
    with pytest.raises(FingerprintError, match="SHA-1"):
        Fingerprint.parse(text)


PINS = st.binary(min_size=32, max_size=32).map(lambda digest: (digest.hex(), base64.b64encode(digest).decode()))


@pytest.mark.parametrize("form", ["sha256//{}", "sha256/{}", 'pin-sha256="{}"'])
@given(pin=PINS)
def test_the_pin_of_a_key_is_told_from_a_fingerprint(form: str, pin: tuple[str, str]) -> None:
    """Both are 32 bytes; taking one for the other would look up nothing and say so in vain."""
    digits, base64_text = pin

    assert parse_pin(form.format(base64_text)) == parse_pin(digits) == parse_pin(f"pin#{digits}") == digits
    with pytest.raises(FingerprintError, match=f"pin of a public key, .* {digits}|{digits} in hexadecimal"):
        Fingerprint.parse(form.format(base64_text))


@given(PINS)
def test_thirty_two_bytes_in_base64_could_be_either_and_are_asked_about(pin: tuple[str, str]) -> None:
    digits, base64_text = pin

    with pytest.raises(FingerprintError, match=digits):
        Fingerprint.parse(base64_text.rstrip("=").translate(str.maketrans("+/", "-_")))


@given(st.one_of(st.text(max_size=100), st.from_regex(r"(sha256/{1,2}|pin-sha256=)?[A-Za-z0-9+/_=-]{40,46}")))
def test_no_text_raises_anything_but_our_own_error_for_a_pin(text: str) -> None:
    try:
        assert len(parse_pin(text)) == 64
    except FingerprintError as error:
        assert error.reason  # noqa: PT017 -- either outcome is right


@pytest.mark.parametrize("text", ["-----BEGIN CERTIFICATE-----", "-----BEGIN \udc80", "0" * 200_000])
def test_what_only_looks_like_a_certificate_is_refused(text: str) -> None:
    with pytest.raises(FingerprintError):
        Fingerprint.parse(text)


@pytest.mark.parametrize("digits", ["", "A" * 64, "0" * 63, "g" * 64])
def test_a_fingerprint_exists_only_if_it_is_well_formed(digits: str) -> None:
    with pytest.raises(FingerprintError):
        Fingerprint(digits)


def test_a_certificate_says_what_it_says() -> None:
    made = client(common_name="acme", dns_names=("a.example", "b.example"), purposes=(CLIENT_AUTH, SERVER_AUTH))

    read = parse_certificate(made.der)

    assert read.fingerprint.hex == made.fingerprint
    assert read.pin == made.pin
    assert read.subject_public_key_info == made.subject_public_key_info
    assert (read.subject, read.issuer) == ("CN=acme", "CN=acme")
    assert read.serial == made.certificate.serial_number
    assert read.dns_names == ("a.example", "b.example")
    assert read.extended_key_usages == ("clientAuth", "serverAuth")
    assert len(read.sha1) == 40


def test_pem_and_der_are_the_same_certificate() -> None:
    made = client()

    assert parse_certificate(b"Certificate: as openssl prints it\n\n" + made.pem) == parse_certificate(made.der)


def test_without_extensions_there_are_no_names_and_no_usages() -> None:
    read = parse_certificate(client(without_extensions=True).der)

    assert (read.dns_names, read.extended_key_usages) == ((), ())


def test_it_is_in_date_from_its_first_second_to_its_last() -> None:
    read = parse_certificate(client(not_before=YESTERDAY, not_after=TOMORROW).der)
    second = timedelta(seconds=1)

    moments = (YESTERDAY - second, YESTERDAY, NOW, TOMORROW, TOMORROW + second)
    assert [read.is_in_date(each) for each in moments] == [False, True, True, True, False]


def test_an_rsa_certificate_is_read_too() -> None:
    made = client(key=rsa_key())

    assert parse_certificate(made.pem).pin == made.pin


@pytest.mark.parametrize(
    ("identity", "weakness"),
    [
        (client(key=rsa_key(1024)), "RSA of 1024 bits, at least 2048"),
        (client(key=ec.generate_private_key(ec.SECP192R1())), "secp192r1; P-256, P-384 or P-521 expected"),
        (client(key=ec.generate_private_key(ec.SECP256K1())), "secp256k1; P-256, P-384 or P-521 expected"),
        (client(key=ec.generate_private_key(ec.BrainpoolP256R1())), "brainpoolP256r1; P-256, P-384 or P-521 expected"),
        (client(key=rsa_key(2048)), None),
        (client(), None),
        (client(key=ec.generate_private_key(ec.SECP384R1())), None),
        (client(key=ec.generate_private_key(ec.SECP521R1())), None),
    ],
    ids=["RSA 1024", "P-192", "secp256k1", "Brainpool", "RSA 2048", "P-256", "P-384", "P-521"],
)
def test_a_key_below_todays_strength_is_weak(identity: Identity, weakness: str | None) -> None:
    assert parse_certificate(identity.der).weakness == weakness


@pytest.mark.parametrize("make", [ed25519.Ed25519PrivateKey.generate, ed448.Ed448PrivateKey.generate])
def test_an_edwards_key_is_strong_enough(make: Callable[[], ed25519.Ed25519PrivateKey]) -> None:
    assert weakness_of(make().public_key()) is None


def test_other_kinds_of_keys_are_weak() -> None:
    old, agrees_only = dsa.generate_private_key(2048), x25519.X25519PrivateKey.generate()

    assert "DSA" in str(weakness_of(old.public_key()))
    assert "cannot sign" in str(weakness_of(agrees_only.public_key()))


@pytest.mark.parametrize("identity", [client(), client(key=rsa_key())], ids=["P-256", "RSA"])
def test_the_key_is_read_alone_as_it_is_within_the_whole(identity: Identity) -> None:
    key, whole = read_key(identity.der), parse_certificate(identity.der)

    assert (key.der, key.pin, key.weakness) == (whole.subject_public_key_info, whole.pin, whole.weakness)


def test_a_partners_key_is_read_once_and_a_strangers_large_one_takes_no_memory() -> None:
    """4 KiB are more than any partner's; a thousand of 100 KiB would be ours to hold."""
    usual, large = client(), client(dns_names=tuple(f"host-{number}.partner.example" for number in range(200)))

    assert read_key(usual.der) is read_key(bytes(bytearray(usual.der)))
    assert len(large.der) > 4096
    assert read_key(large.der) is not read_key(large.der)
    assert read_key(large.der).der == large.subject_public_key_info


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"certainly not", "neither PEM nor DER"),
        (client().key_pem, "no whole PEM block"),
        (client().pem[:-40], "no whole PEM block"),
        (client().pem + client().pem, "exactly one expected, 2 found"),
        (b"\x30" * (MAX_CERTIFICATE_BYTES + 1), "at most"),
    ],
    ids=["nothing", "blanks", "prose", "a key", "half of it", "two", "too much"],
)
def test_what_is_not_one_certificate_is_refused_with_the_reason(data: bytes, word: str) -> None:
    with pytest.raises(CertificateError, match=word):
        parse_certificate(data)


def test_a_certificate_whose_extensions_are_malformed_is_refused() -> None:
    """The same extension twice (RFC 5280, section 4.2, forbids it)."""
    der = client(dns_names=("a.example",), purposes=(CLIENT_AUTH,)).der
    key_usage, alternative_name = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d11")

    with pytest.raises(CertificateError, match="extensions are malformed"):
        parse_certificate(der.replace(key_usage, alternative_name))


@pytest.mark.filterwarnings("ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning")
@given(st.binary(max_size=400), st.integers(0, 300))
def test_no_bytes_raise_anything_but_our_own_error(noise: bytes, at: int) -> None:
    whole = KNOWN.der
    for data in (noise, whole[:at] + noise + whole[at + len(noise) :]):
        for parse in (parse_certificate, read_key):
            try:
                parse(data)
            except CertificateError as error:
                assert error.reason  # noqa: PT017 -- either outcome is right


def test_a_chain_keeps_its_order() -> None:
    chain = Authority().intermediate().server().chain_pem

    assert [each.subject for each in load_pem_chain(chain)] == ["CN=ingress.local.test", "CN=Test Intermediate"]


KNOWN = client()
