"""
What AWS calls a resource: by its name where the template gives one, else by an id made up here.

Made up is what AWS draws by chance; it is well formed, and always the same
for the same resource, so that two texts about one resource are equal.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stacks.environment import Environment


@dataclass(frozen=True, slots=True)
class Place:
    """Where the templates are to be deployed, as far as names and ARNs tell."""

    partition: str
    region: str
    account: str
    prefix: str
    """What every stack's name begins with, `mtls-ingress-staging`."""

    @classmethod
    def of(cls, environment: Environment) -> Place:
        """Take it from an environment."""
        prefix = f"{environment.project}-{environment.name}"
        return cls(environment.partition, environment.region, environment.account, prefix)

    @property
    def suffix(self) -> str:
        """What host names of AWS end with here."""
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def stack_name(self, stack: str) -> str:
        """Name a stack as CloudFormation knows it."""
        return f"{self.prefix}-{stack.replace('_', '-')}"

    def arn(self, service: str, resource: str) -> str:
        """Spell an ARN of this account in this region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def global_arn(self, service: str, resource: str) -> str:
        """Spell an ARN that bears no region."""
        return f"arn:{self.partition}:{service}::{self.account}:{resource}"


Text = Callable[[str], str | None]
"""Gives a property of the resource as text; None where it has none."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How resources of a type are called."""

    name_property: str = ""
    id_prefix: str = ""
    service: str = ""
    arn_of_name: str = ""
    """What stands behind the account in its ARN, `table/{}`."""
    is_global: bool = False
    ref_is_arn: bool = False


_KINDS: Final[Mapping[str, _Kind]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": _Kind(),
    "AWS::AutoScaling::AutoScalingGroup": _Kind(
        "AutoScalingGroupName", service="autoscaling", arn_of_name="autoScalingGroup:x:autoScalingGroupName/{}"
    ),
    "AWS::Backup::BackupVault": _Kind("BackupVaultName", service="backup", arn_of_name="backup-vault:{}"),
    "AWS::CloudTrail::Trail": _Kind("TrailName", service="cloudtrail", arn_of_name="trail/{}"),
    "AWS::CloudWatch::Alarm": _Kind("AlarmName", service="cloudwatch", arn_of_name="alarm:{}"),
    "AWS::CloudWatch::CompositeAlarm": _Kind("AlarmName", service="cloudwatch", arn_of_name="alarm:{}"),
    "AWS::DynamoDB::Table": _Kind("TableName", service="dynamodb", arn_of_name="table/{}"),
    "AWS::EC2::EIP": _Kind(id_prefix="eipalloc"),
    "AWS::EC2::FlowLog": _Kind(id_prefix="fl"),
    "AWS::EC2::InternetGateway": _Kind(id_prefix="igw"),
    "AWS::EC2::LaunchTemplate": _Kind(id_prefix="lt"),
    "AWS::EC2::NatGateway": _Kind(id_prefix="nat"),
    "AWS::EC2::RouteTable": _Kind(id_prefix="rtb"),
    "AWS::EC2::SecurityGroup": _Kind(id_prefix="sg"),
    "AWS::EC2::Subnet": _Kind(id_prefix="subnet"),
    "AWS::EC2::VPC": _Kind(id_prefix="vpc"),
    "AWS::EC2::VPCEndpoint": _Kind(id_prefix="vpce"),
    "AWS::ECR::Repository": _Kind("RepositoryName", service="ecr", arn_of_name="repository/{}"),
    "AWS::ECS::CapacityProvider": _Kind("Name", service="ecs", arn_of_name="capacity-provider/{}"),
    "AWS::ECS::Cluster": _Kind("ClusterName", service="ecs", arn_of_name="cluster/{}"),
    "AWS::ECS::Service": _Kind("ServiceName", service="ecs", arn_of_name="service/{}", ref_is_arn=True),
    "AWS::ECS::TaskDefinition": _Kind("Family", service="ecs", arn_of_name="task-definition/{}:1", ref_is_arn=True),
    "AWS::Events::Rule": _Kind("Name", service="events", arn_of_name="rule/{}"),
    "AWS::IAM::InstanceProfile": _Kind(
        "InstanceProfileName", service="iam", arn_of_name="instance-profile{path}{}", is_global=True
    ),
    "AWS::IAM::ManagedPolicy": _Kind(
        "ManagedPolicyName", service="iam", arn_of_name="policy{path}{}", is_global=True, ref_is_arn=True
    ),
    "AWS::IAM::OIDCProvider": _Kind(
        "Url", service="iam", arn_of_name="oidc-provider/{}", is_global=True, ref_is_arn=True
    ),
    "AWS::IAM::Role": _Kind("RoleName", service="iam", arn_of_name="role{path}{}", is_global=True),
    "AWS::Logs::LogGroup": _Kind("LogGroupName", service="logs", arn_of_name="log-group:{}:*"),
    "AWS::SNS::Topic": _Kind("TopicName", service="sns", arn_of_name="{}", ref_is_arn=True),
}

_IDS: Final = {"AWS::EC2::EIP": "AllocationId", "AWS::EC2::SecurityGroup": "GroupId", "AWS::EC2::VPC": "VpcId"}
"""What `Fn::GetAtt` calls the id where it is not the type and `Id`."""


def identity(place: Place, whose: tuple[str, str, str], attribute: str, text: Text) -> str:
    """
    Say what a reference to a resource stands for.

    Args:
        place: Where it is deployed.
        whose: The stack, the logical id and the resource's type.
        attribute: `Ref`, or what `Fn::GetAtt` asks for.
        text: Gives its properties.
    """
    stack, logical_id, resource_type = whose
    seed = f"{place.prefix}/{stack}/{logical_id}"
    if resource_type == "AWS::S3::Bucket":
        return _bucket(place, text("BucketName") or _drawn_name(place, stack, logical_id).lower(), attribute)
    if resource_type == "AWS::KMS::Key":
        key_id = str(uuid.uuid5(uuid.NAMESPACE_OID, seed))
        return place.arn("kms", f"key/{key_id}") if attribute == "Arn" else key_id
    if resource_type == "AWS::ECR::Repository" and attribute == "RepositoryUri":
        name = text("RepositoryName") or _drawn_name(place, stack, logical_id).lower()
        return f"{place.account}.dkr.ecr.{place.region}.{place.suffix}/{name}"
    kind = _KINDS.get(resource_type, _Kind())
    if kind.id_prefix:
        drawn = f"{kind.id_prefix}-0{hashlib.sha256(seed.encode()).hexdigest()[:16]}"
        ids = {"Ref", "Id", _IDS.get(resource_type) or f"{resource_type.rpartition('::')[2]}Id"}
        return drawn if attribute in ids else f"{drawn}.{attribute}"
    name = (text(kind.name_property) if kind.name_property else None) or _drawn_name(place, stack, logical_id)
    name = name.removeprefix("https://")
    # Some types give it by a longer word: BackupVaultArn, TopicArn.
    is_arn = attribute.lower() in {"arn", f"{resource_type.rpartition('::')[2]}Arn".lower()}
    if is_arn or (attribute == "Ref" and kind.ref_is_arn):
        spell = place.global_arn if kind.is_global else place.arn
        path = (text("Path") or "/") if kind.is_global else ""
        return spell(kind.service or "unknown", kind.arn_of_name.format(name, path=path) if kind.arn_of_name else name)
    return name if attribute in {"Ref", "Name"} else f"{name}.{attribute}"


def _bucket(place: Place, name: str, attribute: str) -> str:
    return f"arn:{place.partition}:s3:::{name}" if attribute == "Arn" else name


def _drawn_name(place: Place, stack: str, logical_id: str) -> str:
    digest = hashlib.sha256(f"{place.prefix}/{stack}/{logical_id}".encode()).hexdigest()
    return f"{place.stack_name(stack)}-{logical_id}-{digest[:12].upper()}"
