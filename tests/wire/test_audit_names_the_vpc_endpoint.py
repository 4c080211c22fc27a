"""A partner who comes by AWS PrivateLink is known by the endpoint too, for his address there says nothing."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from tests.certificates import client
from tests.wire.stage import PROXY, Service, connection

VPC_ENDPOINT = "vpce-08d2bf15fac5001c9"


def header_with(endpoint: str) -> bytes:
    """Write a header of version 2 as a Network Load Balancer does: AWS's own field 0xEA, subtype 1, among others."""
    told = b"\x01" + endpoint.encode()
    addresses = IPv4Address("192.0.2.7").packed + IPv4Address("203.0.113.9").packed + struct.pack("!HH", 51514, 443)
    others = b"\x04\x00\x02\x00\x00" + b"\xf1\x00\x03\xff\x00\xea"  # padding, and a field that nobody knows
    block = addresses + others + struct.pack("!BH", 0xEA, len(told)) + told + others
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H", len(block)) + block


def test_the_line_of_a_request_has_the_endpoint_it_came_by(service: Service) -> None:
    stranger = client()

    with connection(service, stranger, proxy=header_with(VPC_ENDPOINT)) as opened:
        request_id = opened.get().document["request_id"]

    line = service.event("request", request_id=request_id)
    assert (line["vpc_endpoint"], line["peer_address"], line["peer_port"]) == (VPC_ENDPOINT, "192.0.2.7", 51514)


def test_the_line_of_another_has_none(service: Service) -> None:
    with connection(service, client(), proxy=PROXY) as opened:
        request_id = opened.get().document["request_id"]

    assert service.event("request", request_id=request_id)["vpc_endpoint"] is None
