"""
The service's composition root: from environment variables to answered requests.

Read top to bottom it is the table of contents of a certificate's walk: settings,
the pair from the bucket, the TLS context, the registry, the gate, the sockets.
Nothing listens before the pair is checked, and a fault on the way is one line
that says what to do.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.utils import CryptographyDeprecationWarning

from service.audit import AuditLog, Event
from service.aws import AwsSession, aws_settings
from service.boot.certificate_store import CertificateStore, open_certificate_store
from service.boot.served_certificate import PairSource, ServedCertificate
from service.connection.gate import Gate, Guard
from service.connection.listener import Listener, open_listening_socket
from service.connection.processors import count_processors
from service.connection.session import Doorway
from service.connection.tls import TlsConnection
from service.connection.worker import Worker
from service.contract import Metric
from service.endpoints.application import HostedApplication, find_application, load_application
from service.endpoints.asgi import Application
from service.endpoints.welcome import welcome
from service.endpoints.whoami import Doctor
from service.errors import ServiceError
from service.identity.client_registry import ClientRegistry, open_client_registry
from service.identity.pinned_certificate import PinnedCertificate
from service.identity.policy import Strategy
from service.identity.presented import Authenticator
from service.identity.registry_cache import RegistryCache, Retention
from service.line_writer import LineWriter
from service.metrics import Metrics
from service.settings import Settings, parse_settings


def main(variables: Mapping[str, str]) -> int:
    """Boot and serve; returns the exit code."""
    # Certificates with the serial number 0 are old but in use; we pin them as they are.
    warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        return serve(parse_settings(variables))
    except ServiceError as error:
        sys.stderr.write(f"error: {error}\n")
        if error.hint:
            sys.stderr.write(f"hint: {error.hint}\n")
        return 1


def serve(settings: Settings) -> int:
    """
    Build the service from its settings and run it to its end.

    Raises:
        ServiceError: Something it needs is missing or wrong; nothing was left running.
    """
    if settings.application is not None:
        find_application(settings.application)
    audit = AuditLog(LineWriter(sys.stdout.fileno()), environment=settings.environment_name, clock=time.time)
    with aws_settings():
        session = AwsSession(settings.region)
        store = open_certificate_store(
            settings.certificate_bucket,
            owner=settings.certificate_bucket_owner,
            session=session,
            sleep=time.sleep,
        )
        table = open_client_registry(settings.client_registry_table, session=session)

    source = PairSource(store, settings.certificate_bucket, settings.host_name, clock=_now)
    pair = source.load()
    metrics = Metrics(audit)
    retention = Retention(settings.revocation_seconds, settings.stale_seconds, entries=settings.registry_cache_entries)
    registry = RegistryCache(table, retention, metrics=metrics)
    served = ServedCertificate(source, pair, audit=audit, metrics=metrics)
    metrics.days_left(Metric.SERVER_CERTIFICATE_DAYS, lambda: served.pair.identity.not_after)
    authenticators: dict[Strategy, Authenticator] = {Strategy.PINNED_CERTIFICATE: PinnedCertificate(registry)}
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
        functools.partial(served.follow, settings.reload_seconds),
    )
    if Strategy.BEARER_TOKEN in settings.policy.strategies:
        bearer, *keeping = _bearer_token(settings, registry, store=store, audit=audit, metrics=metrics)
        authenticators[Strategy.BEARER_TOKEN], background = bearer, (*background, *keeping)
    guard = Guard(settings.policy, authenticators)
    doctor = Doctor(environment=settings.environment_name, per_minute=settings.whoami_per_minute)

    def make_gate() -> Gate:
        return Gate(_application(settings), guard=guard, doctor=doctor, audit=audit, metrics=metrics, clock=_now)

    doorway = Doorway(
        open_tls=lambda: TlsConnection(served.pair.context),
        proxy_protocol=settings.proxy_protocol,
        limits=settings.limits,
        audit=audit,
        metrics=metrics,
    )
    workers = settings.workers or count_processors()
    worker = Worker(
        load_application=make_gate,
        doorway=doorway,
        audit=audit,
        lame_duck_seconds=settings.lame_duck_seconds,
        drain_seconds=settings.drain_seconds,
        metrics=metrics,
        metrics_seconds=settings.metrics_seconds,
        background=background,
    )
    with (
        open_listening_socket(settings.bind_address, settings.traffic_port) as traffic,
        open_listening_socket(settings.bind_address, settings.health_port) as health,
    ):
        announce = functools.partial(
            audit.record,
            Event.LISTENING,
            address=settings.bind_address,
            traffic_port=traffic.getsockname()[1],
            health_port=health.getsockname()[1],
            workers=workers,
            certificate=pair.identity.leaf.fingerprint.hex,
            certificate_not_after=pair.identity.not_after.isoformat(),
        )
        listener = Listener(worker, audit, workers=workers)
        return listener.run(traffic=traffic, health=health, announce=announce)


def _application(settings: Settings) -> Application:
    """Make what answers behind the gate; called in the worker."""
    if settings.application is not None:
        # The audit writes to the descriptor; whatever an application prints must not stand between its lines.
        sys.stdout = sys.stderr
        return HostedApplication(load_application(settings.application))
    if settings.forward_to is None:
        return welcome
    from service.endpoints.forward import Forward, Patience  # noqa: PLC0415 -- its libraries are 0.2 s of the boot

    # A token that the policy reads was issued for us; an upstream that saw it could use it.
    drops_authorization = Strategy.BEARER_TOKEN in settings.policy.strategies
    return Forward(
        settings.forward_to,
        host_name=settings.host_name,
        drops_authorization=drops_authorization,
        patience=Patience(read=settings.upstream_seconds),
    )


def _bearer_token(
    settings: Settings, registry: ClientRegistry, *, store: CertificateStore, audit: AuditLog, metrics: Metrics
) -> tuple[Authenticator, *tuple[Callable[[], Coroutine[Any, Any, None]], ...]]:
    """Make what knows bearer tokens, and what keeps their issuer's keys fresh beside it; who needs none loads none."""
    from service.identity.bearer_token import BearerToken, Issuer  # noqa: PLC0415 -- joserfc is 0.1 s of the boot
    from service.identity.json_web_token import TokenVerifier  # noqa: PLC0415 -- the same
    from service.identity.key_set_keeper import KeySetKeeper, key_source  # noqa: PLC0415 -- the same

    facts = settings.token_issuer
    if facts is None:
        return (BearerToken(registry, issuer=None, binding=settings.token_binding),)
    source = key_source(facts.key_set, store)
    keeper = KeySetKeeper(source, seconds=facts.key_set_seconds, audit=audit, metrics=metrics)
    issuer = Issuer(TokenVerifier(facts.issuer, facts.audience), keeper)
    return BearerToken(registry, issuer=issuer, binding=settings.token_binding), keeper.keep


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(os.environ))  # noqa: TID251 -- the one place of the service that reads the environment
