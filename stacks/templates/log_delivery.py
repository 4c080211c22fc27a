"""Who delivers the load balancer's access logs, and under which prefix of the log bucket each kind of log lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from awacs.aws import Principal

from stacks.environment import Environment
from stacks.permissions import service

LOAD_BALANCER_LOG_PREFIX: Final = "load-balancer"
"""In the log bucket; the load balancer adds `/AWSLogs/ACCOUNT/` by itself and refuses a prefix that holds it."""

FLOW_LOG_PREFIX: Final = "flow"
"""VPC flow logs add `/AWSLogs/ACCOUNT/` by themselves."""
TRAIL_BUCKET_LOG_PREFIX: Final = "trail-bucket/"

ACCOUNTS: Final[Mapping[str, str]] = {
    "af-south-1": "098369216593",
    "ap-east-1": "754344448648",
    "ap-northeast-1": "582318560864",
    "ap-northeast-2": "600734575887",
    "ap-northeast-3": "383597477331",
    "ap-south-1": "718504428378",
    "ap-southeast-1": "114774131450",
    "ap-southeast-2": "783225319266",
    "ap-southeast-3": "589379963580",
    "ca-central-1": "985666609251",
    "cn-north-1": "638102146993",
    "cn-northwest-1": "037604701340",
    "eu-central-1": "054676820928",
    "eu-north-1": "897822967062",
    "eu-south-1": "635631232127",
    "eu-west-1": "156460612806",
    "eu-west-2": "652711504416",
    "eu-west-3": "009996457667",
    "me-south-1": "076674570225",
    "sa-east-1": "507241528517",
    "us-east-1": "127311923021",
    "us-east-2": "033677994240",
    "us-gov-east-1": "190560391635",
    "us-gov-west-1": "048591011584",
    "us-west-1": "027434742980",
    "us-west-2": "797873946194",
}
"""Elastic Load Balancing's own account in each region older than August 2022 (Classic ELB guide, access logs)."""


def load_balancer_log_principals(environment: Environment) -> Mapping[str, Principal]:
    """
    Name who may write access logs, by the statement's id.

    The service in every region; in the older ones its account as well, for it
    is not said that these have stopped using it. The account's statement bears
    no condition on the source: such a request has none.
    """
    principals = {"DeliverLoadBalancerLogs": service("logdelivery.elasticloadbalancing.amazonaws.com")}
    account = ACCOUNTS.get(environment.region)
    if account is not None:
        principals["DeliverLoadBalancerLogsByAccount"] = Principal(
            "AWS", f"arn:{environment.partition}:iam::{account}:root"
        )
    return principals
