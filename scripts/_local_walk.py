"""
The whole ingress on this machine: what `make local` does.

1. The embedded AWS comes up, with the data plane that makes it act.
2. The roles of a deployment are made, as an administrator does once, and the stacks are deployed as far as they go.
3. A development authority answers the certificate's request; it is installed
   by the ceremony and the role that a real environment uses.
4. The image is recorded: it is the working tree.
5. The remaining stacks are deployed; tasks start behind the balancer.
6. A demo client is enrolled.
7. Real connections through the balancer show who is answered and who is
   refused, and why.
8. It stays up until Ctrl-C, or with `--once` goes down again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from scripts import _stack_verbs
from scripts._check_verb import refuse_faults
from scripts._terminal import ROOT, ExitCode, Style, Terminal
from scripts._watcher import TerminalWatcher
from service import contract
from service.identity.certificate import parse_certificate
from stacks import naming
from stacks.ceremonies import enrollment, server_certificate
from stacks.ceremonies.development_authority import DevelopmentAuthority
from stacks.ceremonies.probe import Answer, probe
from stacks.ceremonies.probe_faults import ProbeFailedError
from stacks.deployment.account import LOCAL, open_account
from stacks.deployment.endpoint import STATE_FILE, LocalEndpoint, announce, claim, withdraw
from stacks.deployment.image import push_image
from stacks.deployment.outcome import EnvironmentOutcome
from stacks.deployment.rollout import Target
from stacks.environment import Environment
from stacks.environment_file import find_environment, load_environment
from stacks.errors import DeploymentError
from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.data_plane import DataPlane, PlaneOptions
from stacks.local_cloud.task_output import OutputLine

DEMO_CLIENT: Final = "demo-partner"
_PATH: Final = "/"
_PROBE_ADDRESS: Final = "127.1.2.3"
"""Where the probes connect from: the embedded cloud draws its own addresses above 127.64."""
_HEALTHY_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.5


class LocalDeploymentFailedError(DeploymentError):
    """The templates do not come up in the embedded cloud."""

    def __init__(self, outcome: EnvironmentOutcome) -> None:
        failed = [stack for stack in outcome.stacks if stack.exit_code]
        super().__init__("; ".join(f"{stack.name} {stack.result}: {stack.message}" for stack in failed))
        self.exit_code = outcome.exit_code


class NotHealthyError(DeploymentError):
    """The balancer has no healthy instance to send a connection to."""

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, states: Mapping[str, str]) -> None:
        found = ", ".join(f"{instance} {state}" for instance, state in sorted(states.items())) or "no instance"
        super().__init__(
            f"after {_HEALTHY_SECONDS:.0f} s no instance passes the load balancer's health check: {found}",
            hint="what the tasks said stands above; compare listener, health check and container ports",
        )


class CallRefusedError(DeploymentError):
    """The policies as they are deployed refuse what the ingress needs to come up."""

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, refusals: Iterable[str]) -> None:
        self.refusals = tuple(refusals)
        told = "".join(f"\n  {each}" for each in self.refusals)
        super().__init__(
            f"the deployed policies refuse what the ingress needs{told}",
            hint="loosen the statement it names, or allow the action in a policy of that role, in stacks/templates/",
        )


class NotListeningError(DeploymentError):
    """The load balancer has no listener where partners connect."""

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, load_balancer: str) -> None:
        super().__init__(
            f"the load balancer {load_balancer} does not listen on port {contract.PUBLIC_PORT}",
            hint="look at the Listeners of LoadBalancer in stacks/templates/ingress.py",
        )


@dataclass(frozen=True, slots=True)
class Files:
    """What a client needs, as files that only their owner reads."""

    trust: Path
    certificate: Path
    private_key: Path
    stranger: Path
    stranger_key: Path

    @classmethod
    def write(cls, directory: Path, authority: DevelopmentAuthority) -> Files:
        """Make a demo client and a stranger, and write them down."""
        client, client_key = authority.issue_client(DEMO_CLIENT)
        stranger, stranger_key = authority.issue_client("stranger")
        return cls(
            trust=_write(directory / "authority.pem", authority.certificate_pem),
            certificate=_write(directory / "client.pem", client),
            private_key=_write(directory / "client-key.pem", client_key),
            stranger=_write(directory / "stranger.pem", stranger),
            stranger_key=_write(directory / "stranger-key.pem", stranger_key),
        )


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe: who asked, what came, and what is wrong with it (nothing, if empty)."""

    who: str
    answer: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Ingress:
    """The front door as a client finds it."""

    host_name: str
    address: str
    port: int

    @property
    def url(self) -> str:
        """What a client asks."""
        return f"https://{self.host_name}:{self.port}{_PATH}"


def walk(options: argparse.Namespace, terminal: Terminal, *, second: float = 1.0) -> int:
    """
    Walk the whole way; the docstring of this module numbers its steps.

    Args:
        options: The command line.
        terminal: Where to say how it goes.
        second: How long a second of the load balancer really lasts; a test has less time.
    """
    environment = load_environment(find_environment(LOCAL, ROOT))
    stays = not options.once
    with contextlib.ExitStack() as stack:
        if stays:
            stack.enter_context(claim(ROOT))
        stack.enter_context(_ended_by_sigterm())
        directory = _directory(stack, stays=stays)
        run = Walk(environment, terminal, stack, directory=directory, second=second)
        run.bring_up(announced=stays)
        run.deploy_and_certify()
        ingress = run.open_ingress(announced=stays)
        probed = run.probe_all(ingress)
        faults = [each for each in probed if each.fault]
        for each in faults:
            terminal.error(f"{each.who}: {each.fault}", hint="the tasks' lines above say what the service decided")
        if stays:
            run.stay(ingress)
    terminal.progress("torn down")
    return ExitCode.UNEXPECTED if faults else ExitCode.DONE


class Walk:
    """One embedded ingress, from nothing to its last connection."""

    def __init__(
        self,
        environment: Environment,
        terminal: Terminal,
        stack: contextlib.ExitStack,
        *,
        directory: Path,
        second: float = 1.0,
    ) -> None:
        """
        Begin.

        Args:
            environment: The one named local.
            terminal: Where to say how it goes.
            stack: Ends what was started, the last first.
            directory: For the files of the demo client.
            second: How long a second of the load balancer really lasts.
        """
        self._environment = environment
        self._terminal = terminal
        self._stack = stack
        self._directory = directory
        self._second = second
        self._authority = DevelopmentAuthority.create(datetime.now(UTC))
        self._started = time.monotonic()
        self._refusals: set[str] = set()

    def bring_up(self, *, announced: bool) -> None:
        """Start the embedded AWS and what acts in it."""
        self._cloud = self._stack.enter_context(
            LocalCloud(
                region=self._environment.region, account=self._environment.account, on_refusal=self._call_refused
            )
        )
        self._data_plane = DataPlane(
            self._cloud.client,
            self._cloud.open_door,
            ROOT,
            PlaneOptions(on_output=self._task_said, report=self._terminal.warning, second=self._second),
        )
        self._cloud.stand_ins.extend(self._data_plane.stand_ins())
        self._data_plane.start()
        self._stack.callback(self._data_plane.stop)
        self._endpoint = LocalEndpoint(
            pid=os.getpid(),
            endpoint_url=self._cloud.endpoint_url,
            region=self._environment.region,
            account=self._environment.account,
        )
        if announced:
            self._stack.callback(withdraw, ROOT, self._endpoint)
            announce(ROOT, self._endpoint)
        account = open_account(self._environment, endpoint=self._endpoint)
        self.target = _stack_verbs.target_of(self._environment, account)
        refuse_faults(self._environment, self.target.catalog)
        self._say(f"embedded AWS is up at {self._cloud.endpoint_url}")

    def deploy_and_certify(self) -> None:
        """Make the roles of a deployment, deploy as far as it goes, make what the workload waits for, and the rest."""
        first = self.deploy(_stack_verbs.beginning(self.target))
        if first.exit_code:
            raise LocalDeploymentFailedError(first)
        outcome = self.deploy()
        if outcome.needs:
            self._install_certificate()
            digest = push_image(self.target.account, self._environment, ROOT)
            self._say(f"image recorded: {digest}")
            outcome = self.deploy()
        if outcome.exit_code:
            raise LocalDeploymentFailedError(outcome)
        self._say(f"{len(outcome.stacks)} stacks stand")

    def deploy(self, target: Target | None = None, *, allowed: frozenset[str] = frozenset()) -> EnvironmentOutcome:
        """
        Bring the embedded AWS to what the templates say.

        Args:
            target: None is all that is not bootstrap's.
            allowed: What may be replaced or removed although it holds state, by logical id.
        """
        run = _stack_verbs.rollout(target or self.target, TerminalWatcher(self._terminal, is_brief=True))
        try:
            run.prepare()
            return run.execute(allowed=allowed)
        finally:
            run.discard()
            self._terminal.live("")

    def open_ingress(self, *, announced: bool) -> Ingress:
        """Wait until the balancer has somebody to send connections to, and say where it listens."""
        ingress_stack = naming.stack_name(self._environment, "ingress")
        described = self.target.account.client("cloudformation").describe_stacks(StackName=ingress_stack)["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
        name = outputs[naming.Output.LOAD_BALANCER_NAME]
        self._wait_until_healthy(name)
        address, port = self._listening(name)
        if announced:
            announce(ROOT, replace(self._endpoint, balancer_address=address, balancer_port=port))
        self._say(f"the load balancer listens on {address} port {port}")
        return Ingress(self._environment.ingress.host_name, address, port)

    def probe_all(self, ingress: Ingress) -> list[Probed]:
        """Enroll the demo client and show, from real connections, who is answered and who is refused."""
        self.files = Files.write(self._directory, self._authority)
        certificate = self.files.certificate.read_bytes()
        enrollment.enroll(self.target.account, self._environment, DEMO_CLIENT, certificate)
        self._say(f"enrolled {DEMO_CLIENT}")
        client = Prober(ingress, self.files)
        probed = [client.enrolled(), client.stranger(), client.nobody()]
        for each in probed:
            line = f"{each.who:<22} {each.answer}"
            self._terminal.out(self._terminal.style(line, Style.RED if each.fault else Style.GREEN, on_out=True))
        self._say("probed")
        return probed

    def stay(self, ingress: Ingress) -> None:
        """Stay up until Ctrl-C, showing what the tasks say."""
        self._terminal.progress("in another terminal, the same three:")
        for line in curl_lines(ingress, self.files):
            self._terminal.out(line)
        self._terminal.progress("up until Ctrl-C; the tasks' audit lines follow")
        with contextlib.suppress(KeyboardInterrupt):
            while True:  # in steps, for a signal may reach another thread first and wake nobody
                time.sleep(_PAUSE_SECONDS)
        self._terminal.progress("going down")

    def _install_certificate(self) -> None:
        """Request, sign and install, as the role that may."""
        role = naming.role_arn(self._environment, "certificate-admin")
        admin = self.target.account.assume_role(role, "local-walk")
        request = server_certificate.request(admin, self._environment)
        manifest = server_certificate.install(
            admin, self._environment, self._authority.sign(request), at=datetime.now(UTC)
        )
        self._say(f"certificate for {manifest.host_name} installed, good until {manifest.not_after:%Y-%m-%d}")

    def _wait_until_healthy(self, load_balancer: str) -> None:
        client = self.target.account.client("elb")
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while True:
            found = client.describe_instance_health(LoadBalancerName=load_balancer)["InstanceStates"]
            states = {each["InstanceId"]: each["State"] for each in found}
            if "InService" in states.values():
                return
            if self._refusals:
                raise CallRefusedError(sorted(self._refusals))
            if time.monotonic() > deadline:
                raise NotHealthyError(states)
            time.sleep(_LOOK_SECONDS)

    def _listening(self, load_balancer: str) -> tuple[str, int]:
        found = self._data_plane.address_of_load_balancer(load_balancer, contract.PUBLIC_PORT)
        if found is None:
            raise NotListeningError(load_balancer)
        return found

    def _call_refused(self, reason: str) -> None:
        """Show once why the deployed policies refuse a call; who was refused may try again and again."""
        words = re.sub(r"(:assumed-role/[^/]+/)\S+", r"\1...", reason)  # each task's session is another one
        if words not in self._refusals:
            self._refusals.add(words)
            self._terminal.warning(f"refused: {words}")

    def _task_said(self, line: OutputLine) -> None:
        if is_of_metrics(line.text):
            return
        self._terminal.progress(self._terminal.style(f"task {line.task_id[:8]}: {line.text}", Style.FAINT))

    def _say(self, text: str) -> None:
        self._terminal.progress(f"[{time.monotonic() - self._started:5.1f} s] {text}")


class Prober:
    """Asks the ingress as three peers would, and knows what each must be told."""

    def __init__(self, ingress: Ingress, files: Files) -> None:
        self._ingress = ingress
        self._files = files
        self._source = _PROBE_ADDRESS if _is_ours(_PROBE_ADDRESS) else None

    def enrolled(self) -> Probed:
        """An enrolled client is answered with its name and the address it sees itself."""

        def judge(answer: Answer) -> str:
            own = {"client": DEMO_CLIENT, "address": answer.local_address[0], "port": answer.local_address[1]}
            told = {name: answer.document.get(name) for name in own}
            if answer.status == 200 and told == own:  # noqa: PLR2004 -- what HTTP calls OK
                return ""
            return f"expected 200 and {own}, got {answer.status} and {told}"

        return self._ask(f"enrolled {DEMO_CLIENT}", judge, self._files.certificate, self._files.private_key)

    def stranger(self) -> Probed:
        """A certificate nobody enrolled is refused, and its fingerprint named."""
        fingerprint = parse_certificate(self._files.stranger.read_bytes()).fingerprint.hex
        return self._ask(
            "unknown certificate",
            lambda answer: _refusal_fault(answer, "unknown_certificate", fingerprint),
            self._files.stranger,
            self._files.stranger_key,
        )

    def nobody(self) -> Probed:
        """A peer without a certificate is refused, and told so."""
        return self._ask("no certificate", lambda answer: _refusal_fault(answer, "no_certificate", None))

    def _ask(
        self,
        who: str,
        judge: Callable[[Answer], str],
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> Probed:
        try:
            answer = probe(
                self._ingress.url,
                certificate=certificate,
                private_key=private_key,
                trust=self._files.trust,
                connect_to=(self._ingress.address, self._ingress.port),
                source_address=self._source,
            )
        except ProbeFailedError as error:
            return Probed(who, f"no answer: {error}", fault=str(error))
        return Probed(who, _words(answer), fault=judge(answer))


def curl_lines(ingress: Ingress, files: Files) -> Iterator[str]:
    """Write the same three requests as commands to paste, whatever the directory and the proxy of that shell."""
    resolve = f"{ingress.host_name}:{ingress.port}:{ingress.address}"
    common = ["curl", "--noproxy", "*", "--cacert", str(files.trust), "--resolve", resolve]
    enrolled = ["--cert", str(files.certificate), "--key", str(files.private_key)]
    stranger = ["--cert", str(files.stranger), "--key", str(files.stranger_key)]
    for shown in (enrolled, stranger, []):
        yield shlex.join([*common, *shown, ingress.url])


def is_of_metrics(text: str) -> bool:
    """Tell a line that CloudWatch reads as metrics, by the member that its format demands; nobody else wants to."""
    try:
        line = json.loads(text)
    except ValueError:
        return False
    return isinstance(line, dict) and "_aws" in line


def _words(answer: Answer) -> str:
    if answer.is_accepted:
        seen = answer.document
        return f"{answer.status} as {seen.get('client')}, seen from {seen.get('address')} port {seen.get('port')}"
    words = f"{answer.status} {answer.reason}"
    return f"{words}, fingerprint {answer.fingerprint}" if answer.fingerprint else words


def _refusal_fault(answer: Answer, reason: str, fingerprint: str | None) -> str:
    told = (answer.status, answer.reason, answer.fingerprint)
    expected = (403, reason, fingerprint)
    return "" if told == expected else f"expected {expected}, got {told}"


def _is_ours(address: str) -> bool:
    """Tell whether this machine has the address; macOS has 127.0.0.1 alone until told otherwise."""
    with socket.socket() as tried:
        try:
            tried.bind((address, 0))
        except OSError:
            return False
    return True


def _directory(stack: contextlib.ExitStack, *, stays: bool) -> Path:
    """Choose where the client's files go: beside the state file if they are to be used, else where they vanish."""
    if not stays:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mtls-ingress-")))
    directory = (ROOT / STATE_FILE).parent / "demo"
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(directory, ignore_errors=True)  # of a walk that was killed
    directory.mkdir(mode=0o700)
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _write(path: Path, content: bytes) -> Path:
    """Write a file that only its owner reads, from its first moment on."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 -- a descriptor
        file.write(content)
    return path


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the walk as Ctrl-C does, with everything put away."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
