"""A shell script is read without being run: what it writes, what it runs, and what of it blocks the metadata."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.rules.user_data import blocks_metadata, read_script, seconds, undoes_a_block

BLOCK = "iptables -I DOCKER-USER 1 -i docker+ -d 169.254.169.254/32 -j DROP"


def agent(*lines: str) -> dict[str, str]:
    """Give what the agent is told by a script of these lines."""
    script = read_script("\n".join(("#!/bin/bash", *lines)))
    assert script is not None
    return script.agent


@pytest.mark.parametrize(
    "lines",
    [
        ("cat > /etc/ecs/ecs.config <<EOF", "ECS_CLUSTER=one", "EOF"),
        ("cat <<'EOF' >> /etc/ecs/ecs.config", "# the cluster", "ECS_CLUSTER=one", "EOF"),
        ("tee -a /etc/ecs/ecs.config <<-EOF", "\tECS_CLUSTER=one", "\tEOF"),
        ("echo ECS_CLUSTER=one >> /etc/ecs/ecs.config",),
        ("echo 'ECS_CLUSTER=\"one\"' > /etc/ecs/ecs.config",),
        ("echo ECS_CLUSTER=other > /etc/ecs/ecs.config", "echo ECS_CLUSTER=one > /etc/ecs/ecs.config"),
        ("cat > /etc/ecs/ecs.config <<EOF", "ECS_CLUSTER=other", "ECS_CLUSTER=one", "EOF"),
    ],
)
def test_what_is_written_is_read_as_the_agent_reads_it(lines: tuple[str, ...]) -> None:
    assert agent(*lines) == {"ECS_CLUSTER": "one"}


@pytest.mark.parametrize(
    "lines",
    [
        ("# echo ECS_CLUSTER=one >> /etc/ecs/ecs.config",),
        ("echo ECS_CLUSTER=one",),
        ("cat > /tmp/ecs.config <<EOF", "ECS_CLUSTER=one", "EOF"),
        ("cat > /tmp/notes <<EOF", "echo ECS_CLUSTER=one >> /etc/ecs/ecs.config", "EOF"),
        ("echo ECS_CLUSTER=one >> /etc/ecs/ecs.config", "echo ECS_DATADIR=/data > /etc/ecs/ecs.config"),
    ],
)
def test_what_the_agent_never_reads_counts_for_nothing(lines: tuple[str, ...]) -> None:
    assert "ECS_CLUSTER" not in agent(*lines)


@pytest.mark.parametrize(
    "text", ["", "#cloud-config\nruncmd: []", "Content-Type: multipart/mixed", "#!/usr/bin/python3"]
)
def test_what_is_no_shell_script_is_not_read_as_one(text: str) -> None:
    assert read_script(text) is None


@pytest.mark.parametrize(
    "command",
    [
        BLOCK,
        BLOCK.replace("iptables", "/usr/sbin/iptables --wait"),
        BLOCK.replace("-j", "-m comment --comment 'no metadata' -j"),
    ],
)
def test_a_block_is_one(command: str) -> None:
    assert blocks_metadata(command)


@pytest.mark.parametrize(
    "command",
    [
        BLOCK.replace("iptables", "ip6tables"),
        BLOCK.replace("iptables", "echo iptables"),
        BLOCK.replace("-j DROP", "-j LOG"),
        BLOCK.replace("-d 169.254.169.254/32 ", ""),
        BLOCK.replace("169.254.169.254/32", "169.254.169.253/32"),
        BLOCK.replace("-i docker+ ", "-o docker+ "),
        BLOCK.replace("-j DROP", "-m limit -j DROP"),
        BLOCK.replace("-j DROP", "-m time --timestart 08:00 -j DROP"),
        BLOCK.replace("-j DROP", "-p tcp --dport 443 -j DROP"),
        BLOCK.replace("-i docker+", "-i docker+ -i eth0"),
        f"# {BLOCK}",
        "iptables '",
    ],
)
def test_what_only_looks_like_a_block_is_none(command: str) -> None:
    assert not blocks_metadata(command)


@pytest.mark.parametrize(
    ("command", "undoes"),
    [
        ("iptables -F", True),
        ("iptables -F DOCKER-USER", True),
        ("iptables --delete DOCKER-USER 1", True),
        ("iptables -I DOCKER-USER -d 169.254.169.254 -j ACCEPT", True),
        ("iptables -F INPUT", False),
        ("iptables -I INPUT -j ACCEPT", False),
        (BLOCK, False),
        ("echo iptables -F", False),
    ],
)
def test_what_takes_a_block_away_is_known(command: str, *, undoes: bool) -> None:
    assert undoes_a_block(command) is undoes


@pytest.mark.parametrize(
    ("text", "found"), [("90s", 90), ("1m30s", 90), ("2m", 120), ("1h", 3600), ("90", None), ("", None), ("-90s", None)]
)
def test_durations_are_read_as_the_agent_reads_them(text: str, found: float | None) -> None:
    assert seconds(text) == found


@given(st.text() | st.builds("#!/bin/bash\n{}".format, st.text(alphabet="cat<>EOF'/ \n-echo=#\\[]$")))
def test_no_text_is_too_much(text: str) -> None:
    """It is somebody's hand that wrote it: it may be anything."""
    script = read_script(text)

    assert (script is None) is not text.startswith("#!/bin/bash")
    for command in script.commands if script else ():
        assert not blocks_metadata(command)
        assert not undoes_a_block(command)
    assert script is None or not script.units
