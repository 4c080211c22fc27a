"""
The wire of the engine: the AWS query protocol, parsed and written by moto's own parser and serializer.

Both work from botocore's model of CloudFormation, so whatever boto3 sends is
understood and whatever we answer is what boto3 reads; there is no XML of ours.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import botocore.loaders
from moto.core.model import ServiceModel
from moto.core.parse import QueryParser
from moto.core.serialize import QuerySerializer, SerializationContext
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.engine.engine import Engine
from stacks.local_cloud.engine.errors import CloudFormationError, UnsupportedError

_MAX_BODY_BYTES = 4 * 1024 * 1024  # a template of 1 MB, the most AWS takes, may be three times that form-encoded
_SERVER_ERROR = 500


class Wire:
    """Translates between HTTP and the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        description = botocore.loaders.create_loader().load_service_model("cloudformation", "service-2")
        self._model = ServiceModel(description, "cloudformation")

    def handle(self, request: Request) -> Response:
        """Answer one request; what is refused comes back as the error AWS would send."""
        request.max_form_memory_size = _MAX_BODY_BYTES
        name = request.form.get("Action", "")
        known = name in self._model.operation_names
        operation: Any = self._model.operation_model(name if known else "DescribeStacks")
        serializer = QuerySerializer(operation, SerializationContext(str(uuid4())))
        try:
            if not known:
                raise UnsupportedError(f"Could not find operation {name} for version 2010-05-15")
            parsed = QueryParser(operation).parse({"values": request.form})
            written = serializer.serialize(self._engine.answer(name, parsed))
        except CloudFormationError as error:
            written = serializer.serialize(error)
        return Response(written["body"], status=written["status_code"], headers=written["headers"])
