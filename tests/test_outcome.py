"""The exit code is a property of the report."""

from __future__ import annotations

import json

import pytest

from segcli.outcome import Outcome, Report, Status


def report(*statuses: Status, found: int = 0, ended: int | None = None) -> Report:
    outcomes = tuple(Outcome(f"{number:012x}", f"{number}.png", status) for number, status in enumerate(statuses))
    return Report(outcomes, ended, found=found)


@pytest.mark.parametrize(
    ("statuses", "found", "code"),
    [
        (("done", "empty", "unchanged"), 3, 0),
        (("done", "skipped"), 1, 0),  # skipped files never change it
        (("done", "failed"), 2, 1),
        (("unchanged", "failed", "skipped"), 2, 1),
        (("failed", "failed"), 2, 4),
        (("failed", "skipped"), 1, 4),
        ((), 0, 3),
        (("skipped",), 0, 3),
        ((), 5, 0),  # an empty shard of a non-empty input
        (("skipped",), 5, 0),
        (("failed",), 5, 4),  # every case of this shard; the joined report tells what that is of the whole
    ],
)
def test_exit_codes(statuses: tuple[Status, ...], found: int, code: int) -> None:
    assert report(*statuses, found=found).exit_code == code


@pytest.mark.parametrize("ended", [70, 130, 143])
def test_what_ended_a_run_early_counts_more_than_its_cases(ended: int) -> None:
    assert report("failed", ended=ended).exit_code == ended


def test_an_outcome_survives_json_and_fields_of_later_versions() -> None:
    outcome = Outcome(
        "0123456789ab", "a.png", "done", "png", output="a.png", shape=(1, 2, 3), spacing=(0.5, 0.1),
        volumes={"x": {"pixels": 3, "mm3": None}}, warnings=("w",), stat=((1, 2, 3),), sha256="00", tiles=4,
    )  # fmt: skip
    text = json.dumps({**outcome.to_json(), "later": 1})
    assert Outcome.from_json(json.loads(text)) == outcome
