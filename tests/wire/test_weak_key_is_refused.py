"""A key below today's strength identifies nobody, enrolled or not."""

from __future__ import annotations

import ssl

import pytest

from tests.certificates import client, rsa_key
from tests.wire.stage import Aws, Service, ask


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_rsa_of_1024_bits_is_refused_by_name(aws: Aws, service: Service, version: ssl.TLSVersion) -> None:
    partner = client(key=rsa_key(1024))
    aws.enroll(partner, "acme")

    answer = ask(service, partner, version=version)

    assert (answer.status, answer.document["reason"]) == (403, "weak_key")


def test_a_stranger_with_a_weak_key_hears_what_to_change(service: Service) -> None:
    assert ask(service, client(key=rsa_key(1024))).document["reason"] == "weak_key"
