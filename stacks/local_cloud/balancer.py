"""
The Classic Load Balancer, really forwarding.

One asyncio loop in its own thread carries every load balancer. Each sweep of
the data plane hands over what the API says now (`apply`); the balancer opens
and closes listeners, checks health and passes bytes accordingly.

A connection walks: accept -> choose an instance in service -> connect (the
next one if that fails) -> PROXY header if the policy says so -> bytes both
ways until both sides have ended, the idle timeout or the end of draining.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stacks.local_cloud.addresses import AddressPool
from stacks.local_cloud.balancer_settings import BalancerSettings, HealthCheckSettings, ListenerSettings
from stacks.local_cloud.health_check import HealthState, Probe, passes
from stacks.local_cloud.ledger import InstanceHealth

Report = Callable[[str], None]
_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CHUNK_BYTES: Final = 64 * 1024
_CONNECT_SECONDS: Final = 4.0
_STOP_SECONDS: Final = 5.0
_LAST_TURNS: Final = 5
_UNPRIVILEGED_OFFSET: Final = 10_000
"""Port 443 is shown as 10443 where this user may not listen below 1024."""


@dataclass(frozen=True, slots=True)
class Target:
    """An instance as the balancer reaches it: its address, and the host ports its task publishes."""

    address: str
    ports: frozenset[int]


class Balancer:
    """
    Every load balancer of the embedded cloud.

    Args:
        addresses: Where each load balancer gets its own address from.
        report: Told one line per fault, once.
        second: How long a declared second lasts; tests make it shorter.
    """

    def __init__(self, addresses: AddressPool, report: Report, *, second: float = 1.0) -> None:
        self._addresses = addresses
        self._report = report
        self._second = second
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="balancer", daemon=True)
        self._running: dict[str, _LoadBalancer] = {}

    def start(self) -> None:
        """Start the loop; nothing listens before the first `apply`."""
        self._thread.start()

    def stop(self) -> None:
        """Close every listener and connection and end the loop."""
        if self._thread.is_alive():
            self._on_loop(self._close_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
        if not self._loop.is_running():
            self._loop.close()

    def apply(self, wanted: Sequence[BalancerSettings], targets: Mapping[str, Target]) -> None:
        """Follow what the API says: settings by load balancer, and where each instance id is to be reached."""
        self._on_loop(self._apply(wanted, targets))

    def endpoint(self, name: str, port: int) -> tuple[str, int] | None:
        """Say where a load balancer's port really listens, or None while it does not."""
        found = self._running.get(name)
        return found.endpoint(port) if found else None

    def health(self, name: str) -> tuple[InstanceHealth, ...] | None:
        """Say what the checks found of each registered instance; None for a load balancer not known."""
        found = self._running.get(name)
        return found.health() if found else None

    def is_drained(self, name: str, instance_id: str) -> bool:
        """Whether an instance is no longer registered and its last connection is over."""
        found = self._running.get(name)
        return found is None or found.is_drained(instance_id)

    def _on_loop(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)  # type: ignore[arg-type]

    async def _apply(self, wanted: Sequence[BalancerSettings], targets: Mapping[str, Target]) -> None:
        names = {settings.name for settings in wanted}
        for name in set(self._running) - names:
            gone = self._running.pop(name)
            await gone.close()
            self._addresses.release(gone.address)
        for settings in wanted:
            if settings.name not in self._running:
                self._running[settings.name] = _LoadBalancer(self._addresses.draw(), self._report, self._second)
            await self._running[settings.name].apply(settings, targets)

    async def _close_all(self) -> None:
        for running in self._running.values():
            await running.close()
            self._addresses.release(running.address)
        self._running.clear()
        for _ in range(_LAST_TURNS):  # transports say goodbye in the loop's next turns
            await asyncio.sleep(0)


@dataclass(slots=True)
class _Instance:
    """One registered instance: its health, and the task that asks for it."""

    state: HealthState
    checking: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Connection:
    """One connection under way and the instance it is on."""

    instance_id: str = ""
    task: asyncio.Task[None] | None = None
    last_byte: float = 0.0

    def cut(self) -> None:
        """End it now."""
        if self.task is not None:
            self.task.cancel()


@dataclass(slots=True)
class _Listening:
    """One open front port."""

    server: asyncio.Server

    @property
    def port(self) -> int:
        """The port it really has."""
        return int(self.server.sockets[0].getsockname()[1])


@dataclass(slots=True)
class _LoadBalancer:
    """One load balancer; lives on the loop, and is only read from other threads."""

    address: str
    report: Report
    second: float
    settings: BalancerSettings | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    listening: dict[int, _Listening] = field(default_factory=dict)
    instances: dict[str, _Instance] = field(default_factory=dict)
    connections: set[_Connection] = field(default_factory=set)
    turn: int = 0
    unreachable: str = ""
    """Why the last connection reached no instance; empty after one that did."""

    # -- read from other threads ---------------------------------------------------
    def endpoint(self, port: int) -> tuple[str, int] | None:
        found = self.listening.get(port)
        return (self.address, found.port) if found else None

    def health(self) -> tuple[InstanceHealth, ...]:
        return tuple(instance.state.view() for instance in list(self.instances.values()))

    def is_drained(self, instance_id: str) -> bool:
        if instance_id in self.instances:
            return False
        return not any(connection.instance_id == instance_id for connection in list(self.connections))

    # -- following the API ---------------------------------------------------------
    async def apply(self, settings: BalancerSettings, targets: Mapping[str, Target]) -> None:
        before, self.settings, self.targets = self.settings, settings, targets
        if settings != before:
            self.unreachable = ""
        for fault in settings.faults:
            if before is None or fault not in before.faults:
                self.report(f"load balancer {settings.name}: {fault}")
        await self._follow_listeners(settings)
        self._follow_instances(settings)

    async def _follow_listeners(self, settings: BalancerSettings) -> None:
        wanted = {listener.load_balancer_port for listener in settings.listeners}
        for port in set(self.listening) - wanted:
            self.listening.pop(port).server.close()
        for port in wanted - set(self.listening):
            self.listening[port] = await self._listen(port)

    async def _listen(self, port: int) -> _Listening:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._accept(port, reader, writer)

        for candidate in (port, port + _UNPRIVILEGED_OFFSET):
            with contextlib.suppress(OSError, OverflowError):
                return _Listening(await asyncio.start_server(accept, self.address, candidate, limit=_CHUNK_BYTES))
        return _Listening(await asyncio.start_server(accept, self.address, 0, limit=_CHUNK_BYTES))

    def _follow_instances(self, settings: BalancerSettings) -> None:
        for instance_id in set(self.instances) - set(settings.instance_ids):
            checking = self.instances.pop(instance_id).checking
            if checking is not None:
                checking.cancel()
            for connection in self.connections:
                if connection.instance_id == instance_id:
                    self._end_after_draining(connection, settings.draining_timeout * self.second)
        for instance_id in settings.instance_ids:
            if instance_id not in self.instances:
                instance = self.instances[instance_id] = _Instance(HealthState(instance_id))
                instance.checking = asyncio.create_task(self._keep_checking(instance_id, instance.state))

    def _end_after_draining(self, connection: _Connection, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, connection.cut)

    async def _keep_checking(self, instance_id: str, state: HealthState) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asked_at = loop.time()
            check = self.settings.health_check if self.settings else None
            if check is None:
                await asyncio.sleep(self.second)
                continue
            state.record(passed=await self._is_healthy(instance_id, check), check=check)
            await asyncio.sleep(max(0.0, asked_at + check.interval * self.second - loop.time()))

    async def _is_healthy(self, instance_id: str, check: HealthCheckSettings) -> bool:
        target = self.targets.get(instance_id)
        if target is None or check.port not in target.ports:
            return False
        # A short test second must not make a busy machine look like a slow service.
        return await passes(check, Probe(target.address, self.address, max(check.timeout * self.second, 1.0)))

    # -- one connection ------------------------------------------------------------
    def _accept(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listeners = self.settings.listeners if self.settings else ()
        listener = next((one for one in listeners if one.load_balancer_port == port), None)
        if listener is None:
            writer.close()
            return
        connection = _Connection()
        self.connections.add(connection)
        connection.task = asyncio.create_task(self._carry(connection, listener, (reader, writer)))
        connection.task.add_done_callback(lambda _task: self.connections.discard(connection))

    async def _carry(self, connection: _Connection, listener: ListenerSettings, front: _Stream) -> None:
        """Carry one connection from its acceptance to its end; see the module for its walk."""
        streams = [front]
        try:
            back = await self._reach_instance(connection, listener)
            if back is not None:
                streams.append(back)
                if listener.sends_proxy_header:
                    back[1].write(_proxy_header(front[1]))
                await self._pass_bytes(connection, front, back)
        except asyncio.CancelledError:
            for _, writer in streams:
                writer.transport.abort()
            raise
        finally:
            for _, writer in streams:
                writer.close()

    async def _reach_instance(self, connection: _Connection, listener: ListenerSettings) -> _Stream | None:
        """Connect to the next instance in service; one that refuses passes its turn on, as ELB retries."""
        in_service = [key for key, instance in self.instances.items() if instance.state.view().is_in_service]
        self.turn += 1
        for offset in range(len(in_service)):
            instance_id = in_service[(self.turn + offset) % len(in_service)]
            target = self.targets.get(instance_id)
            if target is None or listener.instance_port not in target.ports:
                continue
            connection.instance_id = instance_id
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    back = await asyncio.open_connection(
                        target.address, listener.instance_port, local_addr=(self.address, 0), limit=_CHUNK_BYTES
                    )
            except (OSError, TimeoutError):
                connection.instance_id = ""
            else:
                self.unreachable = ""
                return back
        self._say_unreachable(listener, in_service)
        return None

    def _say_unreachable(self, listener: ListenerSettings, in_service: Sequence[str]) -> None:
        """Say why a connection is closed unserved, once until one is served or something changes."""
        why = "no registered instance is in service: see its health check"
        if in_service:
            why = f"no instance in service takes connections on instance port {listener.instance_port}"
        if why != self.unreachable and self.settings is not None:
            self.unreachable = why
            port = listener.load_balancer_port
            self.report(f"load balancer {self.settings.name}: connections to port {port} are closed: {why}")

    async def _pass_bytes(self, connection: _Connection, front: _Stream, back: _Stream) -> None:
        """Pass both ways until both ended; the idle timeout counts from the last byte of either."""
        loop = asyncio.get_running_loop()
        connection.last_byte = loop.time()

        async def passing(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(_CHUNK_BYTES):
                connection.last_byte = loop.time()
                sink.write(data)
                await sink.drain()
            sink.write_eof()

        async def watching() -> None:
            idle = (self.settings.idle_timeout if self.settings else 0.0) * self.second
            left = idle
            while left > 0:
                await asyncio.sleep(left)
                left = connection.last_byte + idle - loop.time()

        async def passing_both_ways() -> None:
            await asyncio.gather(passing(front[0], back[1]), passing(back[0], front[1]))

        ends = [asyncio.create_task(passing_both_ways()), asyncio.create_task(watching())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            # What broke a direction (a reset, mostly) ends the connection and is nobody's error.
            await asyncio.gather(*ends, return_exceptions=True)

    # -- the end ------------------------------------------------------------------
    async def close(self) -> None:
        for listening in self.listening.values():
            listening.server.close()
        self.listening.clear()
        tasks = [instance.checking for instance in self.instances.values() if instance.checking]
        tasks += [connection.task for connection in self.connections if connection.task]
        self.instances.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _proxy_header(front: asyncio.StreamWriter) -> bytes:
    """Say who connected to which of our ports, PROXY protocol version 1 ("The PROXY protocol", section 2.1)."""
    peer, ours = front.get_extra_info("peername"), front.get_extra_info("sockname")
    return f"PROXY TCP4 {peer[0]} {ours[0]} {peer[1]} {ours[1]}\r\n".encode()
