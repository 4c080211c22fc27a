"""Row of the image repository."""

from __future__ import annotations

from typing import Any

from stacks.local_cloud.resource_types.calls import arguments, document, flag, tag_list, unless_gone
from stacks.local_cloud.row import Resource, Row, Setting

_MUTABLE = "MUTABLE"
"""The tags of a repository that does not say (ECR API Reference, CreateRepository)."""


def _create_repository(resource: Resource) -> str:
    ecr, properties = resource.client("ecr"), resource.properties
    given = {
        "repositoryName": resource.generated_name(limit=256).lower(),
        **arguments(ecr, "create_repository", properties, "RepositoryName", "EncryptionConfiguration"),
    }
    # Read here because it belongs to the repository, used when the repository is deleted.
    properties.take("EmptyOnDelete")
    ecr.create_repository(**given)
    return str(given["repositoryName"])


def _set_mutability(resource: Resource) -> None:
    resource.client("ecr").put_image_tag_mutability(
        repositoryName=resource.physical_id, imageTagMutability=resource.properties.take("ImageTagMutability", _MUTABLE)
    )


def _set_scanning(resource: Resource) -> None:
    scanning = resource.properties.branch("ImageScanningConfiguration")
    given = {"scanOnPush": flag(scanning.take("ScanOnPush", default=False))}
    resource.client("ecr").put_image_scanning_configuration(
        repositoryName=resource.physical_id, imageScanningConfiguration=given
    )


def _set_lifecycle(resource: Resource) -> None:
    ecr, name = resource.client("ecr"), resource.physical_id
    text = resource.properties.branch("LifecyclePolicy").take("LifecyclePolicyText")
    if text is not None:
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=document(text))
    elif resource.previous is not None:
        with unless_gone("LifecyclePolicyNotFoundException"):
            ecr.delete_lifecycle_policy(repositoryName=name)


def _set_repository_policy(resource: Resource) -> None:
    ecr, name = resource.client("ecr"), resource.physical_id
    policy = resource.properties.take("RepositoryPolicyText")
    if policy is not None:
        ecr.set_repository_policy(repositoryName=name, policyText=document(policy))
    elif resource.previous is not None:
        with unless_gone("RepositoryPolicyNotFoundException"):
            ecr.delete_repository_policy(repositoryName=name)


def _set_empty_on_delete(resource: Resource) -> None:
    resource.properties.take("EmptyOnDelete")  # nothing to set: it is an argument of the deletion


def _set_repository_tags(resource: Resource) -> None:
    ecr, arn, wanted = resource.client("ecr"), _repository(resource)["repositoryArn"], resource.tags()
    worn = [tag["Key"] for tag in ecr.list_tags_for_resource(resourceArn=arn)["tags"]]
    if surplus := [key for key in worn if key not in wanted]:
        ecr.untag_resource(resourceArn=arn, tagKeys=surplus)
    if wanted:
        ecr.tag_resource(resourceArn=arn, tags=tag_list(wanted))


def _delete_repository(resource: Resource) -> None:
    """Remove the repository; one that holds images refuses unless the template says EmptyOnDelete."""
    force = flag(resource.properties.take("EmptyOnDelete", default=False))
    with unless_gone("RepositoryNotFoundException"):
        resource.client("ecr").delete_repository(repositoryName=resource.physical_id, force=force)


def _repository(resource: Resource) -> dict[str, Any]:
    answer = resource.client("ecr").describe_repositories(repositoryNames=[resource.physical_id])
    return dict(answer["repositories"][0])


ROWS: tuple[Row, ...] = (
    Row(
        type="AWS::ECR::Repository",
        create=_create_repository,
        delete=_delete_repository,
        settings=(
            Setting(("ImageTagMutability",), _set_mutability),
            Setting(("ImageScanningConfiguration",), _set_scanning),
            Setting(("LifecyclePolicy",), _set_lifecycle),
            Setting(("RepositoryPolicyText",), _set_repository_policy),
            Setting(("EmptyOnDelete",), _set_empty_on_delete),
            Setting(("Tags",), _set_repository_tags),
        ),
        attributes={
            "Arn": lambda resource: str(_repository(resource)["repositoryArn"]),
            "RepositoryUri": lambda resource: str(_repository(resource)["repositoryUri"]),
        },
    ),
)
