"""Partners that can come, and times in which nobody is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from service.settings import MAX_STOP_SECONDS
from stacks.agreement.addresses import apart, is_private, is_wide
from stacks.agreement.promise import Promise
from stacks.environment import LOCAL, UNHEALTHY_THRESHOLD, Environment, Ingress

_NOBODY: Final = tuple(IPv4Network(text) for text in ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"))
"""Loopback, link-local, multicast and what is reserved: sources no packet from elsewhere has (RFC 6890)."""


def ingress_promises(environment: Environment) -> Iterator[Promise]:
    """Judge who may come, and how long each step of an end takes."""
    yield from apart("ingress.partner_cidrs", environment.ingress.partner_cidrs)
    yield from _openness(environment.ingress)
    if environment.name != LOCAL:
        yield from _sources(environment.ingress)
    yield from _endings(environment)


def _openness(ingress: Ingress) -> Iterator[Promise]:
    wide = [(index, network) for index, network in enumerate(ingress.partner_cidrs) if is_wide(network)]
    for index, network in wide:
        yield Promise(
            (f"ingress.partner_cidrs.{index}", "ingress.partner_cidrs", "ingress.open_to_the_internet"),
            ingress.open_to_the_internet,
            "a partner's network, /8 or narrower, or open_to_the_internet = true beside it",
            f"{network}",
        )
    yield Promise(
        ("ingress.open_to_the_internet", "ingress.partner_cidrs"),
        bool(wide) or not ingress.open_to_the_internet,
        'partner_cidrs = ["0.0.0.0/0"] beside it',
        "partners' networks alone, which it does not open",
    )


def _sources(ingress: Ingress) -> Iterator[Promise]:
    for index, network in enumerate(ingress.partner_cidrs):
        yield Promise(
            (f"ingress.partner_cidrs.{index}", "ingress.partner_cidrs"),
            not is_private(network) and not any(network.subnet_of(nobody) for nobody in _NOBODY),
            "public addresses, for the load balancer faces the internet and sees no others",
            f"{network}",
        )


def _endings(environment: Environment) -> Iterator[Promise]:
    ingress, service = environment.ingress, environment.service
    yield Promise(
        ("service.lame_duck_seconds", "ingress.health_check_interval_seconds"),
        service.lame_duck_seconds >= ingress.seconds_until_unhealthy or environment.name == LOCAL,
        f"at least {ingress.seconds_until_unhealthy} seconds: health_check_interval_seconds times"
        f" {UNHEALTHY_THRESHOLD} checks until the load balancer stops sending connections",
        f"{service.lame_duck_seconds}",
    )
    stop = service.lame_duck_seconds + service.drain_seconds
    yield Promise(
        ("service.drain_seconds", "service.lame_duck_seconds"),
        stop <= MAX_STOP_SECONDS,
        f"at most {MAX_STOP_SECONDS} seconds together with lame_duck_seconds",
        f"{stop}",
    )
    yield Promise(
        ("ingress.draining_seconds", "service.drain_seconds"),
        ingress.draining_seconds >= service.drain_seconds or stop > MAX_STOP_SECONDS,
        f"at least drain_seconds, {service.drain_seconds}, or the load balancer cuts what the task still answers",
        f"{ingress.draining_seconds}",
    )
    yield Promise(
        ("ingress.draining_seconds", "service.lame_duck_seconds", "service.drain_seconds"),
        ingress.draining_seconds <= stop,
        f"at most {stop} seconds: lame_duck_seconds and drain_seconds, after which the task is gone",
        f"{ingress.draining_seconds}",
    )
