"""One embedded cloud with a cluster, a load balancer and a data plane, and the small program its tasks run."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stacks.deployment.image import record_image
from stacks.local_cloud.cloud import LocalCloud
from stacks.local_cloud.data_plane import DataPlane, PlaneOptions
from stacks.local_cloud.scheduler import RestartPace
from stacks.local_cloud.task_output import OutputLine
from stacks.naming import image_tree_digest

ACCOUNT = "123456789012"
CLUSTER, BALANCER = "cluster", "balancer"
LOG_GROUP = "/mtls-ingress/service"
REPOSITORY = "mtls-ingress"
TASK_ROLE = f"arn:aws:iam::{ACCOUNT}:role/task"
SECOND = 0.02
"""A second the load balancer was told: its shortest interval, 5 s, then takes a tenth of a second."""

PROGRAM = '''
"""Answers commands on 8443 and health on 8080 of its own address; takes a PROXY header if there is one."""
import http.server, json, os, signal, socketserver, sys, threading, time

ADDRESS = os.environ["MTLS_BIND_ADDRESS"]
health, deaf = [200], []

class Commands(socketserver.StreamRequestHandler):
    def handle(self):
        header = "-"
        while line := self.rfile.readline().decode().strip():
            if line.startswith("PROXY"):
                header = line
                continue
            word, _, rest = line.partition(" ")
            self.answer(word, rest, header)

    def answer(self, word, rest, header):
        if word == "hello":
            self.say(json.dumps([ADDRESS, header, os.environ.get("VERSION", "")]))
        elif word == "environment":
            self.say(json.dumps(dict(os.environ)))
        elif word == "wait":
            time.sleep(float(rest))
            self.say("waited")
        elif word == "all":
            self.say(str(len(self.rfile.read())))
        elif word == "die":
            os._exit(int(rest))
        elif word == "deaf":
            deaf.append(True)
            self.say("deaf")
        elif word == "health":
            health[0] = int(rest)
            self.say("health")

    def say(self, text):
        self.wfile.write(text.encode() + b"\\n")

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(health[0])
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

def end(*_):
    if not deaf:
        print("goodbye", flush=True)
        os._exit(0)

signal.signal(signal.SIGTERM, end)
for port, handler in ((8443, Commands), (8080, Health)):
    threading.Thread(target=Server((ADDRESS, port), handler).serve_forever, daemon=True).start()
print("listening on", ADDRESS, flush=True)
print("a word on standard error", file=sys.stderr, flush=True)
threading.Event().wait()
'''


def eventually(claim: Callable[[], object], *, within: float = 15.0) -> None:
    """Poll until the claim holds; fail with its name after the bound."""
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(0.1)


@dataclass
class Stage:
    """The embedded cloud under test; calls of AWS through `client`, connections through `ask`."""

    cloud: LocalCloud
    root: Path
    plane: DataPlane = field(init=False)
    lines: list[OutputLine] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    tests: int = 0

    def start(self, **options: Any) -> None:
        """Write the program, start the data plane and make what every test needs."""
        program = self.root / "service" / "__main__.py"
        program.parent.mkdir(parents=True)
        program.write_text(PROGRAM)
        chosen = {"pace": RestartPace(first_seconds=0.1, limit_seconds=0.4), "second": SECOND,
                  "moving_seconds": 0.1, **options}  # fmt: skip
        self.plane = DataPlane(
            self.cloud.client,
            self.cloud.open_door,
            self.root,
            PlaneOptions(on_output=self.lines.append, report=self.reports.append, **chosen),
        )
        self.cloud.stand_ins.extend(self.plane.stand_ins())
        self.plane.start()
        self.client("ecs").create_cluster(clusterName=CLUSTER)
        self.client("logs").create_log_group(logGroupName=LOG_GROUP)
        self.client("ecr").create_repository(repositoryName=REPOSITORY)
        self.record_image()
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                                "Action": "sts:AssumeRole"}], "Version": "2012-10-17"}  # fmt: skip
        self.client("iam").create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(trust))

    def client(self, service: str) -> Any:
        """Give a client of the embedded cloud."""
        return self.cloud.client(service)

    @property
    def service_name(self) -> str:
        """The service of the running test: another one each time, for ECS remembers what stopped."""
        return f"service-{self.tests}"

    # -- making --------------------------------------------------------------------
    def record_image(self) -> None:
        """Put the tree as it is into the repository."""
        record_image(self.client("ecr"), REPOSITORY, image_tree_digest(self.root))

    @property
    def image(self) -> str:
        """The image a task definition must name now."""
        return f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}@sha256:{image_tree_digest(self.root)}"

    def instances(self, count: int, *, cluster: str = CLUSTER) -> None:
        """Make an Auto Scaling group whose user data names the cluster."""
        user_data = f"#!/bin/bash\necho ECS_CLUSTER={cluster} >> /etc/ecs/ecs.config\n"
        data = {
            "ImageId": "ami-03cf127a",
            "InstanceType": "t3.small",
            "UserData": base64.b64encode(user_data.encode()).decode(),
        }
        template = self.client("ec2").create_launch_template(LaunchTemplateName=cluster, LaunchTemplateData=data)
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=cluster,
            LaunchTemplate={"LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"], "Version": "1"},
            MinSize=count,
            MaxSize=8,
            AvailabilityZones=["us-east-1a"],
        )

    def load_balancer(self, *, proxy: bool = True, instance_port: int = 8443, **health: Any) -> None:
        """Make the load balancer, with the ProxyProtocol policy or without."""
        elb = self.client("elb")
        listener = {
            "Protocol": "TCP",
            "LoadBalancerPort": 443,
            "InstanceProtocol": "TCP",
            "InstancePort": instance_port,
        }
        elb.create_load_balancer(LoadBalancerName=BALANCER, Listeners=[listener], AvailabilityZones=["us-east-1a"])
        elb.create_load_balancer_policy(
            LoadBalancerName=BALANCER,
            PolicyName="proxy",
            PolicyTypeName="ProxyProtocolPolicyType",
            PolicyAttributes=[{"AttributeName": "ProxyProtocol", "AttributeValue": "true"}],
        )
        if proxy:
            self.bind_policies(["proxy"], instance_port=instance_port)
        self.health_check(**health)
        self.attributes(draining=300)

    def bind_policies(self, names: Sequence[str], *, instance_port: int = 8443) -> None:
        """Bind policies to an instance port."""
        self.client("elb").set_load_balancer_policies_for_backend_server(
            LoadBalancerName=BALANCER, InstancePort=instance_port, PolicyNames=list(names)
        )

    def health_check(self, *, target: str = "HTTP:8080/healthz", healthy: int = 2, unhealthy: int = 2) -> None:
        """Configure the health check."""
        check = {"Target": target, "Interval": 5, "Timeout": 2, "HealthyThreshold": healthy,
                 "UnhealthyThreshold": unhealthy}  # fmt: skip
        self.client("elb").configure_health_check(LoadBalancerName=BALANCER, HealthCheck=check)

    def attributes(self, *, draining: int | None, idle: int = 3000) -> None:
        """Set draining and idle timeout, in the load balancer's seconds."""
        enabled = {"Enabled": True, "Timeout": draining} if draining else {"Enabled": False}
        self.client("elb").modify_load_balancer_attributes(
            LoadBalancerName=BALANCER,
            LoadBalancerAttributes={"ConnectionDraining": enabled, "ConnectionSettings": {"IdleTimeout": idle}},
        )

    def task_definition(self, **changes: Any) -> str:
        """Register a task definition with good defaults; `changes` go into its container."""
        container = {
            "name": "service",
            "image": self.image,
            "cpu": 128,
            "memory": 128,
            "portMappings": [{"containerPort": port, "hostPort": port} for port in (8443, 8080)],
            "environment": [{"name": "VERSION", "value": "1"}],
            "stopTimeout": 5,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": LOG_GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "x"},
            },
            **changes,
        }
        registered = self.client("ecs").register_task_definition(
            family="service", networkMode="bridge", taskRoleArn=TASK_ROLE, containerDefinitions=[container]
        )
        return str(registered["taskDefinition"]["taskDefinitionArn"])

    def service(self, task_definition: str, *, desired: int = 1, balanced: bool = True, **given: Any) -> None:
        """Create the service; a grace period keeps a slow machine from looking like a sick task."""
        given.setdefault("healthCheckGracePeriodSeconds", 60)
        if balanced:
            given["loadBalancers"] = [{"loadBalancerName": BALANCER, "containerName": "service", "containerPort": 8443}]
        self.client("ecs").create_service(
            cluster=CLUSTER,
            serviceName=self.service_name,
            taskDefinition=task_definition,
            desiredCount=desired,
            **given,
        )

    def update(self, **given: Any) -> None:
        """Update the service."""
        self.client("ecs").update_service(cluster=CLUSTER, service=self.service_name, **given)

    # -- reading -------------------------------------------------------------------
    def described(self) -> dict[str, Any]:
        """Describe the service."""
        told = self.client("ecs").describe_services(cluster=CLUSTER, services=[self.service_name])["services"]
        return dict(told[0])

    def messages(self) -> list[str]:
        """Give the service's events, newest first."""
        return [event["message"] for event in self.described()["events"]]

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        """Describe the service's tasks by desired status."""
        ecs = self.client("ecs")
        arns = ecs.list_tasks(cluster=CLUSTER, serviceName=self.service_name, desiredStatus=status)["taskArns"]
        return list(ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"]) if arns else []

    def stopped_reasons(self) -> list[str]:
        """Say why tasks stopped."""
        return [task.get("stoppedReason", "") for task in self.tasks("STOPPED")]

    def states(self) -> list[str]:
        """Say the state of every registered instance."""
        told = self.client("elb").describe_instance_health(LoadBalancerName=BALANCER)["InstanceStates"]
        return [state["State"] for state in told]

    def is_steady(self, running: int) -> bool:
        """Whether one deployment runs that many tasks, all of them in service."""
        service = self.described()
        counts = (service["runningCount"], service["desiredCount"], len(service["deployments"]))
        return counts == (running, running, 1) and self.states() == ["InService"] * running

    # -- talking -------------------------------------------------------------------
    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Connect to the load balancer."""
        address = self.plane.address_of_load_balancer(BALANCER)
        assert address is not None
        return socket.create_connection(address, timeout=10, source_address=(source, 0))

    def ask(self, command: str, *, source: str = "127.0.0.1") -> str:
        """Send one command over a connection of its own; an empty answer means it was closed."""
        with self.connect(source) as connection:
            return talk(connection, command)

    def hello(self, *, source: str = "127.0.0.1") -> tuple[str, str, str]:
        """Ask who answers: address, PROXY header, version."""
        address, header, version = json.loads(self.ask("hello", source=source))
        return address, header, version

    def clear(self) -> None:
        """Remove service, load balancer and extra instances, so that the next test makes its own."""
        for service in self.client("ecs").list_services(cluster=CLUSTER)["serviceArns"]:
            self.client("ecs").delete_service(cluster=CLUSTER, service=service, force=True)
        eventually(lambda: not self.client("ecs").list_services(cluster=CLUSTER)["serviceArns"])
        self.client("elb").delete_load_balancer(LoadBalancerName=BALANCER)
        self.reports.clear()
        self.lines.clear()
        self.tests += 1


def talk(connection: socket.socket, command: str) -> str:
    """Send a line and read one back."""
    answer = b""
    with contextlib.suppress(ConnectionError):  # closed with our words unread: a reset
        connection.sendall(f"{command}\n".encode())
        while not answer.endswith(b"\n") and (received := connection.recv(65536)):
            answer += received
    return answer.decode().strip()
