"""Every file once, nothing that segcli wrote, no way out of the input, no loop."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.formats.walk import Walked, walk


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def relative(walked: Walked) -> list[str]:
    return [str(file.relative) for file in walked.files]


def passed(walked: Walked) -> dict[str, str]:
    return {str(entry.relative): entry.reason for entry in walked.passed}


def test_one_folder_is_mirrored_below_the_output_and_sorted(tmp_path: Path) -> None:
    put(tmp_path, "in/b", "in/a/z", "in/a/c", "in/B")
    walked = walk([tmp_path / "in"])
    assert relative(walked) == ["B", "b", "a/c", "a/z"]
    assert [str(file.identity) for file in walked.files] == ["in/B", "in/b", "in/a/c", "in/a/z"]


def test_several_inputs_lie_under_their_names_and_a_file_under_its_own(tmp_path: Path) -> None:
    put(tmp_path, "one/a", "two/a", "x.png")
    assert relative(walk([tmp_path / "one", tmp_path / "two", tmp_path / "x.png"])) == ["one/a", "two/a", "x.png"]
    assert relative(walk([tmp_path / "x.png"])) == ["x.png"]


def test_two_inputs_of_one_name_and_missing_ones_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "1/scans/a", "2/scans/a")
    with pytest.raises(UsageError, match="called scans"):
        walk([tmp_path / "1/scans", tmp_path / "2/scans"])
    with pytest.raises(UsageError, match="no such file"):
        walk([tmp_path / "none"])


def test_the_current_folder_has_its_real_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "scans/a")
    monkeypatch.chdir(tmp_path / "scans")
    assert str(walk([Path()]).files[0].identity) == "scans/a"


@pytest.mark.parametrize("manifest", ["manifest.jsonl", "manifest-0-of-4.jsonl"])
def test_output_folders_and_hidden_things_are_told_but_not_read(tmp_path: Path, manifest: str) -> None:
    put(tmp_path, "a", "out/mask", ".DS_Store", ".git/x", "b/.segcli-tmp-1.png")
    (tmp_path / "out" / manifest).write_text('{"segcli_manifest": 1}\n')
    walked = walk([tmp_path])
    assert relative(walked) == ["a"]
    assert passed(walked) == {
        "out": "an output folder of segcli (it holds a manifest)",
        ".DS_Store": "a hidden file",
        ".git": "a hidden folder",
        "b/.segcli-tmp-1.png": "a hidden file",
    }


def test_another_programs_manifest_makes_no_output_folder(tmp_path: Path) -> None:
    put(tmp_path, "data/a.wav")
    (tmp_path / "data/manifest.jsonl").write_text('{"audio": "a.wav"}\n')
    assert relative(walk([tmp_path])) == ["data/a.wav", "data/manifest.jsonl"]


@pytest.mark.parametrize("content", [b"", b'{"segcli_mani', None], ids=["empty", "torn", "a folder"])
def test_what_is_no_manifest_hides_no_images(tmp_path: Path, content: bytes | None) -> None:
    put(tmp_path, "data/a.png")
    manifest = tmp_path / "data/manifest.jsonl"
    if content is None:
        put(tmp_path, "data/manifest.jsonl/b.png")
        assert relative(walk([tmp_path])) == ["data/a.png", "data/manifest.jsonl/b.png"]
    else:
        manifest.write_bytes(content)
        assert relative(walk([tmp_path])) == ["data/a.png", "data/manifest.jsonl"]


def test_a_manifest_that_is_a_link_counts_only_where_links_are_followed(tmp_path: Path) -> None:
    put(tmp_path, "in/a.png", "in/out/mask", "in/.git/x")
    for place in ("elsewhere", "in/.git/x"):
        (tmp_path / place).write_bytes(b'{"segcli_manifest": 1}\n')
    (tmp_path / "in/out/manifest.jsonl").symlink_to("../.git/x")  # a result that DataLad keeps
    assert relative(walk([tmp_path / "in"])) == ["a.png"]
    (tmp_path / "in/manifest.jsonl").symlink_to(tmp_path / "elsewhere")
    walked = walk([tmp_path / "in"])
    assert relative(walked) == ["a.png"]
    assert "a link out of the input" in passed(walked)["manifest.jsonl"]
    assert relative(walk([tmp_path / "in"], follow_links=True)) == []


def test_links_inside_give_no_second_case_and_links_out_are_told(tmp_path: Path) -> None:
    put(tmp_path, "in/z", "in/d/y", "other/secret")
    (tmp_path / "in/a").symlink_to("z")
    (tmp_path / "in/b").symlink_to("d")
    (tmp_path / "in/c").symlink_to(tmp_path / "other")
    (tmp_path / "in/e").symlink_to("nothing")
    walked = walk([tmp_path / "in"])
    assert relative(walked) == ["z", "d/y"]
    assert set(passed(walked)) == {"c", "e"} and "--follow-links" in passed(walked)["c"]
    assert relative(walk([tmp_path / "in"], follow_links=True)) == ["z", "d/y", "c/secret"]


@pytest.mark.parametrize("follow_links", [False, True])
def test_loops_end(tmp_path: Path, follow_links: bool) -> None:
    put(tmp_path, "in/a", "out/b")
    (tmp_path / "in/self").symlink_to("self")
    (tmp_path / "in/up").symlink_to("..")
    (tmp_path / "in/here").symlink_to(".")
    (tmp_path / "out/back").symlink_to(tmp_path / "in")
    (tmp_path / "out/round").symlink_to(tmp_path / "out")
    (tmp_path / "in/out").symlink_to(tmp_path / "out")
    names = [file.path.resolve().name for file in walk([tmp_path / "in"], follow_links).files]
    assert names == (["a", "b"] if follow_links else ["a"])


def test_overlapping_inputs_give_each_file_once(tmp_path: Path) -> None:
    put(tmp_path, "in/a", "in/sub/b", "in/sub/.hidden")
    walked = walk([tmp_path / "in", tmp_path / "in/sub"])
    assert relative(walked) == ["in/a", "in/sub/b"]
    assert [str(entry.relative) for entry in walked.passed] == ["in/sub/.hidden"]
    (tmp_path / "alias").symlink_to("in")
    assert relative(walk([tmp_path / "in", tmp_path / "alias"])) == ["in/a", "in/sub/b"]


def test_a_pipe_is_never_opened_and_a_closed_folder_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "closed/a", "open/b")
    os.mkfifo(tmp_path / "pipe")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    walked = walk([tmp_path])
    assert relative(walked) == ["open/b"]
    assert {str(entry.relative): entry.status for entry in walked.passed} == {"pipe": "skipped", "closed": "failed"}


def test_a_tree_deeper_than_pythons_stack_and_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 600)
    deep.mkdir(parents=True)
    (deep / os.fsdecode(b"\xff.png")).write_text("")
    [file] = walk([tmp_path]).files
    assert os.fsencode(file.relative.name) == b"\xff.png"


def test_a_chain_of_links_costs_no_more_than_its_links(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"link{number}").symlink_to(f"link{number + 1}")
    began = time.process_time()
    assert set(passed(walk([tmp_path])).values()) == {"a link that leads nowhere"}
    assert time.process_time() - began < 5  # 0.1; 20 where each is followed to the end


def test_a_folder_whose_path_is_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(20):
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    (entry,) = walk([tmp_path]).passed
    assert (entry.status, "too long" in entry.reason) == ("failed", True)


def test_visible_links_into_a_hidden_store_are_files(tmp_path: Path) -> None:
    """DataLad and git-annex keep every file below .git and show it as a link."""
    store = tmp_path / "in" / ".git" / "annex"
    store.mkdir(parents=True)
    (store / "object").write_bytes(b"pixels")
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).symlink_to(".git/annex/object")
    walked = walk([tmp_path / "in"])
    assert [str(file.relative) for file in walked.files] == ["a.png"]  # one real file, one case
    assert [passed.reason for passed in walked.passed] == ["a hidden folder"]
