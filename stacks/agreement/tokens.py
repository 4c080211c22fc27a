"""Bearer tokens whose keys tasks can fetch, demanded by a route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from service.contract import KEY_SET_PREFIX
from service.identity.policy import find_token_faults
from stacks.agreement.promise import Promise
from stacks.environment import LOCAL, BearerTokens, Egress, Environment

_HTTPS_ON_ITS_PORT: Final = re.compile(r"https://[^/:]+(:443)?(/.*)?")


def token_promises(environment: Environment) -> Iterator[Promise]:
    """Judge the settings of bearer tokens, where there are any."""
    tokens = environment.bearer_token
    if tokens is None:
        return
    for fault in find_token_faults(environment.policy, settings_given=True):
        yield Promise((*fault.place, "routes"), holds=False, expected=fault.expected, found=fault.found)
    yield from _issuer_promises(tokens)
    url = tokens.key_set if tokens.key_set is not None and tokens.key_set_object is None else ""
    yield Promise(
        ("bearer_token.key_set", "network.egress"),
        not url or environment.network.egress is not Egress.ENDPOINTS,
        f'an object below {KEY_SET_PREFIX}, for with egress "endpoints" tasks reach nothing outside AWS',
        f'"{url}"',
    )
    yield Promise(
        ("bearer_token.key_set", "name"),
        not url or environment.name == LOCAL or _HTTPS_ON_ITS_PORT.fullmatch(url) is not None,
        "https on port 443, the only one that tasks reach; http and other ports are for local alone",
        f'"{url}"',
    )


def _issuer_promises(tokens: BearerTokens) -> Iterator[Promise]:
    yield Promise(
        ("bearer_token.key_set_seconds",),
        tokens.key_set_seconds is None or tokens.issuer is not None,
        "it beside an issuer",
        f"{tokens.key_set_seconds} for no keys",
    )
    given = {"issuer": tokens.issuer, "audience": tokens.audience, "key_set": tokens.key_set}
    for name, value in given.items():
        others = " and ".join(other for other in given if given[other] is not None)
        yield Promise(
            (f"bearer_token.{name}",),
            value is not None or not others,
            f"it beside {others}",
            "nothing: the key is missing",
        )
