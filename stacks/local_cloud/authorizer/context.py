"""
The condition keys of a request: the one place where they are made.

What the deployed topology says is taken from there: the principal's own keys
by the evaluation, the endpoint by the route tables. What loopback HTTP cannot
say is so by definition: TLS, in its version 1.3. A test says otherwise in the
header `X-Local-Cloud-Context`, as JSON: keys and their values, null for a key
that shall be absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from werkzeug.wrappers import Request

from stacks.access.matching import ContextValue
from stacks.local_cloud.authorizer.callers import Caller
from stacks.local_cloud.authorizer.ways import Way

OVERRIDE_HEADER: Final = "X-Local-Cloud-Context"
SOURCE_ENDPOINT: Final = "aws:sourcevpce"

Context = dict[str, ContextValue]
"""Condition keys by their names in lower case."""


def request_context(request: Request, caller: Caller, way: Way, *, region: str) -> Context:
    """Gather the keys that requests of every service have (IAM guide, "AWS global condition context keys")."""
    now = datetime.now(UTC)
    context: Context = {
        "aws:securetransport": "true",
        "aws:viaawsservice": "false",
        "aws:requestedregion": region,
        "aws:currenttime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:useragent": request.headers.get("User-Agent", ""),
    }
    address = request.remote_addr or "127.0.0.1"
    if way.endpoint_id:
        context |= {SOURCE_ENDPOINT: way.endpoint_id, "aws:sourcevpc": way.vpc_id, "aws:vpcsourceip": address}
    else:
        context["aws:sourceip"] = address
    if caller.user_id:
        context["aws:userid"] = caller.user_id
    if caller.is_session:
        # Temporary credentials always tell, long-lived ones never (IAM guide, aws:MultiFactorAuthPresent).
        context["aws:multifactorauthpresent"] = "false"
    return context


def overridden(context: Context, overrides: Mapping[str, ContextValue | None]) -> Context:
    """Lay what a test says over what is."""
    merged: Mapping[str, ContextValue | None] = {**context, **overrides}
    return {name: value for name, value in merged.items() if value is not None}


def overrides_of(request: Request) -> dict[str, ContextValue | None]:
    """Read what a test says."""
    given = json.loads(request.headers.get(OVERRIDE_HEADER, "{}"))
    return {name.lower(): tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def on_behalf(context: Context) -> Context:
    """
    Give the keys of the call that a service makes on behalf of a caller.

    It comes from the service: the network the caller was in is not known there
    (IAM guide, "Forward access sessions").
    """
    network = {SOURCE_ENDPOINT, "aws:sourcevpc", "aws:vpcsourceip", "aws:sourceip"}
    kept = {name: value for name, value in context.items() if name not in network and name.startswith("aws:")}
    return kept | {"aws:viaawsservice": "true"}
