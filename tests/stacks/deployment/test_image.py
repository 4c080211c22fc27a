"""An image is tagged by the tree it was built from; in the embedded cloud the tree is the image."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service import contract
from stacks import naming
from stacks.deployment.account import Account, LocalEndpoint, open_account
from stacks.deployment.image import ImagePushError, find_image, push_image
from stacks.deployment.readiness import AccountLookout
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment
from stacks.local_cloud.cloud import LocalCloud

LOCAL = load_environment(find_environment("local", Path(__file__).resolve().parents[3]))


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as running:
        yield running


@pytest.fixture
def account(cloud: LocalCloud) -> Iterator[Account]:
    opened = open_account(LOCAL, endpoint=LocalEndpoint(1, cloud.endpoint_url, LOCAL.region, LOCAL.account))
    opened.client("ecr").create_repository(repositoryName=naming.repository(LOCAL))
    yield opened
    opened.client("ecr").delete_repository(repositoryName=naming.repository(LOCAL), force=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__main__.py").write_text("", encoding="utf-8")
    return tmp_path


def test_locally_the_working_tree_is_recorded_under_its_digest(account: Account, tree: Path) -> None:
    digest = push_image(account, LOCAL, tree)

    tree_digest = naming.image_tree_digest(tree)
    assert digest == f"sha256:{tree_digest}"
    assert find_image(account, LOCAL, naming.image_tag(tree_digest)) == digest


def test_pushing_the_same_tree_again_changes_nothing(account: Account, tree: Path) -> None:
    assert push_image(account, LOCAL, tree) == push_image(account, LOCAL, tree)


def test_two_trees_are_two_images(account: Account, tree: Path) -> None:
    first = push_image(account, LOCAL, tree)
    (tree / "service" / "__main__.py").write_text("# changed", encoding="utf-8")

    assert push_image(account, LOCAL, tree) != first


def test_without_a_repository_the_hint_is_to_deploy(cloud: LocalCloud, tree: Path) -> None:
    account = open_account(LOCAL, endpoint=LocalEndpoint(1, cloud.endpoint_url, LOCAL.region, LOCAL.account))

    with pytest.raises(ImagePushError, match="there is no repository mtls-ingress-local yet") as refused:
        push_image(account, LOCAL, tree)

    assert refused.value.hint == "python scripts/deploy.py deploy --env local"


def test_elsewhere_a_missing_dockerfile_is_said_in_one_line(account: Account, tree: Path) -> None:
    staging = replace(LOCAL, name="staging")
    account.client("ecr").create_repository(repositoryName=naming.repository(staging))

    with pytest.raises(ImagePushError, match=r"service/Dockerfile is absent"):
        push_image(account, staging, tree)


def test_a_build_that_fails_says_how_to_do_without_an_index(
    account: Account, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = replace(LOCAL, name="staging")
    with contextlib.suppress(account.client("ecr").exceptions.RepositoryAlreadyExistsException):
        account.client("ecr").create_repository(repositoryName=naming.repository(staging))
    (tree / "service" / "Dockerfile").write_text("FROM scratch", encoding="utf-8")
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    with pytest.raises(ImagePushError, match="docker build ended with exit code 1") as failed:
        push_image(account, staging, tree)

    assert failed.value.hint == "where no package index can be reached: make wheels, then the same again"


def _bucket(account: Account, environment: Environment) -> None:
    account.client("s3").create_bucket(Bucket=naming.certificate_bucket(environment))


def test_the_workload_needs_an_image_and_a_certificate(account: Account, tree: Path) -> None:
    needs = AccountLookout(account, LOCAL, tree).look().needs

    assert [need.what for need in needs] == [
        f"the image {naming.image_tag(naming.image_tree_digest(tree))}",
        "the server certificate",
    ]
    assert [command for need in needs for command in need.commands] == [
        "python scripts/deploy.py image push --env local",
        "python scripts/certificates.py request --env local",
        "python scripts/certificates.py install --env local --chain SIGNED_CHAIN.pem",
    ]


def test_with_both_there_it_needs_nothing_and_gets_the_digest(account: Account, tree: Path) -> None:
    digest = push_image(account, LOCAL, tree)
    _bucket(account, LOCAL)
    account.client("s3").put_object(Bucket=naming.certificate_bucket(LOCAL), Key=contract.MANIFEST_KEY, Body=b"{}")

    readiness = AccountLookout(account, LOCAL, tree).look()

    assert readiness.needs == ()
    assert readiness.parameters == {"ImageDigest": digest}
