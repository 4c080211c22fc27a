"""`synth` writes one file per stack and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts._synth_verb import DirectoryNotOursError, write_templates
from scripts._terminal import UsageError

BODIES = {"network": '{"Resources": {}}', "identity": "{}"}


def test_one_file_each_and_nothing_else(tmp_path: Path) -> None:
    written = write_templates(BODIES, tmp_path / "out")

    assert written == [tmp_path / "out" / "network.json", tmp_path / "out" / "identity.json"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["identity.json", "network.json", "out"]
    assert written[0].read_text(encoding="utf-8") == BODIES["network"]


def test_an_empty_directory_and_templates_of_before_are_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_templates(BODIES, out)
    (out / "network.json").write_text("old", encoding="utf-8")

    write_templates(BODIES, out)

    assert (out / "network.json").read_text(encoding="utf-8") == BODIES["network"]


def test_a_directory_that_holds_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")

    with pytest.raises(DirectoryNotOursError, match=r"letter\.txt") as refused:
        write_templates(BODIES, tmp_path)

    assert refused.value.hint == "give a new or an empty directory"
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_file_in_the_place_of_the_directory_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")

    with pytest.raises(UsageError, match="is not a directory"):
        write_templates(BODIES, tmp_path / "out")


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(UsageError, match="cannot be written"):
        write_templates(BODIES, tmp_path / "file" / "out")
