"""Environment variables become settings, or every fault of them is shown at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import HEALTH_PORT, TRAFFIC_PORT, ProxyProtocol, TokenBinding, Variable
from service.errors import SettingsError
from service.settings import parse_settings

RIGHT = {
    "AWS_REGION": "eu-central-1",
    Variable.ENVIRONMENT_NAME: "staging",
    Variable.HOST_NAME: "ingress.example.com",
    Variable.CERTIFICATE_BUCKET: "mtls-ingress-staging-certificates",
    Variable.CERTIFICATE_BUCKET_OWNER: "123456789012",
    Variable.CLIENT_REGISTRY_TABLE: "mtls-ingress-staging-clients",
}


def faults(**changed: str) -> tuple[str, ...]:
    """Parse variables with something wrong and return the faults."""
    with pytest.raises(SettingsError) as caught:
        parse_settings({**RIGHT, **changed})
    return caught.value.faults


def test_what_may_be_left_out_takes_the_safe_default() -> None:
    settings = parse_settings(RIGHT)

    assert settings.proxy_protocol is ProxyProtocol.REQUIRED
    assert (settings.traffic_port, settings.health_port) == (TRAFFIC_PORT, HEALTH_PORT)
    assert settings.limits.idle_seconds < 60
    assert settings.region == "eu-central-1"


def test_a_variable_set_to_nothing_counts_as_left_out() -> None:
    assert parse_settings({**RIGHT, Variable.WORKERS: ""}).workers is None


def test_all_faults_are_shown_together() -> None:
    found = faults(
        **{
            "AWS_REGION": "",
            Variable.HOST_NAME: "Not A Host",
            Variable.WORKERS: "many",
            Variable.PROXY_PROTOCOL: "optional",
            Variable.BIND_ADDRESS: "here",
            Variable.CERTIFICATE_BUCKET_OWNER: "12345",
        }
    )

    assert len(found) == 6


def test_a_missing_variable_is_named_with_what_belongs_there() -> None:
    assert faults(**{Variable.HOST_NAME: ""}) == ("MTLS_HOST_NAME is not set; a host name in lower case expected",)


def test_an_unknown_proxy_setting_is_a_fault() -> None:
    """A guess either way would be wrong: every peer under one address, or a peer naming its own."""
    assert faults(**{Variable.PROXY_PROTOCOL: "v1"}) == (
        "MTLS_PROXY_PROTOCOL must be required or forbidden, found 'v1'",
    )


def test_a_misspelt_variable_is_a_fault_and_not_a_default() -> None:
    assert faults(MTLS_PROXY_PROTOCOLL="forbidden") == (
        "MTLS_PROXY_PROTOCOLL is no variable of ours; is MTLS_PROXY_PROTOCOL meant?",
    )


def test_both_ports_alike_contradict() -> None:
    found = faults(**{Variable.TRAFFIC_PORT: "8443", Variable.HEALTH_PORT: "8443"})

    assert found == ("MTLS_TRAFFIC_PORT and MTLS_HEALTH_PORT are both 8443; they must differ",)


def test_two_free_ports_do_not() -> None:
    settings = parse_settings({**RIGHT, Variable.TRAFFIC_PORT: "0", Variable.HEALTH_PORT: "0"})

    assert (settings.traffic_port, settings.health_port) == (0, 0)


def test_stop_times_longer_than_anybody_waits_contradict() -> None:
    found = faults(**{Variable.LAME_DUCK_SECONDS: "200", Variable.DRAIN_SECONDS: "200"})

    assert found == ("MTLS_LAME_DUCK_SECONDS and MTLS_DRAIN_SECONDS are 400 together; at most 300 expected",)


def test_the_region_may_stand_under_either_name() -> None:
    variables = {name: value for name, value in RIGHT.items() if name != "AWS_REGION"}

    assert parse_settings({**variables, "AWS_DEFAULT_REGION": "us-gov-west-1"}).region == "us-gov-west-1"


@given(st.dictionaries(st.sampled_from([*Variable, "AWS_REGION", "MTLS_OTHER"]), st.text(max_size=40)))
def test_no_variables_raise_anything_but_our_own_error(variables: dict[str, str]) -> None:
    try:
        parse_settings({**RIGHT, **variables})
    except SettingsError as error:
        assert error.faults  # noqa: PT017 -- either outcome is right


# -- policy and tokens --------------------------------------------------------------

BEARER = '{"routes":[{"path":"/","all_of":["pinned_certificate","bearer_token"]}]}'
ISSUER: dict[str, str] = {
    Variable.TOKEN_ISSUER: "https://issuer.example",
    Variable.TOKEN_AUDIENCE: "https://ingress.example.com",
    Variable.TOKEN_KEY_SET: "tokens/keys.json",
}


def test_tokens_of_an_issuer_are_bound_unless_said_otherwise() -> None:
    settings = parse_settings({**RIGHT, **ISSUER, Variable.POLICY: BEARER})

    assert settings.token_binding is TokenBinding.REQUIRED
    assert settings.token_issuer is not None
    assert settings.token_issuer.key_set_seconds == 300


def test_opaque_tokens_need_no_issuer() -> None:
    assert parse_settings({**RIGHT, Variable.POLICY: BEARER}).token_issuer is None


def test_every_fault_of_the_policy_is_shown() -> None:
    policy = '{"routes":[{"path":"/","any_of":["pinned_certificat"]},{"path":"a","all_of":[]}]}'

    assert faults(**{Variable.POLICY: policy, **ISSUER}) == (
        (
            "MTLS_POLICY: routes[0].any_of[0]: expected a strategy (pinned_certificate, bearer_token), "
            'found "pinned_certificat" (did you mean pinned_certificate?)'
        ),
        (
            "MTLS_POLICY: routes[1].path: expected / or a path like /records, as it reads decoded and without "
            'a slash at its end, found "a"'
        ),
    )


@pytest.mark.parametrize("variable", [*ISSUER, Variable.TOKEN_BINDING, Variable.TOKEN_KEY_SET_SECONDS])
def test_a_setting_of_tokens_that_no_route_demands_is_a_fault(variable: str) -> None:
    value = {**ISSUER, Variable.TOKEN_BINDING: "optional", Variable.TOKEN_KEY_SET_SECONDS: "60"}[variable]

    assert "MTLS_POLICY: bearer_token: expected a route that demands bearer_token" in str(faults(**{variable: value}))


@pytest.mark.parametrize("missing", ISSUER)
def test_an_issuer_is_given_whole_or_not_at_all(missing: str) -> None:
    half = {name: value for name, value in ISSUER.items() if name is not missing}

    (fault,) = faults(**half, **{Variable.POLICY: BEARER})

    assert fault.startswith(f"{missing} is not set")


@pytest.mark.parametrize(
    "place",
    [
        "server/key.pem",
        "tokens/",
        "http://issuer.example/keys",
        "https://user@issuer.example/keys",
        "https://",
        "file:///etc/passwd",
        "http://127.0.0.1.issuer.example/keys",
    ],
)
def test_keys_come_from_the_bucket_or_over_https(place: str) -> None:
    (fault,) = faults(**{**ISSUER, Variable.POLICY: BEARER, Variable.TOKEN_KEY_SET: place})

    assert fault.startswith("MTLS_TOKEN_KEY_SET must be")
