"""
What stands before moto's ELB API, and before those whose changes the data plane wants to hear of at once.

moto calls every registered instance healthy; here the balancer's own health
checks answer.
"""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Final
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from stacks.local_cloud.ledger import InstanceHealth, Ledger

Forward = Callable[[], Response]

_OK: Final = 200
_ELB_NAMESPACE: Final = "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/"


class WatchStandIn:
    """Changes nothing; wakes the data plane when a call may have changed what shall run."""

    def __init__(self, service: str, ledger: Ledger) -> None:
        self.service = service
        self._ledger = ledger

    def handle(self, request: Request, forward: Forward) -> Response:
        """Forward, and wake the data plane unless the call only reads."""
        response = forward()
        if not request.form.get("Action", "").startswith(("Describe", "Get", "List")):
            self._ledger.changed.set()
        return response


class BalancerStandIn(WatchStandIn):
    """
    Answers DescribeInstanceHealth from the health checks of the running balancer.

    One call at a time, and a deleted load balancer is refused by name: moto
    fails with a server error where ELB says LoadBalancerNotFound.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__("elasticloadbalancing", ledger)
        self._lock = threading.Lock()
        self._deleted: set[str] = set()

    def handle(self, request: Request, forward: Forward) -> Response:
        """Forward; what moto says of an instance's state is replaced by what the balancer found."""
        action, name = request.form.get("Action", ""), request.form.get("LoadBalancerName", "")
        with self._lock:
            if name in self._deleted and action.startswith("Describe"):
                return _no_such_load_balancer(name)
            response = super().handle(request, forward)
            if action == "DeleteLoadBalancer":
                self._deleted.add(name)
            elif action == "CreateLoadBalancer":
                self._deleted.discard(name)
        if action == "DescribeInstanceHealth" and response.status_code == _OK:
            found = self._ledger.health_of(name) or ()
            response.set_data(_overlay_health(response.get_data(), {one.instance_id: one for one in found}))
        return response


def _no_such_load_balancer(name: str) -> Response:
    message = f"There is no ACTIVE Load Balancer named '{name}'"
    error = f"<Error><Type>Sender</Type><Code>LoadBalancerNotFound</Code><Message>{escape(message)}</Message></Error>"
    body = f'<ErrorResponse xmlns="{_ELB_NAMESPACE}">{error}</ErrorResponse>'
    return Response(body, status=400, content_type="text/xml")


def _overlay_health(body: bytes, health: Mapping[str, InstanceHealth]) -> bytes:
    """Replace state, reason and description of every instance in moto's XML, each instance once."""
    root = ET.fromstring(body)  # noqa: S314 - moto's own answer, made in this process
    namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    ET.register_namespace("", _ELB_NAMESPACE)
    for states in root.iter(f"{namespace}InstanceStates"):
        seen: set[str] = set()
        for member in list(states):
            instance_id = member.findtext(f"{namespace}InstanceId", "")
            if instance_id in seen:
                states.remove(member)
            seen.add(instance_id)
            found = health.get(instance_id) or _just_registered(instance_id)
            texts = {"State": found.state, "ReasonCode": found.reason_code, "Description": found.description}
            if member.findtext(f"{namespace}State") != "Unknown":
                for name, text in texts.items():
                    element = member.find(f"{namespace}{name}")
                    if element is not None:
                        element.text = text
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _just_registered(instance_id: str) -> InstanceHealth:
    return InstanceHealth(instance_id, "OutOfService", "ELB", "Instance registration is still in progress.")
