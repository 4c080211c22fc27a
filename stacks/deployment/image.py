"""
The service's image: which one belongs to this working tree, and how it gets into the repository.

An image is tagged by the SHA-256 over `service/`, so the same tree is never
built twice and a deployment names exactly what it runs. In the embedded cloud
the working tree is the image: its digest is recorded, nothing is built.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from stacks import naming
from stacks.deployment.account import LOCAL, Account
from stacks.environment import Architecture, Environment
from stacks.errors import DeploymentError

_PLATFORMS: Final = {Architecture.X86_64: "linux/amd64", Architecture.ARM64: "linux/arm64"}
_MEDIA_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_BUILD_SECONDS: Final = 30 * 60


class ImagePushError(DeploymentError):
    """The image could not be built or pushed."""

    exit_code = 5


def find_image(account: Account, environment: Environment, tag: str) -> str | None:
    """Find the digest of the image with a tag, `sha256:...`; None if it, or the repository, is not there."""
    try:
        found = account.client("ecr").describe_images(
            repositoryName=naming.repository(environment), imageIds=[{"imageTag": tag}]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            return None
        raise
    digest: str = found["imageDetails"][0]["imageDigest"]
    return digest


def push_image(account: Account, environment: Environment, root: Path) -> str:
    """
    Bring the working tree's image into the environment's repository; one that is there already is left as it is.

    Returns:
        Its digest, `sha256:...`.

    Raises:
        ImagePushError: There is no repository, no Dockerfile or no docker, or docker failed.
    """
    tree = naming.image_tree_digest(root)
    tag = naming.image_tag(tree)
    present = find_image(account, environment, tag)
    if present:
        return present
    if environment.name == LOCAL:
        _repository_uri(account, environment)
        record_image(account.client("ecr"), naming.repository(environment), tree)
    else:
        _build_and_push(account, environment, root, f"{_repository_uri(account, environment)}:{tag}")
    digest = find_image(account, environment, tag)
    if digest is None:
        raise ImagePushError(f"the repository does not show the image {tag} that was just pushed")
    return digest


def record_image(client: Any, repository: str, tree: str) -> None:  # noqa: ANN401 -- a boto3 client, made at run time
    """
    Put the working tree into a repository of the embedded cloud as if it had been pushed; one there already is left.

    Args:
        client: For `ecr`.
        repository: Its name.
        tree: The digest of `service/`, 64 hexadecimal digits.
    """
    # The annotation differs from tree to tree: equal manifests would count as one image with two tags.
    manifest = {"schemaVersion": 2, "mediaType": _MEDIA_TYPE, "annotations": {"tree": tree}}
    try:
        client.put_image(
            repositoryName=repository,
            imageManifest=json.dumps(manifest),
            imageManifestMediaType=_MEDIA_TYPE,
            imageTag=naming.image_tag(tree),
            imageDigest=f"sha256:{tree}",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ImageAlreadyExistsException":
            raise


def _repository_uri(account: Account, environment: Environment) -> str:
    name = naming.repository(environment)
    try:
        uri: str = account.client("ecr").describe_repositories(repositoryNames=[name])["repositories"][0][
            "repositoryUri"
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] != "RepositoryNotFoundException":
            raise
        raise ImagePushError(
            f"there is no repository {name} yet", hint=f"python scripts/deploy.py deploy --env {environment.name}"
        ) from error
    return uri


def _build_and_push(account: Account, environment: Environment, root: Path, image: str) -> None:
    context = root / "service"
    if not (context / "Dockerfile").is_file():
        raise ImagePushError("service/Dockerfile is absent, so there is nothing to build an image from")
    docker = shutil.which("docker")
    if docker is None:
        raise ImagePushError("docker is not installed, and the image is built with it", hint="install docker")
    platform = _PLATFORMS[environment.capacity.architecture]
    # The directory that the tag is the digest of, and nothing beside it.
    without_index = "where no package index can be reached: make wheels, then the same again"
    _docker(docker, ["build", "--platform", platform, "--tag", image, str(context)], hint=without_index)
    token = account.client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    _docker(docker, ["login", "--username", user, "--password-stdin", image.partition("/")[0]], given=password)
    _docker(docker, ["push", image])


def _docker(docker: str, arguments: list[str], *, given: str | None = None, hint: str | None = None) -> None:
    """Run docker with its own output on standard error, where progress belongs."""
    try:
        done = subprocess.run(  # noqa: S603 -- a fixed command; what varies is a path, a platform and our own tag
            [docker, *arguments], input=given, text=True, check=False, timeout=_BUILD_SECONDS, stdout=2
        )
    except subprocess.TimeoutExpired as error:
        raise ImagePushError(f"docker {arguments[0]} is not done after {_BUILD_SECONDS // 60} minutes") from error
    if done.returncode:
        raise ImagePushError(
            f"docker {arguments[0]} ended with exit code {done.returncode}; its words stand above", hint=hint
        )
