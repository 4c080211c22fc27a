"""AWS Backup: what a plan selects, and plans that change; moto keeps plans and vaults alone."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from uuid import uuid4

from moto.backup.models import backup_backends
from werkzeug.wrappers import Request, Response

from stacks.local_cloud.forwarding import Forward
from stacks.local_cloud.unserved.answers import Document, RefusedCallError, answered, is_well, refusal

_PLAN: Final = re.compile(r"^/backup/plans/(?P<plan>[^/]+)/?$")
_SELECTION: Final = re.compile(r"^/backup/plans/(?P<plan>[^/]+)/selections/?(?P<selection>[^/]*)$")
_GONE, _IN_USE = "ResourceNotFoundException", "InvalidRequestException"


class BackupPlans:
    """
    Stands before moto's AWS Backup.

    Selections are kept here; a plan is changed in moto's own object, so that
    moto tells it, and a deleted one is forgotten, so that its name is free.
    """

    service = "backup"

    def __init__(self, region: str, account: str) -> None:
        self._place = (account, region)
        self._selections: dict[str, dict[str, Document]] = {}

    def handle(self, request: Request, forward: Forward) -> Response:
        """Answer for selections and changed plans; else moto answers."""
        try:
            if match := _SELECTION.match(request.path):
                return self._selection(request, match["plan"], match["selection"])
            if (match := _PLAN.match(request.path)) and request.method in {"POST", "DELETE"}:
                change = self._update if request.method == "POST" else self._delete
                return change(request, forward, match["plan"])
        except RefusedCallError as refused:
            return refusal(refused)
        return forward()

    # -- selections --------------------------------------------------------------
    def _selection(self, request: Request, plan: str, selection: str) -> Response:
        self._plan(plan)
        selections = self._selections.setdefault(plan, {})
        match request.method, selection:
            case "PUT", "":
                made, given = str(uuid4()), json.loads(request.get_data())["BackupSelection"]
                selections[made] = given
                return answered({"SelectionId": made, "BackupPlanId": plan})
            case "GET", "":
                listed = [
                    {"SelectionId": made, "BackupPlanId": plan, "SelectionName": given["SelectionName"]}
                    for made, given in selections.items()
                ]
                return answered({"BackupSelectionsList": listed})
        if selection not in selections:
            raise RefusedCallError(_GONE, f"Cannot find Backup selection with ID {selection}")
        if request.method == "DELETE":
            del selections[selection]
            return answered({})
        return answered({"BackupSelection": selections[selection], "SelectionId": selection, "BackupPlanId": plan})

    # -- plans -------------------------------------------------------------------
    def _update(self, request: Request, _forward: Forward, identity: str) -> Response:
        plan, given = self._plan(identity), json.loads(request.get_data())["BackupPlan"]
        # A plan of moto's own making fills in what the rules do not say, and bears a new version.
        made = type(plan)(given, plan.creator_request_id, self._backend())
        plan.backup_plan, plan.advanced_backup_settings = made.backup_plan, made.advanced_backup_settings
        plan.version_id = made.version_id
        return answered({"BackupPlanId": identity, "BackupPlanArn": plan.backup_plan_arn, "VersionId": plan.version_id})

    def _delete(self, _request: Request, forward: Forward, identity: str) -> Response:
        if self._selections.get(identity):
            raise RefusedCallError(
                _IN_USE, "Related backup plan selections must be deleted prior to backup plan deletion"
            )
        response = forward()
        if is_well(response):
            self._backend().plans.pop(identity, None)
        return response

    def _plan(self, identity: str) -> Any:
        if identity not in self._backend().plans:
            raise RefusedCallError(_GONE, "Failed reading Backup plan with provided version")
        return self._backend().plans[identity]

    def _backend(self) -> Any:
        account, region = self._place
        return backup_backends[account][region]
