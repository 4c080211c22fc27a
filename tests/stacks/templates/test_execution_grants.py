"""
CloudFormation's role can make, change, read and remove every resource of every template, and escape by none.

What a type needs is said by CloudFormation itself: `handlers` of its resource
schema. Each permission named there is asked of IAM, with the role's policies,
for the resource as it stands in the templates; one that is not granted stands
in `UNUSED` with the reason.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from stacks import naming
from stacks.access.evaluation import evaluate
from stacks.access.request import Decision, Principal, Request
from stacks.catalog import assemble
from stacks.environment import Environment
from stacks.rules.book import find_faults
from stacks.rules.estate import Estate, Resource
from stacks.rules.identities import Place
from stacks.rules.principals import roles, stack_roles
from stacks.rules.values import listed
from tests.stacks.environments import changed, environment

UNUSED: Mapping[str, str] = {
    # -- what handlers can do and our templates do not ask for --
    "application-autoscaling:*ScheduledAction": "no scheduled actions",
    "autoscaling:*LoadBalancer*": "the group is attached to no load balancer (A5)",
    "autoscaling:*TrafficSources": "nor to another source of traffic",
    "backup-storage:Mount": "no action of IAM's (Service Authorization Reference), but MountCapsule is",
    "dynamodb:*Item": "no replica and no import; what is in the table is not CloudFormation's",
    "dynamodb:*Kinesis*": "no stream",
    "dynamodb:*Replica": "one region",
    "dynamodb:*mport*": "no import",
    "dynamodb:Query": "as the items",
    "dynamodb:Scan": "as the items",
    "ec2:*Vpn*": "no VPN",
    "ec2:AcceptAddressTransfer": "no address of another account",
    "ec2:*NatGatewayAddress": "each gateway has the one address it was made with",
    "ec2:AssociateAddress": "an address belongs to a NAT gateway, which takes it when it is made",
    "ec2:DisassociateAddress": "as above",
    "ec2:*SubnetCidrBlock": "no IPv6",
    "ec2:*VpcEncryptionControl*": "not asked for",
    "ec2:ModifyVpcTenancy": "default tenancy",
    "ecs:PutAccountSetting*": "a setting of the account, not of a cluster",
    "elasticloadbalancing:*CookieStickiness*": "TCP has no cookies",
    "elasticloadbalancing:*AvailabilityZonesForLoadBalancer": "subnets, not zones",
    "elasticloadbalancing:*InstancesWithLoadBalancer": "ECS registers instances, by its own role",
    "elasticloadbalancing:*InstancesFromLoadBalancer": "as above",
    "elasticloadbalancing:SetLoadBalancerListenerSSLCertificate": "the load balancer has no certificate",
    "firehose:*": "no delivery stream",
    "iam:*GroupPolicy": "policies are for roles",
    "iam:*UserPolicy": "policies are for roles",
    "iam:DeleteRolePermissionsBoundary": "never: a role without its boundary is what the boundary is against",
    "iam:DeleteRolePolicy": "no inline policies (IAM_NO_INLINE_POLICY)",
    "iam:PutRolePolicy": "no inline policies",
    "kinesis:*": "no stream",
    "lambda:*": "no function",
    "logs:*BearerToken*": "no tokens for logs",
    "logs:*DataProtectionPolicy": "no data protection policy",
    "logs:*IndexPolicy": "no field index",
    "logs:*ResourcePolicy": "no policy of the account's logs",
    "logs:PutLogGroupDeletionProtection": "not asked for",
    "managed-fleets:*": "a group, no fleet",
    "organizations:*": "the trail is the account's",
    "s3:*Abac": "tags decide nothing in S3 here",
    "s3:*Accelerate*": "no acceleration",
    "s3:*Acl": "BucketOwnerEnforced: there are none",
    "s3:*Analytics*": "no analytics",
    "s3:*CORS": "no browser",
    "s3:*Cors": "no browser",
    "s3:*IntelligentTiering*": "no tiering",
    "s3:*Inventory*": "no inventory",
    "s3:*MetadataTable*": "no table of metadata",
    "s3:*BucketMetadata*": "no table of metadata",
    "s3:*Metrics*": "no request metrics",
    "s3:*ObjectLock*": "no Object Lock (K20)",
    "s3:*Replication*": "no copy in another region (S3.7)",
    "s3:*Website": "no web site",
    "s3:DeleteBucketEncryption": "encryption is never taken off",
    "s3:DeleteBucketLifecycle": "nor the lifecycle",
    "s3:GetObject*": "never: objects are not CloudFormation's",
    "s3:DeleteObject": "never",
    "s3:REST.PUT.OBJECT": "no action of IAM's",
    "s3tables:*": "no table bucket",
    "sns:PutDataProtectionPolicy": "no data protection policy",
    "vpc-lattice:*": "no Lattice",
    "vpce:*": "no endpoint of another region",
}
ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    # -- what handlers of these types ask for and theirs do not use --
    "ec2:CreateSecurityGroup": ("AWS::ElasticLoadBalancing::LoadBalancer",),
    "iam:GetRole": ("AWS::SNS::", "AWS::CloudTrail::Trail"),
    "iam:CreateServiceLinkedRole": ("AWS::DynamoDB::Table", "AWS::CloudTrail::Trail", "AWS::Backup::"),
    "iam:PassRole": (
        *("AWS::SNS::", "AWS::CloudTrail::Trail", "AWS::Events::Rule", "AWS::S3::Bucket", "AWS::EC2::FlowLog"),
        *("AWS::Backup::BackupPlan", "AWS::ECS::CapacityProvider", "AWS::ECS::Service"),
        "AWS::ApplicationAutoScaling::",
    ),
    "logs:": ("AWS::DynamoDB::Table",),
    "s3:": ("AWS::DynamoDB::Table",),
    "kms:DescribeKey": ("AWS::ECS::Cluster",),
    "ec2:DeleteTags": ("AWS::EC2::LaunchTemplate",),
}
"""A role, a group or a log that the type could be given, and that ours are not."""
_LINKED: Mapping[str, str] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "ecs.application-autoscaling.amazonaws.com",
    "AWS::AutoScaling::AutoScalingGroup": "autoscaling.amazonaws.com",
    "AWS::ECS::CapacityProvider": "ecs.amazonaws.com",
    "AWS::ECS::Cluster": "ecs.amazonaws.com",
    "AWS::EC2::FlowLog": "delivery.logs.amazonaws.com",
}
"""Which service's own role a type wants."""
_EC2_KINDS: Mapping[str, str] = {
    "EIP": "elastic-ip",
    "InternetGateway": "internet-gateway",
    "LaunchTemplate": "launch-template",
    "NatGateway": "natgateway",
    "RouteTable": "route-table",
    "SecurityGroup": "security-group",
    "Subnet": "subnet",
    "VPC": "vpc",
    "VPCEndpoint": "vpc-endpoint",
    "FlowLog": "vpc-flow-log",
}
_ARNS: Mapping[str, str] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "application-autoscaling:scalable-target/0a1b2c3d",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "application-autoscaling:scalable-target/0a1b2c3d",
    "AWS::Backup::BackupPlan": "backup:backup-plan:0a1b2c3d",
    "AWS::Backup::BackupSelection": "backup:backup-plan:0a1b2c3d",
    "AWS::CloudWatch::Dashboard": "arn:{partition}:cloudwatch::{account}:dashboard/{Ref}",
    "AWS::ECS::ClusterCapacityProviderAssociations": "ecs:cluster/{Cluster}",
    "AWS::ECS::Service": "ecs:service/{Cluster}/{ServiceName}",
    "AWS::ElasticLoadBalancing::LoadBalancer": "elasticloadbalancing:loadbalancer/{Ref}",
    "AWS::KMS::Alias": "kms:{AliasName}",
    "AWS::Logs::LogGroup": "logs:log-group:{LogGroupName}",
    "AWS::Logs::MetricFilter": "logs:log-group:{LogGroupName}",
    "AWS::Route53::RecordSet": "arn:{partition}:route53:::hostedzone/{HostedZoneId}",
    "AWS::S3::BucketPolicy": "arn:{partition}:s3:::{Bucket}",
    "AWS::SNS::Subscription": "{TopicArn}",
    "AWS::SNS::TopicPolicy": "{Topics}",
}
"""What is asked for of a type whose ARN the templates do not tell, or that belongs to another thing."""
_ON_ANYTHING = "*"
_ON_ROLES = frozenset({"iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:GetRole", "iam:PassRole"})


@dataclass(frozen=True)
class Form:
    """An environment's templates, and CloudFormation's role in them."""

    environment: Environment
    estate: Estate
    role: Principal

    @classmethod
    def of(cls, found: Environment) -> Form:
        """Render an environment."""
        bodies = {entry.name: entry.template for entry in assemble(found).every}
        estate = Estate(bodies, Place.of(found))
        (role,) = stack_roles(estate)
        return cls(found, estate, role.principal)

    def ask(self, action: str, arn: str, context: Mapping[str, str]) -> Decision:
        """Ask IAM as CloudFormation's role."""
        asked = {"aws:RequestedRegion": self.environment.region, **context}
        return evaluate(Request(self.role, action, arn, self.environment.account, asked))


@cache
def form(name: str) -> Form:
    if name != "everything":
        return Form.of(environment(name))
    return Form.of(
        changed(
            ("\n[alarms]\n", "\n[registry]\nbackup_days = 35\n\n[alarms]\n"),
            ("\n[ingress]\n", '\n[ingress]\nhosted_zone_id = "Z0123456789ABC"\n'),
        )
    )


FORMS = ("production", "everything")


def test_what_only_some_environments_have_keeps_every_rule() -> None:
    """A backup, an alias in a hosted zone: no environment of the tree has them."""
    everything = form("everything").environment

    assert find_faults({entry.name: entry.template for entry in assemble(everything).every}, everything) == []


def _resources(found: Form) -> Iterator[Resource]:
    """Give one resource of each type and stack: those of one type in one stack differ in nothing that IAM sees."""
    seen = set()
    for resource in found.estate.resources:
        kind = (resource.stack, resource.type)
        if resource.stack != "bootstrap" and kind not in seen:
            seen.add(kind)
            yield resource


def _permissions(resource_type: str) -> set[str]:
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource_type).schema.get("handlers", {})
    return {
        permission[:1].lower() + permission[1:].replace("loudTrail", "loudtrail")
        for verb in ("create", "read", "update", "delete")
        for permission in handlers.get(verb, {}).get("permissions", [])
    }


def _is_unused(resource_type: str, permission: str) -> bool:
    if any(fnmatch.fnmatchcase(permission, pattern) for pattern in UNUSED):
        return True
    return any(
        permission.startswith(beginning) and resource_type.startswith(types) for beginning, types in ELSEWHERE.items()
    )


def _own_arn(found: Form, resource: Resource) -> str:
    place, (_, service, kind) = found.estate.place, resource.type.split("::")
    if service == "EC2" and kind in _EC2_KINDS:
        return place.arn("ec2", f"{_EC2_KINDS[kind]}/{found.estate.ref(resource)}")
    if resource.type not in _ARNS:
        return found.estate.arn(resource)
    names = {"Ref": found.estate.ref(resource), "partition": place.partition, "account": place.account}
    asked = re.findall(r"{(\w+)}", _ARNS[resource.type])
    properties = {name: str(next(iter(listed(resource.get(name))), "")) for name in asked if name not in names}
    text = _ARNS[resource.type].format(**names, **properties)
    return text if text.startswith("arn:") else place.arn(*text.split(":", 1))


def _mentioned(found: Form, value: object) -> Iterator[str]:
    """Give the ARNs of what a resource refers to in its properties, however deep."""
    target = found.estate.target(value)
    if target is not None:
        yield _own_arn(found, target)
    elif isinstance(value, str) and value.startswith("arn:"):
        yield value.partition("/")[0] if ":s3:" in value else value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _mentioned(found, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mentioned(found, inner)


def _arns(found: Form, resource: Resource, permission: str) -> list[str]:
    """Give what a permission is asked for: the resource itself, or those of the permission's service it refers to."""
    place, service = found.estate.place, permission.partition(":")[0]
    own = _own_arn(found, resource)
    fixed = {
        "iam:CreateServiceLinkedRole": place.global_arn("iam", "role/aws-service-role/service/Role"),
        "ec2:RunInstances": place.arn("ec2", "instance/*"),
        "ec2:CreateTags": place.arn("ec2", "vpc/vpc-1"),
        "cloudwatch:PutMetricAlarm": place.arn(
            "cloudwatch", f"alarm:TargetTracking-service/{place.prefix}-capacity-Cluster-x/y-AlarmHigh-1"
        ),
        "cloudwatch:DeleteAlarms": place.arn(
            "cloudwatch", f"alarm:TargetTracking-service/{place.prefix}-capacity-Cluster-x/y-AlarmHigh-1"
        ),
        "route53:GetChange": f"arn:{place.partition}:route53:::change/C1",
    }
    if permission in fixed and (own.split(":")[2] != service or permission == "route53:GetChange"):
        return [fixed[permission]]
    if ":role/" in own or (own.split(":")[2] == service and permission not in _ON_ROLES):
        return [own]
    mentioned = list(_mentioned(found, found.estate.properties(resource)))
    if permission in _ON_ROLES:
        return [arn for arn in mentioned if ":role/" in arn] or _roles_of_profiles(found, resource)
    return [arn for arn in mentioned if arn.split(":")[2] == service] or [_ON_ANYTHING]


def _roles_of_profiles(found: Form, resource: Resource) -> list[str]:
    """The group passes the role in its launch template's instance profile."""
    profiles = found.estate.of_type("AWS::IAM::InstanceProfile")
    return [role_arn(found, each) for each in profiles] if resource.type == "AWS::AutoScaling::AutoScalingGroup" else []


def role_arn(found: Form, profile: Resource) -> str:
    (role,) = profile.targets("Roles")
    return found.estate.arn(role)


def _context(found: Form, resource: Resource, permission: str, arn: str) -> dict[str, str]:
    """Gather the condition keys AWS would send."""
    place, service = found.estate.place, permission.partition(":")[0]
    context = {f"aws:RequestTag/{naming.STACK_TAG}": place.prefix, **_tags(found, resource, arn)}
    through = "backup" if resource.type.startswith("AWS::Backup::") else "dynamodb"
    by_service = {
        "iam": _of_roles(found, resource),
        "kms": {"kms:ViaService": f"{through}.{place.region}.amazonaws.com", "kms:GrantIsForAWSResource": "true"},
        "application-autoscaling": {"application-autoscaling:service-namespace": "ecs"},
    }
    return context | by_service.get(service, {}) | _of_action(found, resource, permission, arn)


def _tags(found: Form, resource: Resource, arn: str) -> dict[str, str]:
    """Give the tags of what is asked for, as far as CloudFormation sets them on its type."""
    asked = next((each for each in found.estate.resources if _is_arn(found, each, arn)), resource)
    tagging = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", asked.type).schema.get("tagging", {})
    tags = {}
    if tagging.get("cloudFormationSystemTags"):
        tags["aws:ResourceTag/aws:cloudformation:stack-name"] = found.estate.place.stack_name(asked.stack)
    if tagging.get("taggable"):
        tags[f"aws:ResourceTag/{naming.STACK_TAG}"] = found.estate.place.prefix
    return tags


def _of_roles(found: Form, resource: Resource) -> dict[str, str]:
    attached = next(iter(resource.texts("ManagedPolicyArns")), "")
    ours = _own_arn(found, found.estate.of_type("AWS::IAM::ManagedPolicy")[-1])
    return {"iam:PermissionsBoundary": naming.boundary_arn(found.environment), "iam:PolicyARN": attached or ours}


def _of_action(found: Form, resource: Resource, permission: str, arn: str) -> dict[str, str]:
    match permission:
        case "iam:PassRole":
            return {"iam:PassedToService": next(role.services[0] for role in roles(found.estate) if role.arn == arn)}
        case "iam:CreateServiceLinkedRole":
            return {"iam:AWSServiceName": _LINKED[resource.type]}
        case "ec2:CreateTags":
            makes = next(each for each in sorted(_permissions(resource.type)) if _makes(each))
            return {"ec2:CreateAction": makes.partition(":")[2]}
        case "ec2:RunInstances":
            return {"ec2:LaunchTemplate": found.estate.place.arn("ec2", "launch-template/lt-1")}
        case _:
            return {}


def _is_arn(found: Form, resource: Resource, arn: str) -> bool:
    return resource.stack != "bootstrap" and resource.type in _TAGGED and _own_arn(found, resource) == arn


_TAGGED = (*(f"AWS::EC2::{kind}" for kind in _EC2_KINDS), "AWS::KMS::Key")


def _makes(permission: str) -> bool:
    return permission.startswith(("ec2:Create", "ec2:Allocate", "ec2:Run")) and permission != "ec2:CreateTags"


def _refusals(found: Form) -> Iterator[str]:
    for resource in _resources(found):
        for permission in sorted(_permissions(resource.type)):
            if _is_unused(resource.type, permission) or permission.endswith("*"):
                continue
            for arn in _arns(found, resource, permission) or [f"nothing to ask {permission} for"]:
                decision = found.ask(permission, arn, _context(found, resource, permission, arn))
                if not decision.is_allowed:
                    yield f"{resource.name} ({resource.type}): {permission} on {arn}: {decision}"


@pytest.mark.parametrize("name", FORMS)
def test_every_permission_a_handler_demands_is_granted_or_needless(name: str) -> None:
    assert list(_refusals(form(name))) == []


def test_nothing_is_granted_that_no_handler_demands() -> None:
    """Least privilege, seen from the other side: over all forms of our templates."""
    demanded = [
        permission
        for name in FORMS
        for resource in _resources(form(name))
        for permission in _permissions(resource.type)
    ]
    granted = {
        str(action)
        for name in FORMS
        for policy in form(name).role.policies
        for statement in policy.document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
    }

    surplus = {
        action
        for action in granted
        if not any(fnmatch.fnmatchcase(action.lower(), permission.lower()) for permission in demanded)
    }
    assert surplus == set()
