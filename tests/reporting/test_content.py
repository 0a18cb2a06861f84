"""Tables, page and the whole of shards, made from contents that one can read here."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from segcli.cli.main import run
from segcli.errors import UsageError
from segcli.outcome import Outcome, Report
from segcli.reporting.content import RunFacts, load_schema, report_content, report_from
from segcli.reporting.merge import merge
from segcli.reporting.page import report_html
from segcli.reporting.volumes import volumes_csv

MODEL = {
    "name": "toy", "version": "1", "plugin": "unet", "distribution": "segcli 0.1", "weights_sha256": "0" * 64,
    "labels": [{"value": 1, "segment": 1, "name": "one"}, {"value": 2, "segment": 2, "name": "two"}],
}  # fmt: skip
MACHINE = {
    "system": "Linux",
    "processor": "x86_64",
    "cores": 2,
    "device": "cpu",
    "precision": "float32",
    "batch": 4,
}
VERSIONS = {"segcli": "0.1.0", "torch": "2.13", "python": "3.11"}
FACTS = RunFacts("0123abcd", "2026-01-02T03:04:05Z", VERSIONS, MODEL, MACHINE, {"gate": "auto", "shard": None})
PART = {
    "slices": 1, "rows": 4, "columns": 5, "spacing": [0.5, 0.5], "slice_spacing": None, "axes": None, "first": None,
    "last": None,
}  # fmt: skip


def done(number: int, name: str = "a.png", **changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "id": f"{number:012x}", "name": name, "status": "done", "format": "png", "output": name, "shape": (1, 4, 5),
        "volumes": {"one": {"pixels": 7, "mm3": 1234.56789}, "two": {"pixels": 0, "mm3": None}},
        "presence": {"one": 0.875, "two": 0.01}, "geometry": (PART,), "tiles": 4, "tiles_gated": 1,
        "seconds": {"read": 0.5, "network": 1.25}, "key": "1" * 64, "sha256": "2" * 64,
    }  # fmt: skip
    return Outcome(**(fields | changes))


def failed(number: int, name: str) -> Outcome:
    return Outcome(f"{number:012x}", name, "failed", "png", "it is damaged", "UnreadableError")


def content(*outcomes: Outcome, facts: RunFacts = FACTS, **more: Any) -> Any:
    return on_disk(report_content(facts, Report(outcomes, found=len(outcomes), **more)))


def on_disk(report: Any) -> Any:
    return json.loads(json.dumps(report))


@pytest.mark.parametrize(
    "report",
    [
        content(),
        content(done(1), failed(2, "b.png"), Outcome("000000000003", "c.txt", "skipped", reason="not an image")),
        content(done(1), ended=130, message="a signal ended the run", pending=("00000000000f",)),
        content(done(1), shard=(2, 3), seconds={"total": 1.0, "scan": 0.1}),
    ],
)
def test_what_is_built_fits_the_schema_and_comes_back(report: Any) -> None:
    jsonschema.Draft202012Validator(load_schema()).validate(report)
    assert on_disk(report_content(FACTS, report_from(report))) == report


@pytest.mark.parametrize(
    "spoil",
    [
        {"exit_code": 5},
        {"run": "not hex"},
        {"surplus": 1},
        {"begun": "yesterday"},
        {"cases": [{"id": "000000000001"}]},
    ],
)
def test_the_schema_refuses_what_is_wrong(spoil: Any) -> None:
    validator = jsonschema.Draft202012Validator(load_schema())
    assert not validator.is_valid(content(done(1)) | spoil)


def test_the_schema_wants_a_reason_of_a_failure_and_a_mask_of_a_success() -> None:
    validator = jsonschema.Draft202012Validator(load_schema())
    assert not validator.is_valid(content(Outcome("000000000001", "a", "failed", error="CaseError")))
    assert not validator.is_valid(content(done(1, sha256=None)))


def test_stages_are_summed_over_the_cases_of_this_run() -> None:
    seconds = content(done(1), done(2, "b.png"), done(3, "c.png", status="unchanged"))["seconds"]
    assert seconds == {"read": 1.0, "network": 2.5}


def rows(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_volumes_hold_a_line_for_each_label() -> None:
    first, second = rows(volumes_csv(content(done(1, warnings=("no spacing",)), failed(2, "b.png"))))
    assert (first["label"], first["pixels"], first["mm3"], first["presence"]) == ("one", "7", "1234.57", "0.8750")
    assert (second["label"], second["pixels"], second["mm3"]) == ("two", "0", "")
    assert first["warnings"] == "no spacing"


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "＝1"])
def test_no_name_becomes_a_formula(name: str) -> None:
    assert rows(volumes_csv(content(done(1, name))))[0]["case"] == f"'{name}"


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_no_name_becomes_a_formula_where_another_separator_splits(separator: str) -> None:
    name = f'x{separator}=1+cmd|calc!A0.png{separator}" =2'
    for line in volumes_csv(content(done(1, name, warnings=(name,)))).decode().splitlines():
        cells = [part.strip(' "') for part in re.split(f"[{separator}]", line)]
        assert not [part for part in cells if part.startswith(("=", "+", "-", "@"))]


def test_odd_names_stay_in_their_cell() -> None:
    name = 'a,"b"\n\udcff.png'
    assert rows(volumes_csv(content(done(1, name))))[0]["case"] == r'a,"b"\n\udcff.png'


class Texts(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.attributes: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_escapes_everything_and_loads_nothing() -> None:
    evil = "<script>alert(1)</script>'\"&"
    report = content(done(1, evil, warnings=(evil,)), failed(2, evil), message=evil, ended=70)
    texts = Texts(report_html(report))
    assert not texts.tags & {"script", "img", "link", "iframe"}
    assert texts.texts.count(evil) >= 4
    assert not {"src", "href", "onerror", "onload"} & set(texts.attributes)


def test_the_page_shows_failures_first_and_not_more_rows_than_a_browser_bears() -> None:
    page = report_html(content(*(done(number) for number in range(5100)), failed(6000, "bad.png"))).decode()
    assert page.index("bad.png") < page.index("a.png")
    assert page.count("<tr>") < 5100 and "101 more cases" in page


def test_numbers_of_the_page_stay_on_one_line_and_the_making_stands_at_its_end() -> None:
    facts = RunFacts("0123abcd", "2026-01-02T03:04:05Z", VERSIONS, MODEL, MACHINE, {"gate": "off", "gaps": "warn"})
    page = report_html(content(done(1, tiles=550, tiles_gated=383), facts=facts)).decode()
    assert "<td class='number'>383 of 550</td>" in page
    assert "highest score (no confidence in the mask)" in page and "presence" not in page
    assert page.index("How it was made") > page.index("a.png") > page.index("toy 1")
    assert "<th>--gate</th><td>off</td>" in page and "--gaps" not in page  # what was not chosen is not listed


def shard(index: int, *outcomes: Outcome, **changes: Any) -> Any:
    settings = {"gate": "auto", "shard": [index, 2]}
    facts = RunFacts("0123abcd", f"2026-01-0{index}T00:00:00Z", VERSIONS, MODEL, MACHINE, settings)
    return content(*outcomes, facts=facts, shard=(index, 2), **changes)


def test_shards_join_into_one_report() -> None:
    whole = on_disk(merge([shard(1, done(1, "b.png")), shard(2, done(2, "a.png"), failed(3, "c.png"))]))
    jsonschema.Draft202012Validator(load_schema()).validate(whole)
    assert [case["name"] for case in whole["cases"]] == ["a.png", "b.png", "c.png"]
    assert (whole["exit_code"], whole["shard"], whole["counts"]) == (1, None, {"done": 2, "failed": 1})
    assert whole["begun"].startswith("2026-01-01")


def test_a_shard_that_ended_early_ends_the_whole_early() -> None:
    whole = merge([shard(1, done(1)), shard(2, ended=143, message="a signal ended the run", pending=("00000000000f",))])
    assert (whole["exit_code"], whole["pending"]) == (143, ["00000000000f"])
    assert whole["message"] == "shard 2: a signal ended the run"
    assert merge([shard(1, ended=70, message="x"), shard(2, ended=143, message="y")])["exit_code"] == 70


@pytest.mark.parametrize(
    ("second", "word"),
    [
        (shard(2, done(2, "a.png")), "claim the mask a.png"),
        (shard(2, done(1, "other.png")), "claim the case"),
        (shard(2) | {"model": {**MODEL, "weights_sha256": "9" * 64}}, "another model"),
        (shard(2) | {"settings": {"gate": "off", "shard": [2, 2]}}, "other settings"),
        (shard(2) | {"versions": {**VERSIONS, "segcli": "9"}}, "another version"),
    ],
)
def test_what_is_no_part_of_the_whole_is_refused(second: Any, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        merge([shard(1, done(1, "a.png")), second])


def test_what_the_empty_filter_took_off_is_counted_and_shown() -> None:
    emptied = content(done(1, slices_emptied=3), done(2, slices_emptied=2))
    jsonschema.validate(emptied, load_schema())
    assert emptied["slices_emptied"] == 5
    assert "took a label off</th><td>5<" in report_html(emptied).decode()
    assert "empty filter" not in report_html(content(done(1))).decode()
    before = content(done(1))
    del before["slices_emptied"], before["cases"][0]["slices_emptied"]  # as an earlier version wrote it
    assert report_from(before).outcomes[0].slices_emptied == 0 and report_html(before)


@pytest.mark.parametrize(
    "spoil",
    [
        {"tiles": "<script>alert(1)</script>"},
        {"counts": {"done": "<img src=x>"}},
        {"exit_code": "0"},
        {"settings": {"gate": {"deep": ["<b>"]}}},
        {"seconds": {"total": "<b>"}},
        {"pending": "<b>"},
        {"cases": ["<b>"]},
        {"cases": [{"id": "0" * 12, "name": "x", "status": "<b>"}]},
        {"schema": 2},
        {"model": None},
    ],
)
def test_a_hostile_report_is_refused_before_anything_is_made_of_it(
    tmp_path: Path, spoil: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(content(done(1)) | spoil))
    assert run(["report", str(tmp_path), "--write"]) == 2
    told = capsys.readouterr()
    assert "report.json: " in told.err and "a bug" not in told.err and "<" not in told.err
    assert not (tmp_path / "report.html").exists()


def test_a_report_of_an_earlier_version_is_shown(tmp_path: Path) -> None:
    earlier = content(done(1))
    del earlier["slices_emptied"], earlier["cases"][0]["slices_emptied"], earlier["cases"][0]["geometry"]
    earlier["cases"][0]["status"] = "unchanged"
    (tmp_path / "report.json").write_text(json.dumps(earlier))
    assert run(["report", str(tmp_path), "--write", "-v"]) == 0
    assert (tmp_path / "report.html").exists()
