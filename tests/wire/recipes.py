"""
The recipes of docs/clients.md, run as they stand there against a service of the tests.

Only the host name is another one. What a test changes beyond that, to send no
certificate or to allow no TLS 1.3, is one replacement in the recipe or in the
command that runs it, and an error if there is nothing to replace.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
    serialize_key_and_certificates,
)
from cryptography.x509 import load_pem_x509_certificate

from tests.certificates import Identity
from tests.wire.stage import ROOT, Answer, Service

DOCUMENT: Final = ROOT / "docs" / "clients.md"
HOST: Final = "ingress.example.com"
PASSWORD: Final = b"changeit"
"""Of the PKCS #12 files, as the document says; also what Java's own trust store has."""

RUN_SECONDS: Final = 60

TLS12_ONLY: Final = """
openssl_conf = settings
[settings]
ssl_conf = tls
[tls]
system_default = every_context
[every_context]
MaxProtocol = TLSv1.2
"""

_JAVA_TRUST: Final = "-Djavax.net.ssl.trustStore"

Replacement = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    One client.

    Attributes:
        heading: Of the recipe in the document.
        file: What the recipe is saved as.
        command: Runs it; the first word must be on the machine.
        without: Makes it send no certificate.
        tls12: Makes it offer nothing newer than TLS 1.2.
        build: Runs once before, if the client is compiled.
    """

    heading: str
    file: str
    command: str
    without: Replacement
    tls12: Replacement
    build: str = ""

    @property
    def missing(self) -> str | None:
        """Name the program that is not on this machine; None if all are."""
        wanted = [words.split()[0] for words in (self.build, self.command) if words and not words.startswith("./")]
        return next((each for each in wanted if shutil.which(each) is None), None)

    def text(self) -> str:
        """Read the recipe."""
        return block_below(f"### {self.heading}")


_PYTHON: Final = sys.executable
_PYTHON_TLS12: Final = (_PYTHON, f"env OPENSSL_CONF=tls12.cnf {_PYTHON}")
_CONTEXT: Final = ('context.load_cert_chain("client.pem", "client-key.pem")', "")
_FILES: Final = (" --cert client.pem --key client-key.pem", "")

RECIPES: Final = (
    Recipe("curl", "client.sh", "sh client.sh", _FILES, ("curl ", "curl --tls-max 1.2 ")),
    Recipe(
        "openssl",
        "client.sh",
        "sh client.sh",
        (" -cert client.pem -key client-key.pem", ""),
        ("s_client ", "s_client -tls1_2 "),
    ),
    Recipe(
        "Python: requests",
        "client.py",
        f"{_PYTHON} client.py",
        ('cert=("client.pem", "client-key.pem")', "cert=None"),
        _PYTHON_TLS12,
    ),
    Recipe("Python: httpx", "client.py", f"{_PYTHON} client.py", _CONTEXT, _PYTHON_TLS12),
    Recipe("Python: aiohttp", "client.py", f"{_PYTHON} client.py", _CONTEXT, _PYTHON_TLS12),
    Recipe(
        "Node",
        "client.js",
        "node client.js",
        ('cert: fs.readFileSync("client.pem"),', ""),
        ("node client", "node --tls-max-v1.2 client"),
    ),
    Recipe(
        "Java",
        "Client.java",
        "java -cp . Client",
        ("context.init(keys.getKeyManagers(),", "context.init(null,"),
        ("java -cp", "java -Djdk.tls.client.protocols=TLSv1.2 -cp"),
        build="javac Client.java",
    ),
    Recipe(
        "Go",
        "client.go",
        "./client",
        ("[]tls.Certificate{pair}", "[]tls.Certificate{pair}[:0]"),
        ("MinVersion:   tls.VersionTLS12,", "MaxVersion:   tls.VersionTLS12,"),
        build="go build -o client client.go",
    ),
)


class Kitchen:
    """
    A directory with a recipe made ready against a service; a compiled one is compiled once.

    Args:
        replacements: What is changed in the recipe, or in the command that runs it.
    """

    def __init__(
        self, recipe: Recipe, service: Service, directory: Path, *, replacements: tuple[Replacement, ...] = ()
    ) -> None:
        needed = {"curl": "curl", "openssl": "openssl"}.get(recipe.heading)
        missing = recipe.missing or (needed if needed and shutil.which(needed) is None else None)
        if missing is not None:
            pytest.skip(f"{recipe.heading}: {missing} is not on this machine")
        self.service = service
        self._directory = directory
        text, self._command = _at(recipe.text(), service), recipe.command
        for old, new in replacements:
            assert (text + self._command).count(old) == 1, f"{recipe.heading}: {old!r} to be replaced"
            text, self._command = text.replace(old, new), self._command.replace(old, new)
        (directory / recipe.file).write_text(text)
        (directory / "tls12.cnf").write_text(TLS12_ONLY)
        (directory / "trust.pem").write_bytes(service.trust)
        anchor = PKCS12Certificate(load_pem_x509_certificate(service.trust), b"trust")
        (directory / "trust.p12").write_bytes(serialize_java_truststore([anchor], BestAvailableEncryption(PASSWORD)))
        if recipe.build:
            run(recipe.build, directory)

    def call(self, identity: Identity) -> Answer:
        """Let the client call, with these files lying beside it."""
        (self._directory / "client.pem").write_bytes(identity.chain_pem)
        (self._directory / "client-key.pem").write_bytes(identity.key_pem)
        bundle = serialize_key_and_certificates(
            b"client", identity.key, identity.certificate, None, BestAvailableEncryption(PASSWORD)
        )
        (self._directory / "client.p12").write_bytes(bundle)
        said = run(self._command, self._directory)
        status = re.search(r"^(?:HTTP/1\.1 )?([1-5][0-9]{2})\b", said, re.MULTILINE)
        document = re.search(r"\{.*\}", said)
        assert status is not None, said
        assert document is not None, said
        return Answer(int(status[1]), json.loads(document[0]))


def block_below(heading: str) -> str:
    """Give the first block of code below a heading of the document."""
    text = DOCUMENT.read_text()
    assert f"\n{heading}\n" in text, f"{heading} in {DOCUMENT.name}"
    return text.partition(f"\n{heading}\n")[2].partition("```")[2].partition("\n")[2].partition("```")[0]


def run(command: str, directory: Path) -> str:
    """Run words of a command, or a shell's lines, in a directory with nothing of the operator's own settings."""
    words = ["sh", "-ec", command] if "\n" in command else command.split()
    environment = {
        "PATH": f"{os.defpath}:/usr/local/bin",
        "HOME": str(Path.home()),  # where Go keeps what it compiled
        "GO111MODULE": "off",
        "SSL_CERT_FILE": "trust.pem",
        "CURL_CA_BUNDLE": "trust.pem",
        "REQUESTS_CA_BUNDLE": "trust.pem",
        "NODE_EXTRA_CA_CERTS": "trust.pem",
        "JAVA_TOOL_OPTIONS": f"{_JAVA_TRUST}=trust.p12 {_JAVA_TRUST}Password={PASSWORD.decode()}",
    }
    done = subprocess.run(  # noqa: S603 -- the document's own recipes
        words, cwd=directory, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-1000:]} {done.stderr[-2000:]}"
    return done.stdout


def _at(text: str, service: Service) -> str:
    here = f"localhost:{service.address[1]}"
    return text.replace(f"{HOST}:443", here).replace(f"{HOST}/", f"{here}/").replace(HOST, "localhost")
