"""
Who could ask IAM for something: the roles of the templates with all that is granted them, and whoever else there is.

A role is told by what it is for: the task definition that gives it to its
tasks, the service that may take it; never by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from stacks.access.faults import PolicyFaultError
from stacks.access.request import AttachedPolicy, Principal, PrincipalKind, ResourcePolicy, ResourcePolicyKind
from stacks.access.statement import Form
from stacks.rules.estate import Estate, Resource, UnresolvedError
from stacks.rules.identities import Place
from stacks.rules.topology import TASK_DEFINITION
from stacks.rules.values import listed

ROLE: Final = "AWS::IAM::Role"
_MANAGED_POLICY: Final = "AWS::IAM::ManagedPolicy"
_INLINE_POLICIES: Final = ("AWS::IAM::Policy", "AWS::IAM::RolePolicy")
_DOCUMENT: Final = "PolicyDocument"
OTHER_ACCOUNT: Final = "999999999999"

EVERYTHING: Final = AttachedPolicy(
    "AdministratorAccess",
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
)
_NOTHING_HERE: Final = frozenset(
    {
        "AmazonEC2ContainerRegistryReadOnly",
        "AmazonECSTaskExecutionRolePolicy",
        "AmazonEC2ContainerServiceforEC2Role",
        "AmazonSSMManagedInstanceCore",
        "AutoScalingNotificationAccessRole",
        "CloudWatchAgentServerPolicy",
    }
)
"""AWS's own policies in which no action is one of S3's, KMS' or DynamoDB's (AWS Managed Policy Reference)."""
_FOR_BACKUPS: Final = {
    "AWSBackupServiceRolePolicyForBackup": (
        *("dynamodb:CreateBackup", "dynamodb:DescribeTable", "dynamodb:ListTagsOfResource"),
        *("dynamodb:StartAwsBackupJob", "kms:DescribeKey"),
    )
}
"""What AWS's policy for backups says of the three services, as far as a table's backup goes (the same reference)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a policy stands in the templates."""

    resource: Resource
    path: str


@dataclass(frozen=True, slots=True)
class RoleOfOurs:
    """
    A role of the templates.

    Attributes:
        sources: Where each of its policies stands, by the policy's name; AWS's own are nowhere.
    """

    resource: Resource
    principal: Principal
    trust: ResourcePolicy
    sources: dict[str, Source]

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.principal.arn

    @property
    def services(self) -> tuple[str, ...]:
        """The services that may take it."""
        return tuple(named.value for named in self._trusted if named.form is Form.SERVICE)

    @property
    def is_for_services(self) -> bool:
        """Whether a service of AWS may take it."""
        return bool(self.services)

    @property
    def is_for_people(self) -> bool:
        """Whether only principals of AWS accounts may take it, and nobody whom a service or a provider vouches for."""
        forms = {named.form for named in self._trusted}
        return bool(forms) and not forms & {Form.SERVICE, Form.FEDERATED}

    @property
    def _trusted(self) -> Iterator[Any]:
        return (named for each in self.trust.policy.statements for named in each.principals or ())


@lru_cache(maxsize=4)
def roles(estate: Estate) -> tuple[RoleOfOurs, ...]:
    """
    Gather every role of the templates with what it is granted and bounded by.

    Raises:
        UnresolvedError: A policy cannot be told from the templates, or not be read.
    """
    granted = _granted_elsewhere(estate)
    return tuple(_role(resource, granted.get(resource.name, [])) for resource in estate.of_type(ROLE))


def task_roles(estate: Estate) -> tuple[RoleOfOurs, ...]:
    """Give the roles that task definitions give their tasks."""
    return _named(estate, TASK_DEFINITION, "TaskRoleArn")


def execution_roles(estate: Estate) -> tuple[RoleOfOurs, ...]:
    """Give the roles that task definitions have ECS start their tasks with."""
    return _named(estate, TASK_DEFINITION, "ExecutionRoleArn")


def instance_roles(estate: Estate) -> tuple[RoleOfOurs, ...]:
    """Give the roles that instance profiles hold."""
    return _named(estate, "AWS::IAM::InstanceProfile", "Roles")


def stack_roles(estate: Estate) -> tuple[RoleOfOurs, ...]:
    """Give the roles CloudFormation works as."""
    return tuple(role for role in roles(estate) if "cloudformation.amazonaws.com" in role.services)


def _named(estate: Estate, resource_type: str, path: str) -> tuple[RoleOfOurs, ...]:
    found = {
        role.name
        for resource in estate.of_type(resource_type)
        for value in listed(resource.get(path))
        if (role := estate.called(value, ROLE)) is not None
    }
    return tuple(role for role in roles(estate) if role.resource.name in found)


# -- whoever else there is -------------------------------------------------------------


def root(place: Place, account: str | None = None) -> Principal:
    """Give the root user of an account, this one if none is said."""
    account = account or place.account
    return Principal(PrincipalKind.ROOT, f"arn:{place.partition}:iam::{account}:root", account)


def anonymous() -> Principal:
    """Give nobody in particular."""
    return Principal(PrincipalKind.ANONYMOUS, "", "")


def all_powerful(arn: str) -> Principal:
    """Give a role or a user whose own policies allow everything, as what can come to be of any."""
    kind = PrincipalKind.USER if ":user/" in arn else PrincipalKind.ROLE
    return Principal(kind, arn, arn.split(":")[4], policies=(EVERYTHING,))


def administrator(place: Place, account: str | None = None) -> Principal:
    """Give an administrator of an account, this one if none is said."""
    return all_powerful(f"arn:{place.partition}:iam::{account or place.account}:role/Admin")


def service(name: str) -> Principal:
    """Give a service of AWS."""
    return Principal(PrincipalKind.SERVICE, name, "")


# -- what a role is granted ---------------------------------------------------------------


def attached(resource: Resource, path: str, *, name: str = "") -> AttachedPolicy:
    """
    Read a policy of the templates.

    Raises:
        UnresolvedError: It cannot be told from the templates, or not be read.
    """
    document = resource.get(path)
    try:
        return AttachedPolicy(name or resource.name, document)
    except PolicyFaultError as fault:
        raise UnresolvedError(resource, f"Properties.{path}", str(fault)) from fault


def resource_policy(resource: Resource, path: str, kind: ResourcePolicyKind) -> ResourcePolicy:
    """
    Read the policy of a resource.

    Raises:
        UnresolvedError: It cannot be told from the templates, or not be read.
    """
    try:
        return ResourcePolicy(attached(resource, path), kind)
    except PolicyFaultError as fault:
        raise UnresolvedError(resource, f"Properties.{path}", str(fault)) from fault


def _role(resource: Resource, elsewhere: list[Source]) -> RoleOfOurs:
    estate = resource.estate
    inline = [f"Policies.{index}.{_DOCUMENT}" for index in range(len(listed(resource.get("Policies"))))]
    own = [Source(resource, path) for path in inline]
    policies = {_policy_name(source): source for source in [*own, *elsewhere]}
    read = [attached(source.resource, source.path, name=name) for name, source in policies.items()]
    for value in listed(resource.get("ManagedPolicyArns")):
        policy = estate.called(value, _MANAGED_POLICY)
        if policy is None:
            read.append(_policy_of_aws(str(value)))
        elif policy.name not in policies:
            policies[policy.name] = Source(policy, _DOCUMENT)
            read.append(attached(policy, _DOCUMENT))
    arn = estate.arn(resource)
    try:
        principal = Principal(
            PrincipalKind.ROLE, arn, arn.split(":")[4], policies=tuple(read), boundary=_boundary(resource)
        )
    except PolicyFaultError as fault:
        raise UnresolvedError(resource, "Properties", str(fault)) from fault
    trust = resource_policy(resource, "AssumeRolePolicyDocument", ResourcePolicyKind.TRUST)
    return RoleOfOurs(resource, principal, trust, policies)


def _boundary(resource: Resource) -> AttachedPolicy | None:
    """Read the boundary; what is not of the templates is taken for none, which lets through the most."""
    policy = resource.estate.called(resource.get("PermissionsBoundary"), _MANAGED_POLICY)
    return None if policy is None else attached(policy, _DOCUMENT)


def _granted_elsewhere(estate: Estate) -> dict[str, list[Source]]:
    """Gather what policies say of the roles they belong to, by the role's name in the estate."""
    granted: dict[str, list[Source]] = {}
    for policy in estate.of_type(_MANAGED_POLICY, *_INLINE_POLICIES):
        for value in [*listed(policy.get("Roles")), *listed(policy.get("RoleName"))]:
            role = estate.called(value, ROLE)
            if role is not None:
                granted.setdefault(role.name, []).append(Source(policy, _DOCUMENT))
    return granted


def _policy_name(source: Source) -> str:
    inner = source.path.removesuffix(_DOCUMENT).rstrip(".")
    return f"{source.resource.name}.{inner}" if inner else source.resource.name


def _policy_of_aws(arn: str) -> AttachedPolicy:
    """Give one of AWS's policies as far as it speaks of our stores; one we do not know may allow everything."""
    name = arn.rpartition("/")[2]
    if ":iam::aws:policy/" in arn and (name in _NOTHING_HERE or name in _FOR_BACKUPS):
        actions = list(_FOR_BACKUPS.get(name, ("none:None",)))
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        return AttachedPolicy(name, {"Version": "2012-10-17", "Statement": [statement]})
    return AttachedPolicy(name, EVERYTHING.document)
