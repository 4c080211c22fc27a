"""What every operation on a stack works with: rows, schemas, the cloud's own services."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from stacks.local_cloud.engine import intrinsics
from stacks.local_cloud.engine.errors import TemplateError, ValidationError
from stacks.local_cloud.engine.expressions import Expressions, Names, partition_of
from stacks.local_cloud.engine.parameters import Lookups
from stacks.local_cloud.engine.resource_life import ResourceLives
from stacks.local_cloud.engine.schemas import Schema, Schemas
from stacks.local_cloud.engine.state import Intention, ResourceState, Stack
from stacks.local_cloud.engine.template import Template
from stacks.local_cloud.row import Row, StackFacts

_FINDERS: Mapping[str, tuple[str, str, Callable[[str], dict[str, Any]]]] = {
    "AWS::EC2::VPC::Id": ("ec2", "describe_vpcs", lambda name: {"VpcIds": [name]}),
    "AWS::EC2::Subnet::Id": ("ec2", "describe_subnets", lambda name: {"SubnetIds": [name]}),
    "AWS::EC2::SecurityGroup::Id": ("ec2", "describe_security_groups", lambda name: {"GroupIds": [name]}),
    "AWS::EC2::Image::Id": ("ec2", "describe_images", lambda name: {"ImageIds": [name]}),
    "AWS::EC2::Instance::Id": ("ec2", "describe_instances", lambda name: {"InstanceIds": [name]}),
    "AWS::EC2::Volume::Id": ("ec2", "describe_volumes", lambda name: {"VolumeIds": [name]}),
    "AWS::EC2::KeyPair::KeyName": ("ec2", "describe_key_pairs", lambda name: {"KeyNames": [name]}),
    "AWS::EC2::SecurityGroup::GroupName": ("ec2", "describe_security_groups", lambda name: {"GroupNames": [name]}),
    "AWS::EC2::AvailabilityZone::Name": ("ec2", "describe_availability_zones", lambda name: {"ZoneNames": [name]}),
    "AWS::Route53::HostedZone::Id": ("route53", "get_hosted_zone", lambda name: {"Id": name}),
    "AWS::SSM::Parameter::Name": ("ssm", "get_parameter", lambda name: {"Name": name}),
}
"""How to ask whether a parameter's value names something: service, operation and its argument."""
_SERVICE = "cloudformation.amazonaws.com"
"""Who must be trusted by a role that a stack is made as."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """One per engine."""

    region: str
    account: str
    client: Callable[[str], Any]
    schemas: Schemas
    lives: ResourceLives

    def check_service_role(self, arn: str) -> None:
        """
        Refuse a role that CloudFormation cannot take: it must be there and trust it.

        Raises:
            ValidationError: In the words of AWS.
        """
        try:
            role = self.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
        except ClientError:
            role = {}
        if role.get("Arn") != arn or _SERVICE not in json.dumps(role.get("AssumeRolePolicyDocument")):
            raise ValidationError(f"Role {arn} is invalid or cannot be assumed")

    def row(self, type_name: str) -> Row:
        """Give the row of a type."""
        return self.lives.rows[type_name]

    def schema(self, type_name: str) -> Schema:
        """Give the provider schema of a type."""
        return self.schemas.of(type_name)

    def facts(self, stack: Stack, tags: Mapping[str, str], logical_id: str = "") -> StackFacts:
        """Say what a row may know of a stack; the tags are those AWS puts on a resource."""
        own = {"aws:cloudformation:stack-name": stack.name, "aws:cloudformation:stack-id": stack.id}
        named = {"aws:cloudformation:logical-id": logical_id} if logical_id else {}
        return StackFacts(
            name=stack.name,
            id=stack.id,
            region=self.region,
            account=self.account,
            partition=partition_of(self.region),
            tags={**tags, **own, **named},
        )

    def expressions(self, stack: Stack, intention: Intention) -> Expressions:
        """Bind the expressions of an intention."""
        return Expressions(intention, self.facts(stack, intention.tags), self.zones)

    def names(self, stack: Stack, tags: Mapping[str, str], active: Collection[str]) -> Names:
        """Let names of resources stand for what the stack has now, as far as they are active."""

        def standing(logical_id: str) -> ResourceState:
            state = stack.resources.get(logical_id) if logical_id in active else None
            if state is None or not state.is_there:
                raise TemplateError(
                    f"Template format error: Unresolved resource dependencies [{logical_id}]: its condition is false"
                )
            return state

        def ref(logical_id: str) -> Any:
            return self.lives.ref(self.facts(stack, tags, logical_id), standing(logical_id))

        def attribute(logical_id: str, name: str) -> Any:
            return self.lives.attribute(self.facts(stack, tags, logical_id), standing(logical_id), name)

        return Names(ref, attribute)

    def lives_of(self, stack: Stack) -> ResourceLives:
        """Give the lives of one stack's resources, which end when it is interrupted."""
        return replace(self.lives, interrupted=stack.interrupted)

    def zones(self, region: str) -> Sequence[str]:
        """Name the availability zones of a region."""
        if region != self.region:
            raise TemplateError(f"Template error: Fn::GetAZs of {region}, and the embedded cloud is in {self.region}")
        return sorted(
            zone["ZoneName"] for zone in self.client("ec2").describe_availability_zones()["AvailabilityZones"]
        )

    def lookups(self) -> Lookups:
        """Let parameters be looked up in this cloud."""
        return Lookups(stored=self._stored, exists=self._exists)

    def check(self, template: Template) -> None:
        """
        Refuse what this cloud cannot make.

        Raises:
            TemplateError: A type has no row here or a GetAtt asks what its row does not give.
        """
        unknown = [
            f"{entry.type} ({name})" for name, entry in template.resources.items() if not self._makes(entry.type)
        ]
        if unknown:
            raise TemplateError(
                f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]; "
                "the embedded cloud has a row for each type it makes (stacks/local_cloud/resource_types)"
            )
        places = [(f"resource {name}", entry.properties) for name, entry in template.resources.items()]
        places += [(f"output {name}", entry.value) for name, entry in template.outputs.items()]
        for where, value in places:
            for name, attribute in intrinsics.references(value):
                if attribute is not None and attribute not in self.row(template.resources[name].type).attributes:
                    raise TemplateError(
                        f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt "
                        f"(in {where})"
                    )

    def _makes(self, type_name: str) -> bool:
        return type_name in self.lives.rows and type_name in self.schemas

    def _stored(self, name: str) -> str | None:
        try:
            return str(self.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
        except ClientError:
            return None

    def _exists(self, kind: str, name: str) -> bool:
        service, operation, argument = _FINDERS[kind]
        try:
            getattr(self.client(service), operation)(**argument(name))
        except ClientError:
            return False
        return True
