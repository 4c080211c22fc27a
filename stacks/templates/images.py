"""The image repository: tags that never move, and every image scanned."""

from __future__ import annotations

import json
from typing import Final

from troposphere import GetAtt, Template
from troposphere.ecr import EncryptionConfiguration, ImageScanningConfiguration, LifecyclePolicy, Repository

from stacks import naming
from stacks.environment import Environment
from stacks.naming import Output
from stacks.templates.joints import begin, offer
from stacks.templates.retention import RETAINED

_KEPT_IMAGES: Final = 200
"""Enough to go back to any release of a year of working days."""


def build(environment: Environment) -> Template:
    """Build the template of the image repository."""
    template = begin(environment, "the service's images")
    repository = template.add_resource(
        Repository(
            "Repository",
            RepositoryName=naming.repository(environment),
            ImageTagMutability="IMMUTABLE",
            ImageScanningConfiguration=ImageScanningConfiguration(ScanOnPush=True),
            EncryptionConfiguration=EncryptionConfiguration(EncryptionType="KMS"),
            LifecyclePolicy=LifecyclePolicy(LifecyclePolicyText=_lifecycle()),
            **RETAINED,
        )
    )
    offer(template, Output.REPOSITORY_URI, GetAtt(repository, "RepositoryUri"))
    return template


def _lifecycle() -> str:
    rule = {
        "rulePriority": 1,
        "description": f"Keep the newest {_KEPT_IMAGES}",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEPT_IMAGES},
        "action": {"type": "expire"},
    }
    return json.dumps({"rules": [rule]})
