"""
The whole ingress on this machine, from templates to answers.

What breaks it on AWS breaks it here: the tests below change one thing in a
template, deploy that, and see that nobody is answered any more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3

from scripts._local_walk import DEMO_CLIENT, Files, Ingress, Probed, Walk, curl_lines, is_of_metrics, walk
from scripts._terminal import ROOT, Terminal
from service.identity.certificate import Fingerprint
from service.metrics import COUNTERS
from stacks import naming
from stacks.catalog import Catalog, assemble
from stacks.ceremonies import key_set
from stacks.ceremonies.probe import fingerprint_of
from stacks.ceremonies.token_issue import Grant, issue_token
from stacks.deployment.endpoint import find_local_endpoint
from stacks.deployment.outcome import EnvironmentOutcome, Result
from stacks.environment import Environment
from stacks.environment_file import find_environment, parse_environment
from tests.audit_lines import read_line
from tests.embedded_metrics import published
from tests.stacks.deployment.small import LOCAL
from tests.tokens import AUDIENCE, ISSUER, Issuer, b64url

PROXY_HEADER_REFUSED = '"event":"proxy_header_refused"'
"""What the audit of the service says of a connection without the header it was told to expect."""
SOON_SECONDS = 10.0
SECOND = 0.1
"""The load balancer's shortest interval between health checks, 5 s, then takes half a second."""


def terminal() -> tuple[Terminal, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Terminal(out=out, err=err, stdin=io.StringIO(), variables={}), out, err


def test_once_every_probe_is_answered_as_it_must_and_nothing_stays() -> None:
    here, out, err = terminal()
    before = find_local_endpoint(ROOT)

    code = walk(argparse.Namespace(once=True), here, second=SECOND)

    enrolled, unknown, nobody = out.getvalue().splitlines()
    assert code == 0, err.getvalue()
    assert enrolled.startswith(f"enrolled {DEMO_CLIENT}  200 as {DEMO_CLIENT}, seen from 127.")
    assert "403 unknown_certificate, fingerprint " in unknown
    assert nobody.endswith("403 no_certificate")
    assert err.getvalue().endswith("torn down\n")
    assert find_local_endpoint(ROOT) == before


# -- one thing changed ------------------------------------------------------------------


@dataclass
class Stage:
    """An ingress that is up, whose templates can be changed."""

    walk: Walk
    ingress: Ingress
    catalog: Catalog
    said: io.StringIO
    """What the walk and its tasks say on standard error."""

    def change_load_balancer(self, change: Callable[[dict[str, Any]], None]) -> EnvironmentOutcome:
        """Change the load balancer's properties in the template of its stack, and deploy that."""
        entry = self.catalog["ingress"]
        template = json.loads(entry.body)
        change(template["Resources"]["LoadBalancer"]["Properties"])
        changed = replace(entry, template=template, body=json.dumps(template))
        stacks = tuple(changed if each is entry else each for each in self.catalog.stacks)
        return self.deploy(replace(self.catalog, stacks=stacks))

    def deploy(self, catalog: Catalog) -> EnvironmentOutcome:
        """Deploy other templates over those that stand."""
        self.walk.target = replace(self.walk.target, catalog=catalog, environment=catalog.environment)
        # Another health check can be another load balancer (CloudFormation reference), which must be named.
        return self.walk.deploy(allowed=frozenset({"LoadBalancer"}))

    def deploy_environment(self, environment: Environment) -> EnvironmentOutcome:
        """Deploy what another environment file says."""
        return self.deploy(assemble(environment))

    def ask(self, token: bytes | None = None) -> tuple[int, str, str | None]:
        """Ask as the enrolled client; tells status, name or reason, and the challenge."""
        files, ingress = self.walk.files, self.ingress
        context = ssl.create_default_context(cafile=files.trust)
        context.load_cert_chain(files.certificate, files.private_key)
        headers = {"host": ingress.host_name} | ({} if token is None else {"authorization": f"Bearer {token.decode()}"})
        with urllib3.HTTPSConnectionPool(
            ingress.address, ingress.port, ssl_context=context, server_hostname=ingress.host_name, retries=False
        ) as pool:
            answer = pool.request("GET", "/", headers=headers, timeout=10)
        document = answer.json()
        return answer.status, document.get("client") or document["reason"], answer.headers.get("www-authenticate")

    def probe(self) -> list[Probed]:
        """Ask as the three peers."""
        return self.walk.probe_all(self.ingress)

    def health(self) -> set[str]:
        """Tell what the health checks of the load balancer find."""
        elb = self.walk.target.account.client("elb")
        (balancer,) = elb.describe_load_balancers()["LoadBalancerDescriptions"]
        told = elb.describe_instance_health(LoadBalancerName=balancer["LoadBalancerName"])["InstanceStates"]
        return {instance["State"] for instance in told}

    def soon_says(self, text: str) -> bool:
        """Wait a moment for a text on standard error; the tasks' lines come by a thread of their own."""
        return self.soon(lambda: text in self.said.getvalue())

    def soon(self, happens: Callable[[], bool]) -> bool:
        """Wait a moment for what another thread or process brings about."""
        deadline = time.monotonic() + SOON_SECONDS
        while not happens() and time.monotonic() < deadline:
            time.sleep(0.01)
        return happens()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        here, _, said = terminal()
        run = Walk(LOCAL, here, stack, directory=tmp_path_factory.mktemp("client"), second=SECOND)
        run.bring_up(announced=False)
        run.deploy_and_certify()
        yield Stage(run, run.open_ingress(announced=False), run.target.catalog, said)


@pytest.fixture
def stage(standing: Stage) -> Iterator[Stage]:
    """The ingress as its templates say, before and after, and nothing said yet."""
    standing.said.seek(0)
    standing.said.truncate()
    yield standing
    assert standing.deploy(standing.catalog).exit_code == 0
    assert standing.soon(lambda: standing.health() == {"InService"})


def test_as_it_is_everybody_gets_what_he_must(stage: Stage) -> None:
    assert [probed.fault for probed in stage.probe()] == ["", "", ""]


def test_metrics_go_to_the_log_whole_and_spare_the_reader_of_the_terminal(stage: Stage) -> None:
    """CloudWatch makes metrics of a log's lines if they are as the service wrote them."""
    stage.probe()
    logs = stage.walk.target.account.client("logs")
    group = naming.service_log_group(LOCAL)

    def published_names() -> set[str]:
        events = logs.filter_log_events(logGroupName=group)["events"]
        return {each.name for event in events for each in published(read_line(event["message"] + "\n"))}

    assert stage.soon(lambda: set(COUNTERS) <= published_names())
    assert '"_aws"' not in stage.said.getvalue()
    assert '"event":"request"' in stage.said.getvalue()


@pytest.mark.parametrize("text", ["", "Traceback", "[]", "17", '{"event":"request"}', '"_aws"'])
def test_what_is_not_of_metrics_is_shown(text: str) -> None:
    assert not is_of_metrics(text)


def test_a_wrong_instance_port_answers_nobody(stage: Stage) -> None:
    """The tasks are healthy and never see the connections: the load balancer has nowhere to bring them."""

    def change(load_balancer: dict[str, Any]) -> None:
        load_balancer["Listeners"][0]["InstancePort"] = "8444"
        load_balancer["Policies"][0]["InstancePorts"] = ["8444"]

    outcome = stage.change_load_balancer(change)

    assert outcome.exit_code == 0
    assert all("the connection was closed" in probed.fault for probed in stage.probe())
    assert stage.soon_says("are closed: no instance in service takes connections on instance port 8444")
    assert stage.health() == {"InService"}
    assert PROXY_HEADER_REFUSED not in stage.said.getvalue()


def test_a_policy_for_a_port_nobody_listens_to_is_refused_and_everybody_is_still_answered(stage: Stage) -> None:
    def change(load_balancer: dict[str, Any]) -> None:
        load_balancer["Listeners"][0]["InstancePort"] = "8444"

    outcome = stage.change_load_balancer(change)

    (failed,) = (stack for stack in outcome.stacks if stack.result is Result.ROLLED_BACK)
    assert "no listener has instance port 8443" in failed.message
    assert [probed.fault for probed in stage.probe()] == ["", "", ""]


def test_without_the_proxy_protocol_policy_nobody_is_answered(stage: Stage) -> None:
    """The tasks are healthy and refuse each connection, because it begins with TLS and no PROXY header."""

    def change(load_balancer: dict[str, Any]) -> None:
        del load_balancer["Policies"]

    outcome = stage.change_load_balancer(change)

    assert outcome.exit_code == 0
    assert all("the connection was closed" in probed.fault for probed in stage.probe())
    assert stage.soon_says(PROXY_HEADER_REFUSED)
    assert stage.soon_says("bind a ProxyProtocol policy to its instance port")
    assert stage.health() == {"InService"}


@pytest.mark.parametrize("target", ["HTTP:8081/healthz", "HTTP:8080/elsewhere"])
def test_a_health_check_nobody_answers_takes_every_instance_out_of_service(stage: Stage, target: str) -> None:
    """The port is not published, or the path is not found: no instance is in service and nobody is answered."""

    def change(load_balancer: dict[str, Any]) -> None:
        load_balancer["HealthCheck"]["Target"] = target

    outcome = stage.change_load_balancer(change)

    assert outcome.exit_code == 0
    assert stage.soon(lambda: stage.health() == {"OutOfService"})
    assert all("the connection was closed" in probed.fault for probed in stage.probe())
    assert stage.soon_says("are closed: no registered instance is in service")


def test_the_curl_lines_work_from_any_directory_even_if_the_path_has_blanks(stage: Stage, tmp_path: Path) -> None:
    """They are pasted into another shell, which may stand elsewhere and be sent through a proxy."""
    directory = tmp_path / "my clone"
    directory.mkdir()
    stage.probe()
    files = Files(*(directory / path.name for path in astuple(stage.walk.files)))
    for copy, original in zip(astuple(files), astuple(stage.walk.files), strict=True):
        copy.write_bytes(original.read_bytes())

    answers = [
        subprocess.run(  # noqa: S602 -- pasted lines are for a shell
            line, shell=True, check=True, capture_output=True, cwd="/", env={"https_proxy": "http://127.0.0.1:9"}
        ).stdout
        for line in curl_lines(stage.ingress, files)
    ]

    found = [json.loads(answer) for answer in answers]
    assert [each.get("client") or each["reason"] for each in found] == [
        DEMO_CLIENT,
        "unknown_certificate",
        "no_certificate",
    ]


def test_each_file_of_the_client_is_its_owners_alone(stage: Stage) -> None:
    stage.probe()

    directory = stage.walk.files.certificate.parent
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


# -- one file edited ---------------------------------------------------------------------


@pytest.mark.slow
def test_bearer_tokens_stack_on_the_certificate_by_editing_the_environment_file(stage: Stage) -> None:
    """
    The promise: a strategy is added to a route by configuration alone.

    Its fast sibling in tests/wire starts the service with the variables that
    this file renders to; here policies of bucket and role are in play too.
    """
    text = find_environment("local", ROOT).read_text(encoding="utf-8")
    stage.probe()
    issuer, files = Issuer(), stage.walk.files
    own, foreign = (
        {"x5t#S256": b64url(bytes.fromhex(fingerprint_of(each))).decode()}
        for each in (files.certificate, files.stranger)
    )
    before = stage.ask()

    edited = parse_environment(text + TOKENS, Path("local.toml"))
    outcome = stage.deploy_environment(edited)
    admin = stage.walk.target.account.assume_role(naming.role_arn(edited, "certificate-admin"), "walk")
    key_set.install(admin, edited, issuer.key_set)
    bound_to = Fingerprint(fingerprint_of(files.certificate))
    opaque = issue_token(stage.walk.target.account, edited, DEMO_CLIENT, Grant(bound_to=bound_to)).text.encode()
    assert stage.soon(lambda: stage.said.getvalue().count('"event":"key_set_taken"') == edited.service.tasks)

    assert (before, outcome.exit_code) == ((200, DEMO_CLIENT, None), 0)
    assert stage.ask() == (401, "token_missing", 'Bearer realm="mtls-ingress"')
    assert stage.ask(issuer.token(cnf=own))[:2] == (200, DEMO_CLIENT)
    assert stage.ask(opaque)[:2] == (200, DEMO_CLIENT)
    assert stage.ask(issuer.token(cnf=foreign))[:2] == (401, "token_not_bound")


TOKENS = f"""
[[routes]]
path = "/"
all_of = ["pinned_certificate", "bearer_token"]

[bearer_token]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
key_set = "tokens/issuer.json"
"""
