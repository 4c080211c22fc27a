"""
The image of the embedded cloud is the working tree.

ECR keeps its digest, the SHA-256 over `service/`, under the tag the deployer
looks for; a task that asks for any other digest is refused as ECS would.
"""

from __future__ import annotations

import re
from typing import Any, Final

from botocore.exceptions import ClientError

_IMAGE: Final = re.compile(
    r"(?P<registry>[^/]+\.dkr\.ecr\.[^/]+)/(?P<repository>[a-z0-9._/-]+)@(?P<digest>sha256:[0-9a-f]{64})"
)


class CannotPullError(Exception):
    """The image a task asks for cannot be had; the text follows the error's name in the stopped reason."""


def check_image(client: Any, image: str, tree_digest: str) -> None:
    """
    Make sure that an image is the one the working tree stands for, and is in its repository.

    Raises:
        CannotPullError: It is not.
    """
    asked = _IMAGE.fullmatch(image)
    if asked is None:
        raise CannotPullError(f"{image} is not <repository uri>@sha256:<digest>")
    if asked["digest"] != f"sha256:{tree_digest}":
        raise CannotPullError(
            f"{image}: manifest unknown; the working tree is sha256:{tree_digest}, deploy it to run it"
        )
    try:
        client.describe_images(repositoryName=asked["repository"], imageIds=[{"imageDigest": asked["digest"]}])
    except ClientError as error:
        raise CannotPullError(f"{image}: {error.response['Error']['Message']}") from error
