"""Flow logs into a folder of a bucket, with options; moto takes the folder for a bucket and loses the options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from moto.ec2.models import ec2_backends
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.forwarding import Forward
from stacks.local_cloud.unserved.answers import is_well

_FLAGS: Final = ("HiveCompatiblePartitions", "PerHourPartition")
_MADE: Final = re.compile(rb"fl-[0-9a-f]+")


class FlowLogs:
    """Stands before moto's EC2: moto is told of the bucket alone, and tells afterwards what was given."""

    service = "ec2"

    def __init__(self, region: str, account: str) -> None:
        self._place = (account, region)

    def handle(self, request: Request, forward: Forward) -> Response:
        """Let moto make the flow log, and write into its object what it lost."""
        form = request.form
        if form.get("Action") != "CreateFlowLogs":
            return forward()
        destination = form.get("LogDestination", "")
        if self._is_there(form, destination):
            return _already_exists()
        asked = form.to_dict() | ({"LogDestination": destination.partition("/")[0]} if destination else {})
        response = forward(urlencode(asked).encode())
        if is_well(response):
            for identity in _MADE.findall(response.get_data()):
                made = self._flow_logs()[identity.decode()]
                made.log_destination = destination or None
                made.destination_options = _options(form)
        return response

    def _is_there(self, form: Mapping[str, str], destination: str) -> bool:
        bearers = {value for name, value in form.items() if name.startswith("ResourceId.")}
        return any(
            made.log_destination == destination and made.resource_id in bearers
            for made in self._flow_logs().values()
            if destination
        )

    def _flow_logs(self) -> dict[str, Any]:
        account, region = self._place
        flow_logs: dict[str, Any] = ec2_backends[account][region].flow_logs
        return flow_logs


def _options(form: Mapping[str, str]) -> dict[str, Any] | None:
    given: dict[str, Any] = {
        name.rpartition(".")[2]: value for name, value in form.items() if name.startswith("DestinationOptions.")
    }
    return {name: value == "true" if name in _FLAGS else value for name, value in given.items()} or None


def _already_exists() -> Response:
    message = "There is an existing Flow Log with the same configuration and log destination."
    error = f"<Error><Code>FlowLogAlreadyExists</Code><Message>{message}</Message></Error>"
    return Response(f"<Response><Errors>{error}</Errors></Response>", status=400, content_type="text/xml")
