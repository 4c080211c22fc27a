"""A finding names the file that has to be opened, where a stack is built by several."""

from __future__ import annotations

import pytest

from stacks.rules.builders import built_by
from stacks.rules.finding import Finding
from tests.stacks.environments import NAMES, ROOT, catalog


@pytest.mark.parametrize(
    ("stack", "logical_id", "module"),
    [
        ("ingress", "LoadBalancer", "ingress"),
        ("bootstrap", "ExecutionStores", "execution_grants"),
        ("bootstrap", "DeployStacks", "deploy_grants"),
        ("bootstrap", "PermissionsBoundary", "bootstrap"),
        ("client_registry", "ClientRegistry", "client_registry"),
        ("capacity", "Cluster", "capacity"),
        ("network", "PrivateSubnetA", "network"),
        ("observability", "AlarmTopicPolicy", "alarm_topic"),
        ("observability", "ConnectionsSpilled", "watches"),
        ("observability", "IngressDown", "alarms"),
        ("observability", "ServiceLogs", "observability"),
        ("dashboard", "RefusalsByReason", "saved_queries"),
    ],
)
def test_a_resource_is_built_where_its_id_is_written(stack: str, logical_id: str, module: str) -> None:
    assert built_by(stack, logical_id) == f"stacks/templates/{module}.py"


def test_what_somebody_added_by_hand_is_the_stacks_own() -> None:
    assert built_by("observability", "Added") == "stacks/templates/observability.py"
    assert built_by("observability", "") == "stacks/templates/observability.py"


def test_a_finding_names_a_file_that_there_is() -> None:
    for name in NAMES:
        for entry in catalog(name).every:
            for logical_id in entry.template["Resources"]:
                module = Finding(entry.name, logical_id, "", "E1", "").module
                assert (ROOT / module).is_file()


def test_a_finding_about_no_stack_names_no_file() -> None:
    assert Finding("", "", "", "E1", "none").module == ""
