"""
What CloudFormation may do for an environment: one policy for each part of it, and what it may never do.

Every action is there because a resource type's handlers demand it (the
`handlers` of CloudFormation's resource schemas; a test compares). What has a
name is granted by the environment's prefix, what AWS draws an id for by the
tag that CloudFormation puts on it, and only what bears no resource at all on
`*`. Changing what one's own fences are made of is denied whatever else allows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Final, get_args

from awacs import (
    application_autoscaling as applicationautoscaling,
)
from awacs import (
    autoscaling,
    backup,
    cloudtrail,
    cloudwatch,
    dynamodb,
    ec2,
    ecr,
    ecs,
    elasticloadbalancing,
    events,
    iam,
    kms,
    logs,
    route53,
    s3,
    sns,
    ssm,
)
from awacs.aws import (
    Action,
    ArnLike,
    Bool,
    ConditionElement,
    ForAnyValueStringEquals,
    StringEquals,
    StringLike,
    StringNotEquals,
)

from stacks import naming
from stacks.environment import Environment
from stacks.permissions import PolicyDocument, Statement, allow, arn, policy, through, withhold

SERVICE_LINKED_ROLES: Final = (
    "ecs.amazonaws.com",
    "autoscaling.amazonaws.com",
    "elasticloadbalancing.amazonaws.com",
    "ecs.application-autoscaling.amazonaws.com",
)
"""The services that act by a role of their own here; a new account lacks them (ECS guide, service-linked roles)."""
_LOG_DELIVERY: Final = "delivery.logs.amazonaws.com"
_PASSED: Final[Mapping[naming.RoleKind, str]] = {
    "task": "ecs-tasks.amazonaws.com",
    "execution": "ecs-tasks.amazonaws.com",
    "instance": "ec2.amazonaws.com",
    "backup": "backup.amazonaws.com",
}
"""Which service a role is handed to; the others are handed to none."""
_BY_BOOTSTRAP: Final = frozenset({"deploy", "cloudformation"})
_STACK_TAG: Final = "aws:ResourceTag/aws:cloudformation:stack-name"
_TAGGED_WHEN_MADE: Final = (
    *("AllocateAddress", "CreateFlowLogs", "CreateInternetGateway", "CreateLaunchTemplate", "CreateNatGateway"),
    *("CreateRouteTable", "CreateSecurityGroup", "CreateSubnet", "CreateVpc", "CreateVpcEndpoint", "RunInstances"),
)
_EC2_KINDS: Final = (
    *("elastic-ip", "internet-gateway", "natgateway", "route-table", "security-group", "security-group-rule"),
    *("subnet", "vpc", "vpc-endpoint", "vpc-flow-log"),
)


def documents(environment: Environment) -> dict[str, PolicyDocument]:
    """Give the policies of CloudFormation's role by their logical ids; IAM lets each have 6,144 characters."""
    return {
        "ExecutionNetwork": policy(*_network(environment)),
        "ExecutionCapacity": policy(*_capacity(environment)),
        "ExecutionIngress": policy(*_ingress(environment)),
        "ExecutionStores": policy(*_stores(environment), *_keys(environment)),
        "ExecutionObservability": policy(*_observability(environment), *_audit(environment)),
        "ExecutionIdentity": policy(*_identity(environment)),
        "ExecutionDenials": policy(*denials(environment)),
    }


def made_roles(environment: Environment) -> list[str]:
    """Give the ARNs of the roles that stacks make; those of the bootstrap stack are not among them."""
    return [naming.role_arn(environment, kind) for kind in _made(environment)]


def _made(environment: Environment) -> list[naming.RoleKind]:
    absent = _BY_BOOTSTRAP if environment.registry.backup_days is not None else {*_BY_BOOTSTRAP, "backup"}
    return [kind for kind in get_args(naming.RoleKind) if kind not in absent]


def own_stacks(environment: Environment) -> ConditionElement:
    """Say that a resource bears the tag that CloudFormation puts on what a stack of ours made."""
    return StringLike({_STACK_TAG: naming.stack_name(environment, "*")})


def denials(environment: Environment) -> tuple[Statement, ...]:
    """Say what CloudFormation never does here, whatever else allows it."""
    return (
        withhold(
            "NeverTouchObjects",
            [Action("s3", f"{verb}Object*") for verb in ("Get", "Put", "Delete", "Restore", "Replicate")],
            f"{_bucket(environment, naming.certificate_bucket(environment))}/*",
        ),
        # By alias: the key's id is AWS's to draw. The two say the same from two sides, should the alias be moved.
        withhold(
            "NeverUseTheCertificateKey",
            _of(kms, "Decrypt Encrypt ReEncryptFrom ReEncryptTo GenerateDataKey GenerateDataKeyWithoutPlaintext"),
            "*",
            when=[ForAnyValueStringEquals({"kms:ResourceAliases": naming.key_alias(environment, "certificate_store")})],
        ),
        withhold(
            "NeverDecryptButForTheTable",
            _of(kms, "Decrypt ReEncryptFrom GenerateDataKey GenerateDataKeyPair"),
            "*",
            when=[StringNotEquals({"kms:ViaService": _through(environment)})],
        ),
        withhold("NeverTakeOffABoundary", [iam.DeleteRolePermissionsBoundary], "*"),
        withhold(
            "NeverBoundOtherwise",
            _of(iam, "CreateRole PutRolePermissionsBoundary"),
            "*",
            when=[StringNotEquals({"iam:PermissionsBoundary": naming.boundary_arn(environment)})],
        ),
        withhold("NeverChangeOwnFences", [Action("iam", f"{verb}*") for verb in _IAM_WRITES], _fences(environment)),
        withhold(
            "NeverChangeWhoIsTrusted", [Action("iam", f"*{kind}Provider*") for kind in ("OpenIDConnect", "SAML")], "*"
        ),
    )


_IAM_WRITES: Final = (
    *("Add", "Attach", "Create", "Delete", "Detach", "Pass", "Put", "Remove", "Set", "Tag", "Untag", "Update"),
)


def _fences(environment: Environment) -> list[str]:
    return [
        *(naming.role_arn(environment, kind) for kind in ("deploy", "cloudformation")),
        naming.boundary_arn(environment),
        naming.deployer_boundary_arn(environment),
        _policy(environment, naming.stack_name(environment, "bootstrap") + "-*"),
    ]


# -- network, capacity, ingress ------------------------------------------------------


def _network(environment: Environment) -> tuple[Statement, ...]:
    things = [arn(environment, "ec2", f"{kind}/*") for kind in _EC2_KINDS]
    return (
        allow(
            "LookAround",
            _of(
                ec2,
                "DescribeAccountAttributes DescribeAddresses DescribeAvailabilityZones DescribeFlowLogs DescribeImages "
                "DescribeInstances DescribeInstanceTypeOfferings DescribeInstanceTypes DescribeInternetGateways "
                "DescribeLaunchTemplateVersions DescribeLaunchTemplates DescribeNatGateways DescribeNetworkAcls "
                "DescribeNetworkInterfaces DescribePrefixLists DescribeRouteTables DescribeSecurityGroupRules "
                "DescribeSecurityGroups DescribeSubnets DescribeTags DescribeVpcAttribute DescribeVpcEndpoints "
                "DescribeVpcEndpointServices DescribeVpcs DescribeVpnGateways GetLaunchTemplateData",
            ),
            "*",
        ),
        allow(
            "Make",
            _of(
                ec2,
                "AllocateAddress CreateFlowLogs CreateInternetGateway CreateNatGateway CreateRouteTable "
                "CreateSecurityGroup CreateSubnet CreateVpc CreateVpcEndpoint",
            ),
            things,
        ),
        allow(
            "ChangeOurOwn",
            _of(
                ec2,
                "AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress "
                "CreateRoute CreateTags DeleteFlowLogs DeleteInternetGateway DeleteNatGateway DeleteRoute "
                "DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpoints "
                "DetachInternetGateway DisassociateRouteTable ModifySubnetAttribute ModifyVpcAttribute "
                "ModifyVpcEndpoint ReleaseAddress ReplaceRoute ReplaceRouteTableAssociation "
                "RevokeSecurityGroupEgress RevokeSecurityGroupIngress UpdateSecurityGroupRuleDescriptionsEgress "
                "UpdateSecurityGroupRuleDescriptionsIngress",
            ),
            things,
            when=[own_stacks(environment)],
        ),
        allow(
            "TagWhatIsMade",
            [ec2.CreateTags],
            [*things, *(arn(environment, "ec2", f"{kind}/*") for kind in ("instance", "launch-template", "volume"))],
            when=[StringEquals({"ec2:CreateAction": list(_TAGGED_WHEN_MADE)})],
        ),
        allow("DeliverFlowLogs", _of(logs, "CreateLogDelivery DeleteLogDelivery"), "*"),
    )


def _capacity(environment: Environment) -> tuple[Statement, ...]:
    stack = naming.stack_name(environment, "capacity")
    cluster = f"cluster/{stack}-*"
    instances = ("instance", "network-interface", "security-group", "subnet", "volume", "launch-template")
    return (
        allow(
            "LookAtGroups",
            _of(
                autoscaling,
                "DescribeAutoScalingGroups DescribeAutoScalingInstances DescribeInstanceRefreshes "
                "DescribeLifecycleHooks DescribeLoadBalancerTargetGroups DescribeLoadBalancers "
                "DescribeNotificationConfigurations DescribePolicies DescribeScalingActivities "
                "DescribeScheduledActions DescribeTags DescribeTrafficSources DescribeWarmPool",
            ),
            "*",
        ),
        allow(
            "KeepGroup",
            _of(
                autoscaling,
                "CancelInstanceRefresh CreateAutoScalingGroup CreateOrUpdateTags DeleteAutoScalingGroup "
                "DeleteLifecycleHook DeleteNotificationConfiguration DeleteTags DisableMetricsCollection "
                "EnableMetricsCollection PutLifecycleHook PutNotificationConfiguration ResumeProcesses "
                "StartInstanceRefresh SuspendProcesses UpdateAutoScalingGroup",
            ),
            arn(environment, "autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{stack}-*"),
        ),
        # A template's tags are its own: CloudFormation puts none on it (its resource schema, tagging).
        allow(
            "KeepLaunchTemplate",
            _of(ec2, "CreateLaunchTemplate CreateLaunchTemplateVersion DeleteLaunchTemplate"),
            arn(environment, "ec2", "launch-template/*"),
        ),
        # The group's maker must be able to start what it starts (Auto Scaling guide, launch template support).
        allow(
            "StartByLaunchTemplate",
            [ec2.RunInstances],
            [
                *(arn(environment, "ec2", f"{kind}/*") for kind in instances),
                f"arn:{environment.partition}:ec2:{environment.region}::image/*",
            ],
            when=[ArnLike({"ec2:LaunchTemplate": arn(environment, "ec2", "launch-template/*")})],
        ),
        allow(
            "FindImage",
            [ssm.GetParameters],
            f"arn:{environment.partition}:ssm:{environment.region}::parameter/aws/service/ecs/optimized-ami/*",
        ),
        allow(
            "KeepCluster",
            _of(
                ecs,
                "CreateCluster CreateService DeleteCapacityProvider DeleteCluster DeleteService "
                "DescribeCapacityProviders DescribeClusters DescribeServiceDeployments DescribeServices "
                "ListServiceDeployments ListTagsForResource PutClusterCapacityProviders StopServiceDeployment "
                "TagResource UntagResource UpdateCapacityProvider UpdateCluster UpdateClusterSettings UpdateService",
            ),
            [
                arn(environment, "ecs", cluster),
                arn(environment, "ecs", f"capacity-provider/{stack}-*"),
                *(arn(environment, "ecs", f"{kind}/{stack}-*/*") for kind in ("service", "service-deployment")),
                arn(environment, "ecs", f"task-definition/{naming.service_name(environment)}:*"),
            ],
        ),
        # None of these bears a resource (ECS actions table).
        allow(
            "KeepTaskDefinition",
            _of(
                ecs,
                "CreateCapacityProvider DeregisterTaskDefinition DescribeTaskDefinition RegisterTaskDefinition",
            ),
            "*",
        ),
    )


def _ingress(environment: Environment) -> tuple[Statement, ...]:
    balancer = arn(environment, "elasticloadbalancing", "loadbalancer/*")
    target = arn(environment, "application-autoscaling", "scalable-target/*")
    ecs_alone = StringEquals({"application-autoscaling:service-namespace": "ecs"})
    statements = [
        allow(
            "LookAtLoadBalancers",
            _of(
                elasticloadbalancing,
                "DescribeInstanceHealth DescribeLoadBalancerAttributes DescribeLoadBalancerPolicies "
                "DescribeLoadBalancers DescribeTags",
            ),
            "*",
        ),
        allow("MakeLoadBalancer", [elasticloadbalancing.CreateLoadBalancer], balancer),
        allow(
            "KeepOurLoadBalancer",
            _of(
                elasticloadbalancing,
                "AddTags ApplySecurityGroupsToLoadBalancer AttachLoadBalancerToSubnets ConfigureHealthCheck "
                "CreateLoadBalancerListeners CreateLoadBalancerPolicy DeleteLoadBalancer DeleteLoadBalancerListeners "
                "DeleteLoadBalancerPolicy DetachLoadBalancerFromSubnets ModifyLoadBalancerAttributes RemoveTags "
                "SetLoadBalancerPoliciesForBackendServer SetLoadBalancerPoliciesOfListener",
            ),
            balancer,
            when=[own_stacks(environment)],
        ),
        allow("TagLoadBalancer", [elasticloadbalancing.AddTags], balancer, when=[_made_by("CreateLoadBalancer")]),
        allow(
            "LookAtScaling",
            _of(
                applicationautoscaling,
                "DescribeScalableTargets DescribeScalingPolicies DescribeScheduledActions",
            ),
            "*",
        ),
        allow(
            "ScaleTasks",
            _of(
                applicationautoscaling,
                "DeleteScalingPolicy DeregisterScalableTarget PutScalingPolicy RegisterScalableTarget",
            ),
            target,
            when=[ecs_alone],
        ),
        allow("TagScaling", _of(applicationautoscaling, "ListTagsForResource TagResource UntagResource"), target),
    ]
    zone = environment.ingress.hosted_zone_id
    if zone is not None:
        here = f"arn:{environment.partition}:route53:::"
        statements += [
            allow("FindZone", [route53.ListHostedZones], "*"),
            allow(
                "KeepName",
                _of(route53, "ChangeResourceRecordSets GetHostedZone ListResourceRecordSets"),
                f"{here}hostedzone/{zone}",
            ),
            allow("WaitForName", [route53.GetChange], f"{here}change/*"),
        ]
    return tuple(statements)


def _made_by(action: str) -> ConditionElement:
    return StringEquals({"elasticloadbalancing:CreateAction": action})


# -- what holds state --------------------------------------------------------------------


def _stores(environment: Environment) -> tuple[Statement, ...]:
    buckets = [_bucket(environment, name) for name in _bucket_names(environment)]
    table = naming.client_registry_table(environment)
    return (
        allow(
            "KeepBuckets",
            _of(
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
            _of(
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
            _of(
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
    return (
        allow(
            "KeepBackups",
            _of(
                backup,
                "CreateBackupPlan CreateBackupSelection CreateBackupVault DeleteBackupPlan DeleteBackupSelection "
                "DeleteBackupVault DeleteBackupVaultAccessPolicy DeleteBackupVaultLockConfiguration "
                "DeleteBackupVaultNotifications DescribeBackupVault GetBackupPlan GetBackupSelection "
                "GetBackupVaultAccessPolicy GetBackupVaultNotifications ListTags PutBackupVaultAccessPolicy "
                "PutBackupVaultLockConfiguration PutBackupVaultNotifications TagResource UntagResource "
                "UpdateBackupPlan",
            ),
            [
                arn(environment, "backup", "backup-plan:*"),
                arn(environment, "backup", f"backup-vault:{naming.stack_name(environment, '*')}"),
            ],
        ),
        # MountCapsule, and Mount, which CloudFormation's schema of a vault demands and no reference of actions has.
        allow("MountBackups", [Action("backup-storage", "Mount*")], "*"),
    )


def _keys(environment: Environment) -> tuple[Statement, ...]:
    """Grant the keeping of keys: a key has an id of AWS's, so ours are those that bear the tag of our stacks."""
    keys = arn(environment, "kms", "key/*")
    tag, value = naming.STACK_TAG, naming.stack_tags(environment)[naming.STACK_TAG]
    ours = StringEquals({f"aws:ResourceTag/{tag}": value})
    tagged = StringEquals({f"aws:RequestTag/{tag}": value})
    return (
        allow("MakeKeys", [kms.CreateKey, kms.TagResource], "*", when=[tagged]),
        allow(
            "KeepKeys",
            _of(
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
            _of(kms, "CreateAlias DeleteAlias UpdateAlias"),
            arn(environment, "kms", naming.key_alias(environment, "*")),
        ),
        allow("FindKeys", [kms.ListAliases], "*"),
        allow(
            "HandKeysToServices",
            _of(kms, "CreateGrant RevokeGrant"),
            keys,
            when=[ours, Bool({"kms:GrantIsForAWSResource": True})],
        ),
        # A request to retire does not say whose the grant is (KMS actions table).
        allow("TakeKeysBack", [kms.RetireGrant], keys, when=[ours]),
        allow(
            "OpenTheTable",
            _of(kms, "Decrypt Encrypt GenerateDataKey"),
            keys,
            when=[ours, StringEquals({"kms:ViaService": _through(environment)})],
        ),
    )


# -- what watches --------------------------------------------------------------------------


def _observability(environment: Environment) -> tuple[Statement, ...]:
    prefix = naming.stack_name(environment, "*")
    groups = f"log-group:/{environment.project}/{environment.name}/*"
    return (
        allow(
            "KeepAlarms",
            _of(
                cloudwatch,
                "DeleteAlarms DescribeAlarms ListTagsForResource PutCompositeAlarm PutMetricAlarm TagResource "
                "UntagResource",
            ),
            # Target tracking makes alarms of this name for its caller (Application Auto Scaling guide).
            [arn(environment, "cloudwatch", f"alarm:{name}") for name in (prefix, "TargetTracking-service/*")],
        ),
        allow("LookAtAlarms", _of(cloudwatch, "DescribeAlarms GetMetricData"), "*"),
        allow(
            "KeepDashboard",
            _of(
                cloudwatch,
                "DeleteDashboards GetDashboard ListTagsForResource PutDashboard TagResource UntagResource",
            ),
            f"arn:{environment.partition}:cloudwatch::{environment.account}:dashboard/{prefix}",
        ),
        allow(
            "KeepLogs",
            _of(
                logs,
                "AssociateKmsKey CreateLogGroup DeleteLogGroup DeleteRetentionPolicy DisassociateKmsKey "
                "ListTagsForResource PutRetentionPolicy TagResource UntagResource",
            ),
            [arn(environment, "logs", group) for group in (groups, f"{groups}:*")],
        ),
        # The first two look, the others bear no resource (CloudWatch Logs actions table).
        allow(
            "KeepQueries",
            _of(
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
            _of(
                events,
                "DeleteRule DescribeRule ListTagsForResource ListTargetsByRule PutRule PutTargets RemoveTargets "
                "TagResource UntagResource",
            ),
            arn(environment, "events", f"rule/{prefix}"),
        ),
        allow(
            "KeepTopic",
            _of(
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


def _audit(environment: Environment) -> tuple[Statement, ...]:
    if environment.audit_trail is None:
        return ()
    return (
        allow(
            "KeepTrail",
            [
                *_of(
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


# -- who acts --------------------------------------------------------------------------


def _identity(environment: Environment) -> tuple[Statement, ...]:
    roles = made_roles(environment)
    policies = _policy(environment, naming.stack_name(environment, "*"))
    profiles = _global(environment, f"instance-profile{naming.role_path(environment)}", "identity")
    of_aws = [
        f"arn:{environment.partition}:iam::aws:policy/{name}"
        for name in ("AmazonSSMManagedInstanceCore", "service-role/AWSBackupServiceRolePolicyForBackup")
    ]
    bounded = StringEquals({"iam:PermissionsBoundary": naming.boundary_arn(environment)})
    linked = f"arn:{environment.partition}:iam::{environment.account}:role/aws-service-role/*"
    return (
        allow("MakeBoundedRoles", _of(iam, "CreateRole PutRolePermissionsBoundary"), roles, when=[bounded]),
        allow(
            "GrantToBoundedRoles",
            _of(iam, "AttachRolePolicy DetachRolePolicy"),
            roles,
            when=[bounded, ArnLike({"iam:PolicyARN": [policies, *of_aws]})],
        ),
        allow(
            "KeepRoles",
            _of(
                iam,
                "DeleteRole GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies TagRole UntagRole "
                "UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
            ),
            roles,
        ),
        allow(
            "KeepPolicies",
            _of(
                iam,
                "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion "
                "ListEntitiesForPolicy ListPolicyVersions",
            ),
            policies,
        ),
        allow(
            "KeepInstanceProfiles",
            _of(
                iam,
                "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
                "RemoveRoleFromInstanceProfile",
            ),
            profiles,
        ),
        *_passing(environment),
        allow(
            "MakeServiceLinkedRoles",
            [iam.CreateServiceLinkedRole],
            linked,
            when=[StringEquals({"iam:AWSServiceName": [*SERVICE_LINKED_ROLES, _LOG_DELIVERY]})],
        ),
    )


def _passing(environment: Environment) -> tuple[Statement, ...]:
    """Hand each role to its own service alone."""
    return tuple(
        allow(
            f"Pass{kind.capitalize()}Role",
            [iam.PassRole],
            naming.role_arn(environment, kind),
            when=[StringEquals({"iam:PassedToService": service})],
        )
        for kind, service in _PASSED.items()
        if kind in _made(environment)
    )


# -- words ---------------------------------------------------------------------------------


def _of(service: ModuleType, names: str) -> list[Action]:
    """Take actions of a service of awacs; a misspelt one is an AttributeError."""
    return [getattr(service, name) for name in names.split()]


def _bucket_names(environment: Environment) -> list[str]:
    names = [naming.certificate_bucket(environment), naming.log_bucket(environment)]
    return names if environment.audit_trail is None else [*names, naming.trail_bucket(environment)]


def _bucket(environment: Environment, name: str) -> str:
    return f"arn:{environment.partition}:s3:::{name}"


def _policy(environment: Environment, name: str) -> str:
    return f"arn:{environment.partition}:iam::{environment.account}:policy{naming.role_path(environment)}{name}"


def _global(environment: Environment, kind: str, stack: str) -> str:
    return f"arn:{environment.partition}:iam::{environment.account}:{kind}{naming.stack_name(environment, stack)}-*"


def _through(environment: Environment) -> str | list[str]:
    """Name the services through which a key is used while a stack is made: an encrypted table, a vault."""
    services = ["dynamodb"] if environment.registry.backup_days is None else ["dynamodb", "backup"]
    return through(environment, *services)
