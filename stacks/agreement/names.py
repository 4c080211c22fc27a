"""Names that fit the services that bear them, and differ where they must."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final

from stacks import naming
from stacks.agreement.promise import Promise
from stacks.environment import Environment

_LONGEST_BUCKET: Final = 63
"""Characters (S3 user guide, bucket naming rules)."""
_LONGEST_PROJECT_AND_NAME: Final = 31
"""Characters without the hyphen between; a role's name has 64 at most, a backup vault's 50 (IAM and AWS Backup API)."""
_MOST_TAGS: Final = 40
"""Fifty tags are the most a resource bears; some of them have tags of ours beside the environment's."""
_TAGS_OF_OTHERS: Final = (naming.STACK_TAG.lower(), "amazonecsmanaged", "name")
"""What we, and ECS, tell resources by."""


def name_promises(environment: Environment) -> Iterator[Promise]:
    """Judge the names that are made of project and environment, and those the account prescribes."""
    length = len(environment.project) + len(environment.name)
    yield Promise(
        ("project", "name"),
        length <= _LONGEST_PROJECT_AND_NAME,
        f"project and name of {_LONGEST_PROJECT_AND_NAME} characters together, or names of roles become too long",
        f"{length} characters",
    )
    if length <= _LONGEST_PROJECT_AND_NAME:
        yield from _length_promises(environment)
    yield from _difference_promises(environment)
    yield Promise(
        ("names.trail_bucket", "audit_trail"),
        environment.names.trail_bucket is None or environment.audit_trail is not None,
        "the table [audit_trail] beside it",
        "none: this name is for nothing",
    )
    path = environment.names.role_path or ""
    yield Promise(
        ("names.role_path",),
        not path.startswith(("/aws-service-role/", "/aws-reserved/", "/service-role/")),
        "a path of your own; AWS keeps those for roles of its services",
        f'"{path}"',
    )


def _buckets(environment: Environment) -> dict[str, str]:
    """Name every bucket there will be, by its key in `[names]`."""
    buckets = {
        "certificate_bucket": naming.certificate_bucket(environment),
        "log_bucket": naming.log_bucket(environment),
    }
    if environment.audit_trail is not None:
        buckets["trail_bucket"] = naming.trail_bucket(environment)
    return buckets


def _length_promises(environment: Environment) -> Iterator[Promise]:
    # The longest tells for all of them: a shorter project mends every one.
    key, longest = max(_buckets(environment).items(), key=lambda bucket: len(bucket[1]))
    yield Promise(
        ("project", "name", "account", "region", f"names.{key}"),
        len(longest) <= _LONGEST_BUCKET,
        f"project and name short enough for a bucket of {_LONGEST_BUCKET} characters, or names.{key}",
        f'"{longest}" of {len(longest)} characters',
    )


def _difference_promises(environment: Environment) -> Iterator[Promise]:
    for (one, name), (other, same) in itertools.combinations(_buckets(environment).items(), 2):
        yield Promise(
            (f"names.{other}", f"names.{one}"),
            name != same,
            f"another bucket than {one}",
            f'"{same}" again',
        )


def tag_promises(tags: Mapping[str, str]) -> Iterator[Promise]:
    """Judge the tags that every resource bears."""
    yield Promise(
        ("tags",),
        len(tags) <= _MOST_TAGS,
        f"at most {_MOST_TAGS} tags",
        f"{len(tags)}",
    )
    lower = [key.lower() for key in tags]
    for index, key in enumerate(tags):
        yield Promise(
            (f"tags.{key}", "tags"),
            key.lower() not in lower[:index],
            "keys that differ by more than case, for IAM takes them as one",
            f'"{key}" again',
        )
        yield Promise(
            (f"tags.{key}", "tags"),
            key.lower() not in _TAGS_OF_OTHERS,
            "a key that neither we nor ECS tell resources by",
            f'"{key}"',
        )
