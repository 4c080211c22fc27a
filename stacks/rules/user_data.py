"""
User data, read as far as a shell script can be read without running it (pure).

What it writes to files by a here-document is told from what it runs, so that a
word in a comment, or in a file nobody starts, counts for nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

AGENT_CONFIG: Final = "/etc/ecs/ecs.config"
_UNITS: Final = re.compile(r"/(?:etc|usr/lib)/systemd/system/(?P<name>[\w@.-]+\.service)")
_HERE: Final = re.compile(
    r"^\s*(?:cat|tee)(?P<append>\s+-a)?\b[^<>]*?(?:(?P<way>>>?)\s*)?(?P<path>/\S+)?\s*<<(?P<dash>-?)\s*"
    r"(?P<quote>['\"]?)(?P<word>\w+)(?P=quote)\s*(?:(?P<late_way>>>?)\s*(?P<late_path>/\S+))?\s*$"
)
_ECHO: Final = re.compile(r"^\s*echo\s+(?P<text>.+?)\s*(?P<way>>>?)\s*(?P<path>/\S+)\s*$")
_METADATA: Final = IPv4Address("169.254.169.254")
_CREDENTIALS: Final = IPv4Address("169.254.170.2")
_CHAIN: Final = "DOCKER-USER"
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, slots=True)
class Script:
    """
    A shell script.

    Attributes:
        files: The text of what it writes, by path.
        commands: What it runs, in order, comments left out.
    """

    files: Mapping[str, str]
    commands: tuple[str, ...]

    @property
    def agent(self) -> dict[str, str]:
        """The ECS agent's settings; of one that is written twice the last holds."""
        pairs = (line.partition("=") for line in _meant(self.files.get(AGENT_CONFIG, "")))
        return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}

    @property
    def units(self) -> dict[str, Unit]:
        """The systemd units it writes, by name."""
        found = ((_UNITS.fullmatch(path), text) for path, text in self.files.items())
        return {match["name"]: Unit.read(text) for match, text in found if match}


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit: each setting's values, by section and name, in order."""

    settings: tuple[tuple[str, str, str], ...]

    @classmethod
    def read(cls, text: str) -> Unit:
        """Read a unit file."""
        section, settings = "", []
        for line in _meant(text.replace("\\\n", " ")):
            if line.startswith("["):
                section = line.strip("[] ")
            else:
                name, _, value = line.partition("=")
                settings.append((section, name.strip(), value.strip()))
        return cls(tuple(settings))

    def words(self, section: str, name: str) -> list[str]:
        """Give a setting's words, of every line it stands on."""
        return [
            word for where, what, value in self.settings if (where, what) == (section, name) for word in value.split()
        ]

    def commands(self) -> Iterator[tuple[str, str]]:
        """Give what it runs at its start, in order: which setting, and the command without systemd's prefixes."""
        order = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost")
        for name in order:
            yield from (
                (name, value.lstrip("-@:+!"))
                for where, what, value in self.settings
                if (where, what) == ("Service", name)
            )


def read_script(text: str) -> Script | None:
    """Read a shell script; None if it is none, but a cloud-config or something of several parts."""
    if not re.match(r"#!\s*/(usr/)?bin/(env )?(ba)?sh\b", text):
        return None
    files: dict[str, str] = {}
    commands: list[str] = []
    lines = iter(text.replace("\\\n", " ").splitlines())
    for line in lines:
        here, echo = _HERE.match(line), _ECHO.match(line)
        if here:
            path = here["path"] or here["late_path"] or ""
            way = ">>" if here["append"] else here["way"] or here["late_way"] or ">"
            content = "".join(f"{each}\n" for each in _until(lines, here["word"], dash=bool(here["dash"])))
            files[path] = files.get(path, "") + content if way == ">>" else content
        elif echo and not line.lstrip().startswith("#"):
            content = "\n".join(_words(echo["text"])) + "\n"
            files[echo["path"]] = files.get(echo["path"], "") + content if echo["way"] == ">>" else content
        elif line.strip() and not line.lstrip().startswith("#"):
            commands.append(line.strip())
    return Script(files, tuple(commands))


def blocks_metadata(command: str) -> bool:
    """
    Say whether a command keeps containers on the bridge from the instance metadata.

    It does if it puts a rule first in the chain Docker leaves to others, that
    drops what containers send to 169.254.169.254 and nothing that they need;
    every option must be one we know, for an unknown one may narrow the rule.
    """
    options = _options(command)
    if options is None:
        return False
    position = options.get("-I", "").split()
    return (
        position in ([_CHAIN], [_CHAIN, "1"])
        and options.get("-t", "filter") == "filter"
        and options.get("-i", "docker+") in {"docker+", "docker0"}
        and options.get("-p", "tcp") in {"tcp", "all"}
        and options.get("--dport", "80") == "80"
        and options.get("-j") in {"DROP", "REJECT"}
        and _is_metadata(options.get("-d", ""))
    )


def undoes_a_block(command: str) -> bool:
    """Say whether a command takes rules out of that chain, or lets the metadata's address through before them."""
    words = _words(command)
    if not words or not words[0].endswith("iptables"):
        return False
    takes_away = {"-D", "-F", "-X", "--delete", "--flush", "--delete-chain", "-P", "-R"} & set(words)
    lets_through = {"ACCEPT", "RETURN"} & set(words)
    return (bool(takes_away) and (_CHAIN in words or len(words) == 2)) or (bool(lets_through) and _CHAIN in words)  # noqa: PLR2004


def seconds(duration: str) -> float | None:
    """Read a duration as the agent does, `90s` or `1m30s`; None if it is none."""
    match = _DURATION.fullmatch(duration)
    if match is None or not duration:
        return None
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


_FLAGS: Final = frozenset({"--wait", "-w"})
_LONG: Final = {
    "--insert": "-I",
    "--in-interface": "-i",
    "--destination": "-d",
    "--dst": "-d",
    "--protocol": "-p",
    "--proto": "-p",
    "--jump": "-j",
    "--table": "-t",
    "--destination-port": "--dport",
}
_KNOWN: Final = frozenset({"-I", "-i", "-d", "-p", "-j", "-t", "--dport", "-m", "--comment"})
_MATCHES: Final = frozenset({"", "tcp", "comment"})


def _options(command: str) -> dict[str, str] | None:
    """Read the options of iptables; None if it is another command, or has what we do not know."""
    words = _words(command)
    if not words or words[0].rpartition("/")[2] not in {"iptables", "iptables-nft", "iptables-legacy"}:
        return None
    found: dict[str, str] = {}
    name = ""
    for word in words[1:]:
        is_comment = name == "--comment" and not found[name]
        if word.startswith("-") and not is_comment:
            name = _LONG.get(word, word)
            if name not in _KNOWN | _FLAGS or name in found.keys() - {"-m"}:
                return None
            found.setdefault(name, "")
        elif name:
            found[name] = f"{found[name]} {word}".strip()
        else:
            return None
    modules = set(found.get("-m", "").split())
    flags_are_plain = all(not found.get(flag) or found[flag].isdecimal() for flag in _FLAGS)
    return found if modules <= _MATCHES and flags_are_plain else None


def _is_metadata(text: str) -> bool:
    try:
        network = IPv4Network(text)
    except ValueError:
        return False
    return _METADATA in network and _CREDENTIALS not in network


def _until(lines: Iterator[str], word: str, *, dash: bool) -> Iterator[str]:
    for line in lines:
        text = line.lstrip("\t") if dash else line
        if text == word:
            return
        yield text


def _meant(text: str) -> Iterator[str]:
    """Give the lines of a file of settings that are no comment."""
    return (line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] not in "#;")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return []
