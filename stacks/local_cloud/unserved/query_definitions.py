"""Saved queries of CloudWatch Logs Insights: kept and described."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from stacks.local_cloud.forwarding import Forward
from stacks.local_cloud.unserved.answers import Document, JsonCalls, RefusedCallError

_KEPT: Final = ("queryLanguage", "name", "queryString", "logGroupNames", "parameters")
_GONE: Final = "ResourceNotFoundException"


class QueryDefinitions:
    """The saved queries of one account and region."""

    def __init__(self) -> None:
        self._queries: dict[str, Document] = {}

    def stand_in(self) -> JsonCalls:
        """Give what stands before moto's CloudWatch Logs."""
        calls = {
            "PutQueryDefinition": self._put,
            "DescribeQueryDefinitions": self._describe,
            "DeleteQueryDefinition": self._delete,
        }
        return JsonCalls("logs", calls)

    def _put(self, asked: Document, _forward: Forward) -> Document:
        """Make one, or write the one with the given id anew and whole."""
        identity = asked.get("queryDefinitionId") or str(uuid4())
        if "queryDefinitionId" in asked:
            self._refuse_unknown(identity)
        self._queries[identity] = {field: asked[field] for field in _KEPT if field in asked}
        return {"queryDefinitionId": identity}

    def _describe(self, asked: Document, _forward: Forward) -> Document:
        prefix = asked.get("queryDefinitionNamePrefix", "")
        found = {identity: query for identity, query in self._queries.items() if query["name"].startswith(prefix)}
        return {"queryDefinitions": [{**query, "queryDefinitionId": identity} for identity, query in found.items()]}

    def _delete(self, asked: Document, _forward: Forward) -> Document:
        identity = asked["queryDefinitionId"]
        self._refuse_unknown(identity)
        del self._queries[identity]
        return {"success": True}

    def _refuse_unknown(self, identity: str) -> None:
        if identity not in self._queries:
            raise RefusedCallError(_GONE, f"The query definition {identity} does not exist.")
