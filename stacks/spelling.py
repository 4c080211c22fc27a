"""How the facts of an environment are spelled, each by the rule of whoever reads it in the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network

from service.settings import ISSUER


def matches(pattern: str) -> Callable[[str], bool]:
    """Make a test of a pattern for whole texts in ASCII."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def text_matching(pattern: str) -> Callable[[str], str | None]:
    """Make a reader of texts of a pattern; None is a text that does not fit."""
    accept = matches(pattern)
    return lambda text: text if accept(text) else None


is_issuer = matches(ISSUER.pattern)
is_word = matches(r"[a-z](-?[a-z0-9])*")
is_region = matches(r"(?!us-iso|eu-iso)[a-z]{2}(-[a-z]+)+-\d")
"""Of the partitions aws, aws-cn and aws-us-gov; the others spell host names and principals in ways of their own."""
is_zone_id = matches(r"Z[A-Z0-9]{1,31}")
is_security_group = matches(r"sg-[0-9a-f]{8,17}")
is_role_path = matches(r"/([\w+=,.@-]{1,64}/){1,7}")
https_or_none = text_matching(r"https://[^\s/:@?#]+(:\d{1,5})?(/[^\s#]*)?")
is_repository = matches(r"(?=.{2,256}$)[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*")


def is_host_name(text: str) -> bool:
    """Tell a DNS name of two labels or more, in lower case (RFC 1035, section 2.3.1)."""
    label = matches(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
    return len(text) <= 253 and "." in text and all(label(part) for part in text.split("."))  # noqa: PLR2004  RFC 1035


def is_bucket_name(text: str) -> bool:
    """Tell what S3 takes, less the dots, which no certificate of S3's covers (bucket naming rules)."""
    reserved = ("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")
    fits = matches(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")(text)
    return fits and not text.startswith(reserved[0]) and not text.endswith(reserved[1])


def network_or_none(text: str) -> IPv4Network | None:
    """Read a network without host bits."""
    try:
        return IPv4Network(text)
    except ValueError:
        return None
