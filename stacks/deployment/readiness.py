"""
What the workload needs and no stack can make: an image of this working tree, and a server certificate.

Looked for, never made: absent, they are no failure but something the operator
does next, and each comes with the commands to type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from botocore.exceptions import ClientError

from service import contract
from stacks import naming
from stacks.deployment.account import Account
from stacks.deployment.image import find_image
from stacks.environment import Environment

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NoSuchBucket", "403", "AccessDenied", "Forbidden"})
"""Without ListBucket S3 answers 403 for an object that is not there."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that is missing."""

    what: str
    commands: tuple[str, ...]
    """What the operator types to get it, in order."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """The operator's parameters that are known, and what is still missing."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()


class Lookout(Protocol):
    """Finds out what the operator's parameters are by now."""

    def look(self) -> Readiness:
        """Look once."""


class AccountLookout:
    """Looks into the account: the repository for the image, the bucket for the manifest."""

    def __init__(self, account: Account, environment: Environment, root: Path) -> None:
        self._account = account
        self._environment = environment
        self._tag = naming.image_tag(naming.image_tree_digest(root))

    def look(self) -> Readiness:
        """Look for the image of the working tree and for the manifest of the certificate."""
        digest = find_image(self._account, self._environment, self._tag)
        parameters = {naming.OperatorParameter.IMAGE_DIGEST.value: digest} if digest else {}
        return Readiness(parameters, tuple(self._needs(has_image=digest is not None)))

    def _needs(self, *, has_image: bool) -> Iterator[Need]:
        name = self._environment.name
        if not has_image:
            yield Need(f"the image {self._tag}", (f"python scripts/deploy.py image push --env {name}",))
        if not self._has_manifest():
            yield Need(
                "the server certificate",
                (
                    f"python scripts/certificates.py request --env {name}",
                    f"python scripts/certificates.py install --env {name} --chain SIGNED_CHAIN.pem",
                ),
            )

    def _has_manifest(self) -> bool:
        try:
            self._account.client("s3").head_object(
                Bucket=naming.certificate_bucket(self._environment),
                Key=contract.MANIFEST_KEY,
                ExpectedBucketOwner=self._environment.account,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                return False
            raise
        return True
