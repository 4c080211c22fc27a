"""What moto does not serve: calls it has no code for, answered from what they were given."""

from __future__ import annotations

from stacks.local_cloud.engine.expressions import partition_of
from stacks.local_cloud.unserved.answers import JsonCalls
from stacks.local_cloud.unserved.backup_plans import BackupPlans
from stacks.local_cloud.unserved.bucket_settings import BucketSettings
from stacks.local_cloud.unserved.composite_alarms import CompositeAlarms
from stacks.local_cloud.unserved.flow_logs import FlowLogs
from stacks.local_cloud.unserved.identity_providers import IdentityProviders
from stacks.local_cloud.unserved.query_definitions import QueryDefinitions
from stacks.local_cloud.unserved.service_linked_roles import ServiceLinkedRoles

Completion = BackupPlans | BucketSettings | FlowLogs | IdentityProviders | JsonCalls | ServiceLinkedRoles


def completions(region: str, account: str) -> list[Completion]:
    """Give the stand-ins, which hold nothing yet."""
    partition = partition_of(region)
    return [
        BackupPlans(region, account),
        BucketSettings(account, partition),
        CompositeAlarms(region, account, partition).stand_in(),
        FlowLogs(region, account),
        IdentityProviders(account, partition),
        ServiceLinkedRoles(),
        QueryDefinitions().stand_in(),
    ]
