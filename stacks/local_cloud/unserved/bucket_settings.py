"""Settings of a bucket that moto takes and forgets: what CloudWatch counts, and that EventBridge hears of objects."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any, Final

from moto.s3.models import s3_backends
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.forwarding import Forward
from stacks.local_cloud.unserved.answers import is_well

_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_ROOT: Final = f'<{{}} xmlns="{_NAMESPACE}">{{}}</{{}}>'


class BucketSettings:
    """Stands before moto's S3."""

    service = "s3"

    def __init__(self, account: str, partition: str) -> None:
        self._place = (account, partition)
        self._metrics: dict[str, dict[str, str]] = {}
        """By bucket and id, the configuration as the caller wrote it, without its outer element."""

    def handle(self, request: Request, forward: Forward) -> Response:
        """Answer for metrics; complete what moto tells of notifications."""
        bucket = request.path.strip("/")
        if "metrics" in request.args:
            return self._answer_metrics(request, bucket)
        response = forward()
        if request.method == "GET" and "notification" in request.args and is_well(response):
            self._tell_event_bridge(bucket, response)
        if request.method == "DELETE" and bucket in self._metrics and not request.args:
            self._metrics.pop(bucket)
        return response

    # -- request metrics -----------------------------------------------------------
    def _answer_metrics(self, request: Request, bucket: str) -> Response:
        if bucket not in self._backend().buckets:
            return _refused("NoSuchBucket", "The specified bucket does not exist")
        kept, identity = self._metrics.setdefault(bucket, {}), request.args.get("id")
        if request.method == "PUT":
            kept[str(identity)] = _inner(request.get_data())
            return Response(status=200)
        if identity is None:
            listed = "".join(_element("MetricsConfiguration", inner) for inner in kept.values())
            return _answered("ListMetricsConfigurationsResult", f"<IsTruncated>false</IsTruncated>{listed}")
        if identity not in kept:
            return _refused("NoSuchConfiguration", "The specified configuration does not exist.")
        if request.method == "DELETE":
            del kept[identity]
            return Response(status=204)
        return _answered("MetricsConfiguration", kept[identity])

    # -- EventBridge -----------------------------------------------------------------
    def _tell_event_bridge(self, bucket: str, response: Response) -> None:
        given = self._backend().get_bucket(bucket).notification_configuration
        if given is None or given.event_bridge is None:
            return
        inner = _inner(response.get_data()) if response.get_data() else ""
        whole = _ROOT.format(
            "NotificationConfiguration", f"{inner}<EventBridgeConfiguration/>", "NotificationConfiguration"
        )
        response.set_data(whole.encode())

    def _backend(self) -> Any:
        account, partition = self._place
        return s3_backends[account][partition]


def _inner(document: bytes) -> str:
    """Give what is in a document's outer element, its namespace taken off."""
    root = ET.fromstring(document)  # noqa: S314 - boto3's or moto's own, within this process
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return "".join(ET.tostring(child, encoding="unicode") for child in root)


def _element(name: str, inner: str) -> str:
    return f"<{name}>{inner}</{name}>"


def _answered(name: str, inner: str) -> Response:
    return Response(_ROOT.format(name, inner, name), status=200, content_type="application/xml")


def _refused(code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(body, status=404, content_type="application/xml")
