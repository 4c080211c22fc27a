"""Every setting is followed: another value of it is another template, or other tags of the stacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import pytest

from service.contract import TokenBinding
from stacks.catalog import assemble
from stacks.environment import (
    Architecture,
    AuditTrail,
    BearerTokens,
    Deployer,
    Egress,
    Environment,
    ExistingNetwork,
    GithubProvider,
    LogDelivery,
    OwnNetwork,
)
from stacks.environment_file import parse_environment
from stacks.naming import stack_tags
from tests.stacks.environments import environment, with_existing_network

OTHERWISE: Final[dict[str, object]] = {
    "name": "other",
    "project": "other",
    "account": "999988887777",
    "region": "eu-west-1",
    "tags": {"team": "edge"},
    "network.vpc_cidr": IPv4Network("10.99.0.0/16"),
    "network.zones": ("us-east-1a", "us-east-1d"),
    "network.egress": Egress.ENDPOINTS,
    "network.ec2_endpoint": True,
    "ingress.host_name": "other.example.com",
    "ingress.partner_cidrs": (IPv4Network("203.0.113.0/24"),),
    "ingress.hosted_zone_id": None,
    "ingress.idle_timeout_seconds": 90,
    "ingress.draining_seconds": 70,
    "ingress.health_check_interval_seconds": 12,
    "ingress.access_log_interval_minutes": 5,
    "capacity.instance_type": "t3.medium",
    "capacity.architecture": Architecture.ARM64,
    "capacity.min_instances": 3,
    "capacity.max_instances": 9,
    "capacity.termination_protection": True,
    "service.tasks": 3,
    "service.max_tasks": 3,
    "service.cpu_units": 512,
    "service.memory_mib": 512,
    "service.workers": None,
    "service.lame_duck_seconds": 30,
    "service.drain_seconds": 50,
    "service.application": "partner.app:app",
    "service.forward_to": "http://records.internal:9090",
    "service.upstream_security_group": "sg-0a1b2c3d",
    "service.upstream_cidrs": (IPv4Network("10.9.0.0/16"),),
    "logs.retention_days": 400,
    "logs.delivery": LogDelivery.BLOCKING,
    "alarms.emails": ("night@example.com",),
    "alarms.urls": ("https://pager.example.com",),
    "alarms.topic_arns": ("arn:aws:sns:us-east-1:111122223333:on-call",),
    "registry.backup_days": 30,
    "deployer.permissions_boundary": "arn:aws:iam::111122223333:policy/bounds",
    "deployer.principals": ("arn:aws:iam::111122223333:role/ci",),
    "deployer.github_repository": "example/other",
    "deployer.github_environment": "live",
    "deployer.github_provider": GithubProvider.EXISTING,
    "audit_trail.retention_days": 500,
    "names.certificate_bucket": "acme-pairs",
    "names.log_bucket": "acme-logs",
    "names.trail_bucket": "acme-trail",
    "names.repository": "edge/ingress",
    "names.client_registry": "clients",
    "names.role_path": "/edge/",
    "bearer_token.issuer": "https://other.example",
    "bearer_token.audience": "https://other.example",
    "bearer_token.key_set": "tokens/other.json",
    "bearer_token.binding": TokenBinding.OPTIONAL,
    "bearer_token.key_set_seconds": 60,
    "limits": {"body_bytes": 1024},
}
"""What each setting of `_base` is changed to, one at a time."""
ELSEWHERE: Final = {"policy", "ingress.open_to_the_internet"}
"""The tests of the workload tell of the one; the other is a word to the reader of the file alone."""
EXISTING: Final[dict[str, object]] = {
    "network.vpc_id": "vpc-99999999",
    "network.public_subnet_ids": ("subnet-99999999", "subnet-99999998"),
    "network.private_subnet_ids": ("subnet-99999997", "subnet-99999996"),
    "network.s3_endpoint_ids": ("vpce-99999999",),
}
"""The same of a VPC that is somebody else's."""


def _base() -> Environment:
    staging = environment("staging")
    return dataclasses.replace(
        staging,
        ingress=dataclasses.replace(staging.ingress, hosted_zone_id="Z0123456789ABC"),
        service=dataclasses.replace(staging.service, forward_to="http://records.internal:8080"),
        deployer=Deployer(github_repository="example/mtls-ingress"),
        audit_trail=AuditTrail(365),
        bearer_token=BearerTokens("https://a.example", "https://b.example", "tokens/a.json", TokenBinding.REQUIRED),
    )


def _with(environment: Environment, key: str, value: object) -> Environment:
    table, _, name = key.partition(".")
    inner: Any = dataclasses.replace(getattr(environment, table), **{name: value}) if name else value
    return dataclasses.replace(environment, **{table: inner})


def _made_of(environment: Environment) -> tuple[dict[str, str], dict[str, str]]:
    return {entry.stack_name: entry.body for entry in assemble(environment).every}, stack_tags(environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "text"), [(OTHERWISE, None), (EXISTING, with_existing_network())], ids=["own VPC", "existing VPC"]
)
def test_another_value_is_another_template(changes: dict[str, object], text: str | None) -> None:
    base = parse_environment(text, Path("staging.toml")) if text else _base()
    before = _made_of(base)

    dead = [key for key, value in changes.items() if _made_of(_with(base, key, value)) == before]

    assert dead == []


def test_every_setting_is_tried() -> None:
    assert set(_keys(OwnNetwork)) - ELSEWHERE == set(OTHERWISE)
    assert set(_keys(ExistingNetwork)) - set(_keys(OwnNetwork)) == set(EXISTING)


def _keys(network: type[OwnNetwork | ExistingNetwork]) -> Iterator[str]:
    """Give every setting there is, dotted."""
    values = {"network": network, "audit_trail": AuditTrail, "bearer_token": BearerTokens}
    for field in dataclasses.fields(Environment):
        value = values.get(field.name, type(getattr(environment("staging"), field.name)))
        if dataclasses.is_dataclass(value) and field.name != "policy":
            yield from (f"{field.name}.{inner.name}" for inner in dataclasses.fields(value))
        else:
            yield field.name
