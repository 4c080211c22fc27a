"""The part of `local` that holds what is guarded, deployed as it is rendered, and everybody who may come to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from service.contract import CHAIN_KEY, MANIFEST_KEY, PRIVATE_KEY_KEY
from stacks import naming
from stacks.catalog import StackEntry, assemble
from stacks.local_cloud.authorizer.context import OVERRIDE_HEADER
from stacks.local_cloud.cloud import LocalCloud
from stacks.naming import RoleKind
from tests.stacks.deployment.small import LOCAL

Client = Any  # boto3's clients are made at run time
Change = Callable[[dict[str, Any]], None]

GUARDED = ("bootstrap", "network", "identity", "certificate_store", "client_registry")
BUCKET = naming.certificate_bucket(LOCAL)
TABLE = naming.client_registry_table(LOCAL)
FINGERPRINT = "0" * 64
DOOR = "127.77.77.77"
_CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}, signature_version="v4")
_DONE_SECONDS = 30.0


@dataclass
class Deployed:
    """An embedded account, and clients of whoever a test speaks for."""

    cloud: LocalCloud
    refusals: list[str]
    outputs: dict[str, str] = field(default_factory=dict)
    clients: dict[tuple[Any, ...], Client] = field(default_factory=dict)
    door: str = ""
    """Where an instance in a private subnet finds the cloud."""
    session: boto3.Session = field(init=False)

    def __post_init__(self) -> None:
        """Make the session whose description of the services all clients share."""
        self.session = boto3.Session()

    def deploy(self, names: tuple[str, ...] = GUARDED, *, changes: Mapping[str, Change] | None = None) -> None:
        """Create stacks as they are rendered, some of them changed by hand; or update those that stand."""
        for entry in assemble(LOCAL).every:
            if entry.name in names:
                template = json.loads(entry.body)
                if changes is not None and entry.name in changes:
                    changes[entry.name](template)
                self._create_or_update(entry, template)

    def fill(self) -> None:
        """Put into the bucket and the table what the service reads, and one thing it does not."""
        s3, table = self.cloud.client("s3"), self.cloud.client("dynamodb")
        for key in (MANIFEST_KEY, CHAIN_KEY, PRIVATE_KEY_KEY, "server/pending.key", "elsewhere/other"):
            given = {"ServerSideEncryption": "AES256"} if key == MANIFEST_KEY else {}
            s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), **given)
        table.put_item(TableName=TABLE, Item={"fingerprint": {"S": FINGERPRINT}})

    def place_instance(self) -> None:
        """Launch an instance in a private subnet, and open its door."""
        subnet = self.outputs["PrivateSubnetIds"].split(",")[0]
        image = self.cloud.client("ec2").describe_images()["Images"][0]["ImageId"]
        launched = self.cloud.client("ec2").run_instances(ImageId=image, SubnetId=subnet, MinCount=1, MaxCount=1)
        self.door = self.cloud.open_door(launched["Instances"][0]["InstanceId"], DOOR)

    def as_role(
        self, kind: RoleKind, service: str, *, inside: bool = True, context: Mapping[str, Any] | None = None
    ) -> Client:
        """
        Speak as a session of a role, from the instance unless told otherwise.

        Args:
            kind: Of the role.
            service: To whom.
            inside: From the instance in the VPC, or from the outside.
            context: Condition keys that are otherwise than they would be.
        """
        wanted = (kind, service, inside, str(context))
        if wanted not in self.clients:
            role = naming.role_arn(LOCAL, kind)
            given = self.cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
            credentials = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
            self.clients[wanted] = self.client(service, *credentials, inside=inside, context=context)
        return self.clients[wanted]

    def as_operator(self, service: str) -> Client:
        """Speak as whoever types a command."""
        if (service,) not in self.clients:
            self.clients[(service,)] = self.client(service, "local", "local")
        return self.clients[(service,)]

    def client(
        self, service: str, *credentials: str, inside: bool = False, context: Mapping[str, Any] | None = None
    ) -> Client:
        """Make a client of these credentials; whoever makes one that `clients` does not hold closes it."""
        url = self.door if inside else self.cloud.endpoint_url
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        given = dict(zip(names, credentials, strict=False))
        make: Callable[..., Client] = self.session.client
        made = make(service, region_name=LOCAL.region, endpoint_url=url, config=_CONFIG, **given)
        if context is not None:
            header = json.dumps(context)
            made.meta.events.register("before-sign.*.*", lambda request, **_: _add(request, header))
        return made

    def close(self) -> None:
        """Close the clients."""
        for made in self.clients.values():
            made.close()

    def _create_or_update(self, entry: StackEntry, template: Mapping[str, Any]) -> None:
        cloudformation = self.cloud.client("cloudformation")
        given = {
            "StackName": entry.stack_name,
            "TemplateBody": json.dumps(template),
            "Parameters": [{"ParameterKey": name, "ParameterValue": self.outputs[name]} for name in entry.inputs],
            "Capabilities": list(entry.capabilities),
        }
        there = {stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]}
        (cloudformation.update_stack if entry.stack_name in there else cloudformation.create_stack)(**given)
        deadline = time.monotonic() + _DONE_SECONDS
        while (stack := self._stack(entry))["StackStatus"].endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, stack
        self.outputs |= {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def _stack(self, entry: StackEntry) -> dict[str, Any]:
        return dict(self.cloud.client("cloudformation").describe_stacks(StackName=entry.stack_name)["Stacks"][0])


def _add(request: Any, header: str) -> None:
    request.headers[OVERRIDE_HEADER] = header
