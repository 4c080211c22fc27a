"""One parser for certificates and their fingerprints."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CertificateError, FingerprintError
from service.identity.certificate import MAX_CERTIFICATE_BYTES, Fingerprint, load_pem_chain, parse_certificate
from tests.certificates import CLIENT_AUTH, NOW, SERVER_AUTH, TOMORROW, YESTERDAY, Authority, client, rsa_key

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


def test_a_sha_1_is_recognized_and_refused() -> None:
    with pytest.raises(FingerprintError, match="SHA-1"):
        Fingerprint.parse("ab:" * 19 + "cd")


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
        try:
            parse_certificate(data)
        except CertificateError as error:
            assert error.reason  # noqa: PT017 -- either outcome is right


def test_a_chain_keeps_its_order() -> None:
    chain = Authority().intermediate().server().chain_pem

    assert [each.subject for each in load_pem_chain(chain)] == ["CN=ingress.local.test", "CN=Test Intermediate"]


KNOWN = client()
