from pathlib import Path

import pytest

from segcli.errors import UsageError
from segcli.training.splitting import groups_from_file, groups_from_pattern, split_groups

NAMES = [f"hippocampus_{number:03}" for number in range(1, 41)]


def test_groups_never_stand_in_two_parts() -> None:
    groups = {str((int(name[-3:]) + 1) // 2) for name in NAMES}
    split = split_groups(groups, validation=4, test=5, seed=3)
    assert (len(split.train), len(split.validation), len(split.test)) == (11, 4, 5)
    assert sorted(map(int, split.train + split.validation + split.test)) == list(range(1, 21))
    assert split == split_groups(groups, validation=4, test=5, seed=3)
    assert split != split_groups(groups, validation=4, test=5, seed=4)


def test_shares_are_of_the_groups() -> None:
    split = split_groups(NAMES, validation=0.25, test=0.1, seed=0)
    assert (len(split.validation), len(split.test)) == (10, 4)
    assert split_groups(NAMES, validation=0, test=0, seed=0).train == tuple(sorted(NAMES))


def test_nothing_left_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        split_groups(["a", "b"], validation=0.15, test=0.15, seed=0)


def test_a_pattern_takes_its_parenthesised_part() -> None:
    assert groups_from_pattern(["p7_left", "p7_right"], r"^(p\d+)_") == {"p7_left": "p7", "p7_right": "p7"}
    assert groups_from_pattern(["p7_left"], r"p\d+") == {"p7_left": "p7"}
    with pytest.raises(UsageError, match="does not match the case q1"):
        groups_from_pattern(["p7", "q1"], r"p\d+")
    with pytest.raises(UsageError, match="no regular expression"):
        groups_from_pattern(["p7"], "(")


@pytest.mark.parametrize(
    ("name", "text"), [("g.csv", "case,group\na,1\nb, 1\n\nc,2\n"), ("g.json", '{"a": 1, "b": "1", "c": 2}')]
)
def test_a_file_lists_every_case(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert groups_from_file(["a", "b", "c"], tmp_path / name) == {"a": "1", "b": "1", "c": "2"}
    with pytest.raises(UsageError, match="the case d is not listed"):
        groups_from_file(["a", "d"], tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.csv", "a,p1\na,p3\n"),
        ("g.json", '{"a": "p1", "b": "p2", "a": "p3"}'),
        ("g.json", '{"caf\u00e9": "p1", "cafe\u0301": "p3"}'),
    ],
)
def test_a_case_in_two_groups_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="listed twice"):
        groups_from_file(["a"], tmp_path / name)


def test_a_file_of_brackets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="cannot be read"):
        groups_from_file(["a"], tmp_path / "g.json")


@pytest.mark.parametrize("text", ["a;1\n", "a,1,2\n"])
def test_another_kind_of_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(UsageError, match="case,group"):
        groups_from_file(["a"], tmp_path / "g.csv")
