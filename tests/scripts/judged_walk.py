"""A walk whose policies are judged: a running task's own credentials, and templates that somebody made too tight."""

from __future__ import annotations

import contextlib
import io
import json
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from scripts._local_walk import Walk
from scripts._terminal import Terminal
from stacks.catalog import Catalog, StackEntry
from tests.stacks.deployment.small import LOCAL

Client = Any  # boto3's clients are made at run time
Json = Any  # templates and policies are JSON
Change = Callable[[Json], None]

SECOND = 0.1
"""The load balancer's shortest interval between health checks, 5 s, then takes half a second."""
STORE = "certificate_store"
_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")


def new_walk(stack: contextlib.ExitStack, directory: Path) -> tuple[Walk, io.StringIO]:
    """Make a walk; tells where it will say how it goes."""
    said = io.StringIO()
    here = Terminal(out=io.StringIO(), err=said, stdin=io.StringIO(), variables={})
    return Walk(LOCAL, here, stack, directory=directory, second=SECOND), said


@dataclass
class TaskCredentials:
    """What a running task has: its way to AWS, and whatever its credentials endpoint gives."""

    endpoint_url: str
    given: Mapping[str, str]
    clients: list[Client] = field(default_factory=list)

    @classmethod
    def of_running_task(cls) -> TaskCredentials:
        """Look into the environment of a process that is ours, and ask as it asks."""
        environment = next(_environments())
        uri, token = environment[_VARIABLES[1]], environment[_VARIABLES[2]]
        request = urllib.request.Request(uri, headers={"Authorization": token})  # noqa: S310 - of this machine
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - of this machine
            return cls(environment[_VARIABLES[0]], json.load(answer))

    def client(self, service: str, endpoint_url: str = "") -> Client:
        """Act as the task, from where it is or from elsewhere."""
        session = boto3.Session(self.given["AccessKeyId"], self.given["SecretAccessKey"], self.given["Token"])
        make: Callable[..., Client] = session.client
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={})
        url = endpoint_url or self.endpoint_url
        self.clients.append(make(service, region_name=LOCAL.region, endpoint_url=url, config=config))
        return self.clients[-1]


def _environments() -> Iterator[Mapping[str, str]]:
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    for pid in " ".join(path.read_text() for path in children).split():
        lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
        environment = dict(line.split("=", 1) for line in lines if "=" in line)
        if set(_VARIABLES) <= set(environment):
            yield environment


# -- templates changed by hand -------------------------------------------------------------


def changed(catalog: Catalog, name: str, change: Change) -> Catalog:
    """Edit one template of a catalog."""

    def edited(entry: StackEntry) -> StackEntry:
        if entry.name != name:
            return entry
        template = json.loads(entry.body)
        change(template)
        return replace(entry, template=template, body=json.dumps(template))

    return replace(catalog, stacks=tuple(edited(entry) for entry in catalog.stacks))


def statements(template: Json, resource: str) -> list[Json]:
    """Give the statements of a policy or of a key."""
    properties = template["Resources"][resource]["Properties"]
    found: list[Json] = (properties.get("PolicyDocument") or properties["KeyPolicy"])["Statement"]
    return found


def statement(template: Json, resource: str, sid: str) -> Json:
    """Find one statement."""
    return next(each for each in statements(template, resource) if each["Sid"] == sid)


def grant_no_decryption(template: Json) -> None:
    """Take the task its grant on the key."""
    found = statements(template, "TaskReadsCertificate")
    found[:] = [each for each in found if each["Sid"] != "DecryptThroughS3"]


def decrypt_through_another_service(template: Json) -> None:
    """Let the task decrypt for tables, and not for objects."""
    grant = statement(template, "TaskReadsCertificate", "DecryptThroughS3")
    grant["Condition"]["StringEquals"]["kms:ViaService"] = f"dynamodb.{LOCAL.region}.amazonaws.com"


def exempt_no_task_from_the_bucket(template: Json) -> None:
    """Lock the task out with everybody else."""
    _exempt_no_task(statement(template, "CertificateBucketPolicy", "NoOtherReadsTheKey"))


def exempt_no_task_from_the_key(template: Json) -> None:
    """Keep the task from the key as everybody else."""
    _exempt_no_task(statement(template, "CertificateKey", "NoOtherReadsWithIt"))


def _exempt_no_task(denial: Json) -> None:
    exempt = denial["Condition"]["ArnNotLike"]
    exempt["aws:PrincipalArn"] = [arn for arn in exempt["aws:PrincipalArn"] if not str(arn).endswith("-task")]


def forget_the_prefix(template: Json) -> None:
    """Grant the pair where it is not."""
    pair = statement(template, "TaskReadsCertificate", "ReadPair")
    pair["Resource"] = json.loads(json.dumps(pair["Resource"]).replace("/server/", "/"))


def pin_elsewhere(template: Json) -> None:
    """Pin the task to an endpoint it does not come through."""
    pin = statement(template, "CertificateBucketPolicy", "TaskOnlyThroughTheEndpoint")
    pin["Condition"]["StringNotEquals"]["aws:SourceVpce"] = "vpce-00000000000000000"
