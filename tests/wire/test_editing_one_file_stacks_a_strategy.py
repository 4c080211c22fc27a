"""
A strategy is added to a route by editing the environment file, and nothing else.

The service is started with the variables that the file renders to; that bucket
and role let it read the issuer's keys is shown by the slow sibling, a
deployment in the embedded cloud (tests/scripts/test_deploy_local_walk.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from service.contract import Variable
from stacks.catalog import assemble
from stacks.environment import Environment
from stacks.environment_file import find_environment, parse_environment
from tests.certificates import HOST_NAME, Identity, client
from tests.tokens import AUDIENCE, ISSUER, Issuer
from tests.wire.conftest import StartService
from tests.wire.stage import ROOT, Answer, Aws, Service, connection

BEFORE = find_environment("local", ROOT).read_text(encoding="utf-8")
EDIT = f"""
[[routes]]
path = "/"
all_of = ["pinned_certificate", "bearer_token"]

[bearer_token]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
key_set = "tokens/edited.json"
"""
PARTNER, OTHER = client(common_name="edited"), client(common_name="edited-other")


def rendered(environment: Environment) -> dict[str, str]:
    """Give what the task definition says of policy and tokens."""
    template = assemble(environment)["workload"].template
    (container,) = template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"]
    ours = ("MTLS_POLICY", "MTLS_TOKEN_")
    return {each["Name"]: each["Value"] for each in container["Environment"] if each["Name"].startswith(ours)}


def ask(service: Service, identity: Identity, token: bytes | None = None) -> Answer:
    """Connect with a certificate, ask `/` with or without a token, hang up."""
    field = b"" if token is None else b"authorization: Bearer %s\r\n" % token
    with connection(service, identity) as opened:
        opened.send(b"GET / HTTP/1.1\r\nhost: %s\r\n%s\r\n" % (HOST_NAME.encode(), field))
        return opened.answer()


def test_a_token_is_demanded_beside_the_certificate(aws: Aws, bucket: str, start_service: StartService) -> None:
    issuer = Issuer()
    aws.enroll(PARTNER, "acme")
    aws.s3.put_object(Bucket=bucket, Key="tokens/edited.json", Body=issuer.key_set)

    service = start_service(**rendered(parse_environment(BEFORE + EDIT, Path("local.toml"))))
    service.event("key_set_taken")
    alone = ask(service, PARTNER)
    bound = ask(service, PARTNER, issuer.token(PARTNER))
    foreign = ask(service, PARTNER, issuer.token(OTHER))

    assert (alone.status, alone.document["reason"]) == (401, "token_missing")
    assert alone.headers["www-authenticate"].startswith("Bearer ")
    assert (bound.status, bound.document["client"]) == (200, "acme")
    assert (foreign.status, foreign.document["reason"]) == (401, "token_not_bound")


def test_before_the_edit_the_task_definition_says_nothing_of_it() -> None:
    before = parse_environment(BEFORE, Path("local.toml"))
    after = parse_environment(BEFORE + EDIT, Path("local.toml"))

    assert rendered(before) == {}
    changed = [
        entry.name
        for entry, other in zip(assemble(before).stacks, assemble(after).stacks, strict=True)
        if entry.body != other.body
    ]
    assert changed == ["certificate_store", "workload"]


@pytest.mark.parametrize("binding", ["required", "optional"])
def test_binding_is_a_fact_of_the_file_too(binding: str) -> None:
    edited = parse_environment(f'{BEFORE}{EDIT}binding = "{binding}"\n', Path("local.toml"))

    assert rendered(edited)[Variable.TOKEN_BINDING] == binding
