"""Names are by convention, and fit where AWS limits them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings

from stacks import naming
from stacks.environment_file import parse_environment
from tests.stacks.any_environment import environment_texts
from tests.stacks.environments import changed, environment


def test_names_begin_with_project_and_environment() -> None:
    staging = environment("staging")

    assert naming.stack_name(staging, "certificate_store") == "mtls-ingress-staging-certificate-store"
    assert naming.role_name(staging, "certificate-admin") == "mtls-ingress-staging-certificate-admin"
    assert naming.role_arn(staging, "task") == "arn:aws:iam::111122223333:role/mtls-ingress/mtls-ingress-staging-task"
    assert naming.client_registry_table(staging) == "mtls-ingress-staging-client-registry"
    assert naming.service_log_group(staging) == "/mtls-ingress/staging/service"


def test_a_bucket_is_named_by_account_and_region_too() -> None:
    """Bucket names are the whole world's (K19)."""
    name = naming.certificate_bucket(environment("staging"))

    assert name == "mtls-ingress-staging-certificate-111122223333-us-east-1"


def test_the_longest_names_an_environment_may_have_fit_a_bucket() -> None:
    longest = changed(
        ('project = "mtls-ingress"', f'project = "{"p" * 15}"'),
        ('region = "us-east-1"', 'region = "ap-southeast-1"'),
        ('["us-east-1a", "us-east-1b"]', '["ap-southeast-1a", "ap-southeast-1b"]'),
    )

    assert len(naming.certificate_bucket(longest)) == 63


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(environment_texts())
def test_any_environments_names_differ(text: str) -> None:
    drawn = parse_environment(text, Path("drawn.toml"))

    names = [
        naming.certificate_bucket(drawn),
        naming.log_bucket(drawn),
        naming.client_registry_table(drawn),
        naming.service_name(drawn),
        naming.topic_name(drawn),
        *(naming.role_name(drawn, kind) for kind in ("task", "execution", "instance", "certificate-admin")),
    ]

    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for name in names)


def test_the_image_goes_by_the_bytes_it_is_built_from(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "one", {"service/a.py": b"1", "service/inside/b.py": b"2"})
    before = naming.image_tree_digest(tree)

    (tree / "service" / "a.py").write_bytes(b"3")

    assert len(before) == 64
    assert naming.image_tree_digest(tree) != before
    assert naming.image_tag(before) == f"tree-{before[:16]}"


def test_a_file_that_moves_makes_another_image(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", {"service/a.py": b"1", "service/b.py": b"2"})
    other = _tree(tmp_path / "other", {"service/a.py": b"2", "service/b.py": b"1"})

    assert naming.image_tree_digest(one) != naming.image_tree_digest(other)


def test_what_is_no_part_of_the_service_makes_no_other_image(tmp_path: Path) -> None:
    one = _tree(tmp_path / "one", {"service/a.py": b"1"})
    other = _tree(
        tmp_path / "other",
        {
            "service/a.py": b"1",
            "service/__pycache__/a.pyc": b"2",
            "service/wheels/boto3.whl": b"3",
            "stacks/catalog.py": b"4",
        },
    )

    assert naming.image_tree_digest(one) == naming.image_tree_digest(other)


def _tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root
