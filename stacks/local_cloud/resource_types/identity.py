"""Rows of identity: roles, the policies attached to them, instance profiles, and providers of identities."""

from __future__ import annotations

from functools import partial
from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, document, tag_list, unless_gone
from stacks.local_cloud.row import Properties, Resource, Row, Setting

_NO_ENTITY = "NoSuchEntity"
_SESSION_SECONDS = 3600
"""What a role allows when the template does not say (IAM API Reference, CreateRole, MaxSessionDuration)."""
_POLICY_VERSIONS = 5
"""A managed policy keeps so many versions (IAM User Guide, "Versioning IAM policies")."""


# -- roles -------------------------------------------------------------------


def _create_role(resource: Resource) -> str:
    iam, properties = resource.client("iam"), resource.properties
    given = {
        "RoleName": resource.generated_name(),
        **arguments(iam, "create_role", properties, "RoleName", "Path", "PermissionsBoundary"),
        "AssumeRolePolicyDocument": document(properties.require("AssumeRolePolicyDocument")),
    }
    return str(iam.create_role(**given)["Role"]["RoleName"])


def _set_trust(resource: Resource) -> None:
    resource.client("iam").update_assume_role_policy(
        RoleName=resource.physical_id,
        PolicyDocument=document(resource.properties.require("AssumeRolePolicyDocument")),
    )


def _set_role_facts(resource: Resource) -> None:
    resource.client("iam").update_role(
        RoleName=resource.physical_id,
        Description=resource.properties.take("Description", ""),
        MaxSessionDuration=int(resource.properties.take("MaxSessionDuration", _SESSION_SECONDS)),
    )


def _set_boundary(resource: Resource) -> None:
    iam, boundary = resource.client("iam"), resource.properties.take("PermissionsBoundary")
    if boundary:
        iam.put_role_permissions_boundary(RoleName=resource.physical_id, PermissionsBoundary=boundary)
    elif resource.previous is not None:
        with unless_gone(_NO_ENTITY):
            iam.delete_role_permissions_boundary(RoleName=resource.physical_id)


def _set_inline_policies(resource: Resource) -> None:
    iam = resource.client("iam")
    wanted = _inline_policies(resource.properties)
    for name in _inline_policies(resource.previous or Properties({})):
        if name not in wanted:
            with unless_gone(_NO_ENTITY):
                iam.delete_role_policy(RoleName=resource.physical_id, PolicyName=name)
    for name, text in wanted.items():
        iam.put_role_policy(RoleName=resource.physical_id, PolicyName=name, PolicyDocument=text)


def _inline_policies(properties: Properties) -> dict[str, str]:
    return {
        policy.require("PolicyName"): document(policy.require("PolicyDocument"))
        for policy in properties.branches("Policies")
    }


def _set_attached_policies(resource: Resource) -> None:
    iam = resource.client("iam")
    wanted = resource.properties.take("ManagedPolicyArns", [])
    for arn in (resource.previous or Properties({})).take("ManagedPolicyArns", []):
        if arn not in wanted:
            with unless_gone(_NO_ENTITY):
                iam.detach_role_policy(RoleName=resource.physical_id, PolicyArn=arn)
    for arn in wanted:
        iam.attach_role_policy(RoleName=resource.physical_id, PolicyArn=arn)


def _set_role_tags(resource: Resource) -> None:
    iam, name, wanted = resource.client("iam"), resource.physical_id, resource.tags()
    worn = [tag["Key"] for tag in iam.list_role_tags(RoleName=name)["Tags"]]
    if surplus := [key for key in worn if key not in wanted]:
        iam.untag_role(RoleName=name, TagKeys=surplus)
    if wanted:
        iam.tag_role(RoleName=name, Tags=tag_list(wanted))


def _delete_role(resource: Resource) -> None:
    """Take off what the template put on, then the role: a policy of another stack's still attached is a conflict."""
    iam, name = resource.client("iam"), resource.physical_id
    with unless_gone(_NO_ENTITY):
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)
        ours = resource.properties.take("ManagedPolicyArns", [])
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            if policy["PolicyArn"] in ours:
                iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        iam.delete_role(RoleName=name)


def _role_fact(resource: Resource, *, name: str) -> str:
    return str(resource.client("iam").get_role(RoleName=resource.physical_id)["Role"][name])


_ROLE = Row(
    type="AWS::IAM::Role",
    create=_create_role,
    delete=_delete_role,
    settings=(
        Setting(("AssumeRolePolicyDocument",), _set_trust),
        Setting(("Description", "MaxSessionDuration"), _set_role_facts),
        Setting(("PermissionsBoundary",), _set_boundary),
        Setting(("Policies",), _set_inline_policies),
        Setting(("ManagedPolicyArns",), _set_attached_policies),
        Setting(("Tags",), _set_role_tags),
    ),
    attributes={name: partial(_role_fact, name=name) for name in ("Arn", "RoleId")},
)

# -- managed policies --------------------------------------------------------


def _create_policy(resource: Resource) -> str:
    iam, properties = resource.client("iam"), resource.properties
    given = {
        "PolicyName": resource.generated_name(limit=128),
        **arguments(iam, "create_policy", properties, "Path", "Description", PolicyName="ManagedPolicyName"),
        "PolicyDocument": document(properties.require("PolicyDocument")),
    }
    return str(iam.create_policy(**given)["Policy"]["Arn"])


def _set_policy_document(resource: Resource) -> None:
    if resource.previous is None:
        return
    iam, arn = resource.client("iam"), resource.physical_id
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    old = [version["VersionId"] for version in versions if not version["IsDefaultVersion"]]
    if len(versions) >= _POLICY_VERSIONS:
        iam.delete_policy_version(PolicyArn=arn, VersionId=min(old, key=_version_number))
    text = document(resource.properties.require("PolicyDocument"))
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)


def _version_number(version: str) -> int:
    return int(version.removeprefix("v"))


def _set_bearers(resource: Resource) -> None:
    iam, arn = resource.client("iam"), resource.physical_id
    wanted = resource.properties.take("Roles", [])
    for role in (resource.previous or Properties({})).take("Roles", []):
        if role not in wanted:
            with unless_gone(_NO_ENTITY):
                iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for role in wanted:
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)


def _delete_policy(resource: Resource) -> None:
    iam, arn = resource.client("iam"), resource.physical_id
    with unless_gone(_NO_ENTITY):
        for role in resource.properties.take("Roles", []):
            with unless_gone(_NO_ENTITY):
                iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=arn)


def _policy_fact(resource: Resource, *, name: str) -> str:
    return str(resource.client("iam").get_policy(PolicyArn=resource.physical_id)["Policy"][name])


_MANAGED_POLICY = Row(
    type="AWS::IAM::ManagedPolicy",
    create=_create_policy,
    delete=_delete_policy,
    settings=(Setting(("PolicyDocument",), _set_policy_document), Setting(("Roles",), _set_bearers)),
    attributes={
        "PolicyArn": lambda resource: resource.physical_id,
        **{name: partial(_policy_fact, name=name) for name in ("AttachmentCount", "DefaultVersionId", "PolicyId")},
    },
)

# -- instance profiles -------------------------------------------------------


def _create_profile(resource: Resource) -> str:
    iam = resource.client("iam")
    given = {
        "InstanceProfileName": resource.generated_name(limit=128),
        **arguments(iam, "create_instance_profile", resource.properties, "InstanceProfileName", "Path"),
    }
    return str(iam.create_instance_profile(**given)["InstanceProfile"]["InstanceProfileName"])


def _set_profile_roles(resource: Resource) -> None:
    iam, wanted = resource.client("iam"), resource.properties.take("Roles", [])
    inside = _profile_roles(resource)
    for role in inside:
        if role not in wanted:
            iam.remove_role_from_instance_profile(InstanceProfileName=resource.physical_id, RoleName=role)
    for role in wanted:
        if role not in inside:
            iam.add_role_to_instance_profile(InstanceProfileName=resource.physical_id, RoleName=role)


def _delete_profile(resource: Resource) -> None:
    iam = resource.client("iam")
    with unless_gone(_NO_ENTITY):
        for role in _profile_roles(resource):
            iam.remove_role_from_instance_profile(InstanceProfileName=resource.physical_id, RoleName=role)
        iam.delete_instance_profile(InstanceProfileName=resource.physical_id)


def _profile_roles(resource: Resource) -> list[str]:
    return [role["RoleName"] for role in _profile(resource)["Roles"]]


def _profile(resource: Resource) -> dict[str, Any]:
    answer = resource.client("iam").get_instance_profile(InstanceProfileName=resource.physical_id)
    return dict(answer["InstanceProfile"])


_INSTANCE_PROFILE = Row(
    type="AWS::IAM::InstanceProfile",
    create=_create_profile,
    delete=_delete_profile,
    settings=(Setting(("Roles",), _set_profile_roles),),
    attributes={"Arn": lambda resource: str(_profile(resource)["Arn"])},
)

# -- identity providers --------------------------------------------------------


def _create_provider(resource: Resource) -> str:
    iam = resource.client("iam")
    carried = ("Url", "ClientIdList", "ThumbprintList")
    given = arguments(iam, "create_open_id_connect_provider", resource.properties, *carried)
    return str(iam.create_open_id_connect_provider(**given)["OpenIDConnectProviderArn"])


def _set_clients(resource: Resource) -> None:
    iam, wanted = resource.client("iam"), resource.properties.take("ClientIdList", [])
    known = _provider(resource).get("ClientIDList", [])
    provider = {"OpenIDConnectProviderArn": resource.physical_id}
    for client in wanted:
        if client not in known:
            iam.add_client_id_to_open_id_connect_provider(**provider, ClientID=client)
    for client in known:
        if client not in wanted:
            iam.remove_client_id_from_open_id_connect_provider(**provider, ClientID=client)


def _set_thumbprints(resource: Resource) -> None:
    wanted = resource.properties.take("ThumbprintList", [])
    # Without thumbprints IAM takes those it finds itself, here none (IAM API Reference, CreateOpenIDConnectProvider).
    if resource.previous is not None:
        resource.client("iam").update_open_id_connect_provider_thumbprint(
            OpenIDConnectProviderArn=resource.physical_id, ThumbprintList=wanted
        )


def _set_provider_tags(resource: Resource) -> None:
    iam, provider = resource.client("iam"), {"OpenIDConnectProviderArn": resource.physical_id}
    wanted = resource.tags()
    worn = [tag["Key"] for tag in iam.list_open_id_connect_provider_tags(**provider)["Tags"]]
    if surplus := [key for key in worn if key not in wanted]:
        iam.untag_open_id_connect_provider(**provider, TagKeys=surplus)
    if wanted:
        iam.tag_open_id_connect_provider(**provider, Tags=tag_list(wanted))


def _provider(resource: Resource) -> dict[str, Any]:
    arn = resource.physical_id
    return dict(resource.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=arn))


def _delete_provider(resource: Resource) -> None:
    with unless_gone(_NO_ENTITY):
        resource.client("iam").delete_open_id_connect_provider(OpenIDConnectProviderArn=resource.physical_id)


_IDENTITY_PROVIDER = Row(
    type="AWS::IAM::OIDCProvider",
    create=_create_provider,
    delete=_delete_provider,
    settings=(
        Setting(("ClientIdList",), _set_clients),
        Setting(("ThumbprintList",), _set_thumbprints),
        Setting(("Tags",), _set_provider_tags),
    ),
    attributes={"Arn": lambda resource: resource.physical_id},
)

ROWS: tuple[Row, ...] = (_ROLE, _MANAGED_POLICY, _INSTANCE_PROFILE, _IDENTITY_PROVIDER)
