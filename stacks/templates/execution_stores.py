"""What CloudFormation may do to what holds state, to keys, and to what watches."""

from __future__ import annotations

from awacs import backup, cloudtrail, cloudwatch, dynamodb, ecr, events, kms, logs, s3, sns
from awacs.aws import Action, Bool, Null, StringEquals

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import Statement, allow, arn
from stacks.templates.execution_words import bucket, of, through_services


def stores(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of buckets, table and repository; what is in them is not CloudFormation's."""
    buckets = [bucket(environment, name) for name in _bucket_names(environment)]
    table = naming.client_registry_table(environment)
    return (
        allow(
            "KeepBuckets",
            of(
                s3,
                "CreateBucket DeleteBucket DeleteBucketPolicy GetAccelerateConfiguration GetAnalyticsConfiguration "
                "GetBucketAcl GetBucketCORS GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration "
                "GetBucketOwnershipControls GetBucketPolicy GetBucketPublicAccessBlock GetBucketTagging "
                "GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration "
                "GetIntelligentTieringConfiguration GetInventoryConfiguration GetLifecycleConfiguration "
                "GetMetricsConfiguration GetReplicationConfiguration ListBucket ListTagsForResource PutBucketLogging "
                "PutBucketNotification PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock "
                "PutBucketTagging PutBucketVersioning PutEncryptionConfiguration PutLifecycleConfiguration "
                "TagResource UntagResource",
            ),
            buckets,
        ),
        allow(
            "KeepRegistry",
            of(
                dynamodb,
                "CreateTable DeleteResourcePolicy DeleteTable DescribeContinuousBackups DescribeContributorInsights "
                "DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive GetResourcePolicy "
                "ListTagsOfResource PutResourcePolicy TagResource UntagResource UpdateContinuousBackups "
                "UpdateContributorInsights UpdateTable UpdateTimeToLive",
            ),
            arn(environment, "dynamodb", f"table/{table}"),
        ),
        allow(
            "KeepRepository",
            of(
                ecr,
                "CreateRepository DeleteLifecyclePolicy DeleteRepository DeleteRepositoryPolicy DescribeRepositories "
                "GetLifecyclePolicy GetRepositoryPolicy ListTagsForResource PutImageScanningConfiguration "
                "PutImageTagMutability PutLifecyclePolicy SetRepositoryPolicy TagResource UntagResource",
            ),
            arn(environment, "ecr", f"repository/{naming.repository(environment)}"),
        ),
        *(_backups(environment) if environment.registry.backup_days is not None else ()),
    )


def _backups(environment: Environment) -> tuple[Statement, ...]:
    plans = arn(environment, "backup", "backup-plan:*")
    vaults = arn(environment, "backup", f"backup-vault:{naming.stack_name(environment, '*')}")
    return (
        allow(
            "KeepBackupPlans",
            of(
                backup,
                "CreateBackupPlan CreateBackupSelection DeleteBackupPlan DeleteBackupSelection GetBackupPlan "
                "GetBackupSelection ListTags TagResource UntagResource UpdateBackupPlan",
            ),
            plans,
        ),
        allow(
            "KeepBackupVaults",
            of(
                backup,
                "CreateBackupVault DeleteBackupVault DeleteBackupVaultAccessPolicy DeleteBackupVaultLockConfiguration "
                "DeleteBackupVaultNotifications DescribeBackupVault GetBackupVaultAccessPolicy "
                "GetBackupVaultNotifications ListTags PutBackupVaultAccessPolicy PutBackupVaultLockConfiguration "
                "PutBackupVaultNotifications TagResource UntagResource",
            ),
            vaults,
        ),
        allow("MountBackups", [Action("backup-storage", "MountCapsule")], "*"),
    )


def keys(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of keys: a key has an id of AWS's, so ours are those that bear the tag of our stacks."""
    keys = arn(environment, "kms", "key/*")
    tag, value = naming.STACK_TAG, naming.stack_tags(environment)[naming.STACK_TAG]
    ours = StringEquals({f"aws:ResourceTag/{tag}": value})
    tagged = StringEquals({f"aws:RequestTag/{tag}": value})
    return (
        allow("MakeKeys", [kms.CreateKey], "*", when=[tagged]),
        # A key that is being made has no alias yet. Without that, whoever deploys could put our tag on any key of the
        # account, and it would be ours to change (KMS guide, ABAC for KMS: who may tag controls who may use).
        allow("TagKeysThatAreMade", [kms.TagResource], "*", when=[tagged, Null({"kms:ResourceAliases": True})]),
        allow(
            "KeepKeys",
            of(
                kms,
                "CreateAlias DeleteAlias DescribeKey DisableKey DisableKeyRotation EnableKey EnableKeyRotation "
                "GetKeyPolicy GetKeyRotationStatus ListResourceTags PutKeyPolicy ScheduleKeyDeletion TagResource "
                "UntagResource UpdateAlias UpdateKeyDescription",
            ),
            keys,
            when=[ours],
        ),
        allow(
            "NameKeys",
            of(kms, "CreateAlias DeleteAlias UpdateAlias"),
            arn(environment, "kms", naming.key_alias(environment, "*")),
        ),
        allow("FindKeys", [kms.ListAliases], "*"),
        allow(
            "HandKeysToServices",
            of(kms, "CreateGrant RevokeGrant"),
            keys,
            when=[ours, Bool({"kms:GrantIsForAWSResource": True})],
        ),
        # A request to retire does not say whose the grant is (KMS actions table).
        allow("TakeKeysBack", [kms.RetireGrant], keys, when=[ours]),
        allow(
            "OpenTheTable",
            of(kms, "Decrypt Encrypt GenerateDataKey"),
            keys,
            when=[ours, StringEquals({"kms:ViaService": through_services(environment)})],
        ),
    )


def observability(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of what watches: alarms, logs, rules and the topic."""
    prefix = naming.stack_name(environment, "*")
    groups = f"log-group:/{environment.project}/{environment.name}/*"
    return (
        allow(
            "KeepAlarms",
            of(
                cloudwatch,
                "DeleteAlarms DescribeAlarms ListTagsForResource PutCompositeAlarm PutMetricAlarm TagResource "
                "UntagResource",
            ),
            # Target tracking makes alarms of this name for its caller, with the cluster's behind the slash
            # (Application Auto Scaling guide).
            [
                arn(environment, "cloudwatch", f"alarm:{name}")
                for name in (prefix, f"TargetTracking-service/{naming.stack_name(environment, 'capacity')}-*")
            ],
        ),
        allow("LookAtAlarms", of(cloudwatch, "DescribeAlarms GetMetricData"), "*"),
        allow(
            "KeepDashboard",
            of(
                cloudwatch,
                "DeleteDashboards GetDashboard ListTagsForResource PutDashboard TagResource UntagResource",
            ),
            f"arn:{environment.partition}:cloudwatch::{environment.account}:dashboard/{prefix}",
        ),
        allow(
            "KeepLogs",
            of(
                logs,
                "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey "
                "ListTagsForResource PutRetentionPolicy TagResource UntagResource",
            ),
            [arn(environment, "logs", group) for group in (groups, f"{groups}:*")],
        ),
        # The first two look, the others bear no resource (CloudWatch Logs actions table).
        allow(
            "KeepQueries",
            of(
                logs,
                "DescribeLogGroups DescribeResourcePolicies DeleteQueryDefinition DescribeQueryDefinitions "
                "PutQueryDefinition",
            ),
            "*",
        ),
        allow(
            "LookAtLogSettings",
            [logs.GetDataProtectionPolicy],
            [arn(environment, "logs", group) for group in (groups, f"{groups}:*")],
        ),
        allow(
            "KeepRules",
            of(
                events,
                "DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule PutTargets RemoveTargets "
                "TagResource UntagResource",
            ),
            arn(environment, "events", f"rule/{prefix}"),
        ),
        allow(
            "KeepTopic",
            of(
                sns,
                "CreateTopic DeleteTopic GetDataProtectionPolicy GetSubscriptionAttributes GetTopicAttributes "
                "ListSubscriptionsByTopic ListTagsForResource SetSubscriptionAttributes SetTopicAttributes Subscribe "
                "TagResource UntagResource",
            ),
            [arn(environment, "sns", name) for name in (prefix, f"{prefix}:*")],
        ),
        allow("EndSubscription", [sns.Unsubscribe], "*"),
        # It bears no resource (CloudWatch Logs actions table), and on one it would never be allowed.
        allow("LookAtIndexes", [Action("logs", "DescribeIndexPolicies")], "*"),
    )


def audit(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of the audit trail, where there is one."""
    if environment.audit_trail is None:
        return ()
    return (
        allow(
            "KeepTrail",
            [
                *of(
                    cloudtrail,
                    "AddTags CreateTrail DeleteTrail GetEventSelectors GetInsightSelectors GetTrail GetTrailStatus "
                    "ListTags PutEventSelectors PutInsightSelectors RemoveTags StartLogging StopLogging UpdateTrail",
                ),
                *(Action("cloudtrail", verb) for verb in ("GetEventConfiguration", "PutEventConfiguration")),
            ],
            arn(environment, "cloudtrail", f"trail/{naming.stack_name(environment, '*')}"),
        ),
        allow("FindTrail", [cloudtrail.DescribeTrails], "*"),
    )


def _bucket_names(environment: Environment) -> list[str]:
    names = [naming.certificate_bucket(environment), naming.log_bucket(environment)]
    return names if environment.audit_trail is None else [*names, naming.trail_bucket(environment)]
