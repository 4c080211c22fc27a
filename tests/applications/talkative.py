"""An application that prints, as many do."""

from __future__ import annotations

import logging
import sys
from typing import Any

sys.stdout.write("imported\n")
logging.basicConfig(level=logging.INFO, stream=sys.stdout)


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """Answer, and tell the world."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    sys.stdout.write('{"event": "request", "client": "forged"}\n')
    logging.getLogger("talkative").warning("asked")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
