"""The image repository: tags that never move, every image scanned, and a key of its own."""

from __future__ import annotations

import json
from typing import Final

from troposphere import GetAtt, Template
from troposphere.ecr import EncryptionConfiguration, ImageScanningConfiguration, LifecyclePolicy, Repository

from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.templates.encryption import alias, encryption_key
from stacks.templates.joints import begin, offer
from stacks.templates.retention import RETAINED

_KEPT_IMAGES: Final = 200
"""Enough to go back to any release of a year of working days."""


def build(environment: Environment) -> Template:
    """Build the template of the image repository."""
    template = begin(environment, "the service's images")
    # ECR makes itself a grant on the key as whoever makes the repository, which the account lets its roles do; those
    # that fetch an image need none of it (ECR guide, encryption at rest).
    key = template.add_resource(encryption_key(environment, "RepositoryKey", "The service's images"))
    template.add_resource(alias(environment, "RepositoryKeyAlias", key, stack="images"))
    repository = template.add_resource(
        Repository(
            "Repository",
            RepositoryName=naming.repository(environment),
            ImageTagMutability="IMMUTABLE",
            ImageScanningConfiguration=ImageScanningConfiguration(ScanOnPush=True),
            EncryptionConfiguration=EncryptionConfiguration(EncryptionType="KMS", KmsKey=GetAtt(key, "Arn")),
            LifecyclePolicy=LifecyclePolicy(LifecyclePolicyText=_lifecycle()),
            **RETAINED,
        )
    )
    offer(template, Output.REPOSITORY_URI, GetAtt(repository, "RepositoryUri"))
    offer(template, Output.REPOSITORY_KEY_ARN, GetAtt(key, "Arn"))
    return template


def _lifecycle() -> str:
    rule = {
        "rulePriority": 1,
        "description": f"Keep the newest {_KEPT_IMAGES}",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEPT_IMAGES},
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})
