"""Attacks on the output folder: pipes, links, a manifest that was edited, masks that vanish. Used by red_team.py."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attacked import SEGCLI, Attack, Place, Ran
from PIL import Image as Pillow

GREY = np.random.default_rng(0).integers(0, 200, (64, 64)).astype(np.uint8)
Edit = Callable[[list[dict[str, Any]]], None]


def pictures(place: Place, count: int = 2, side: int = 64) -> None:
    draw = np.random.default_rng(0)
    for number in range(count):
        Pillow.fromarray(draw.integers(0, 200, (side, side)).astype(np.uint8)).save(place.inputs / f"{number:02}.png")


def first_run(place: Place) -> None:
    pictures(place)
    subprocess.run([*place.predict(), "-q"], check=True, capture_output=True)


def put(name: str, kind: str) -> Callable[[Place], Sequence[str]]:
    """A pipe, folder or link out where segcli keeps its books."""

    def prepare(place: Place) -> Sequence[str]:
        pictures(place)
        place.output.mkdir()
        path = place.output / name
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            (place.scratch / "theirs").write_text("a stranger's file")
            path.symlink_to(place.scratch / "theirs")
        return place.predict()

    return prepare


def theirs_is_whole(ran: Ran) -> str | None:
    path = ran.place.scratch / "theirs"
    return None if not path.exists() or path.read_text() == "a stranger's file" else "a link was followed and written"


def says_what_to_do(ran: Ran) -> str | None:
    lines = [line for line in ran.text.splitlines() if line.strip()]
    return None if len(lines) <= 3 and lines else f"{len(lines)} lines instead of a clear one"


def edited(edit: Edit) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        first_run(place)
        path = place.output / "manifest.jsonl"
        events = [json.loads(line) for line in path.read_text().splitlines()]
        edit(events)
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        return place.predict()

    return prepare


def added(event: Any) -> Edit:
    return lambda events: events.append(event)


def changed(kind: str, change: Mapping[str, Any]) -> Edit:
    def edit(events: list[dict[str, Any]]) -> None:
        for event in events:
            if kind in event:
                inner = event[kind] if isinstance(event[kind], dict) else event
                inner.update(change)

    return edit


EDITS: Mapping[str, Edit] = {
    "an empty outcome": added({"outcome": {}}),
    "an outcome that is a list": added({"outcome": [1, 2]}),
    "an outcome that is null": added({"outcome": None}),
    "a start without an output": added({"started": "aaaaaaaaaaaa"}),
    "a start that is an object": added({"started": {}, "output": None}),
    "an output that is a number": added({"started": "a" * 12, "output": 7}),
    "an output above the folder": added({"started": "a" * 12, "output": "../../x"}),
    "a scan of texts": added({"found": "many", "planned": []}),
    "a run without facts": added({"run": "00000000"}),
    "a header without settings": added({"segcli_manifest": 1}),
    "a batch that is a text": changed("segcli_manifest", {"chosen": {"batch": "x", "precision": "float99"}}),
    "a batch of minus one": changed("segcli_manifest", {"chosen": {"batch": -1}}),
    "a status that is none": changed("outcome", {"status": "wonderful"}),
    "a stat of texts": changed("outcome", {"stat": ["a", "b"]}),
    "volumes that are a list": changed("outcome", {"volumes": [1]}),
    "an id that is a number": changed("outcome", {"id": 5}),
    "an unknown event": added({"surprise": True}),
    "a text alone": added("x"),
    "a number alone": added(10**400),
}
"""What is done to a manifest of two cases that are done."""


def huge_manifest(place: Place) -> Sequence[str]:
    first_run(place)
    with (place.output / "manifest.jsonl").open("r+b") as stream:
        stream.truncate(1 << 30)
    return place.predict()


def empty_key(place: Place) -> Sequence[str]:
    pictures(place)
    place.output.mkdir()
    (place.output / ".segcli-key").touch()
    return place.predict()


def many_pictures(place: Place) -> Sequence[str]:
    pictures(place, 24, 1200)
    return place.predict()


class Vanisher:
    """Removes the output folder once three masks are there."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, place: Place, _: float) -> None:
        if not self.done and len(list(place.output.glob("*.png"))) >= 3:
            self.done = True
            shutil.rmtree(place.output, ignore_errors=True)


def not_all_done(ran: Ran) -> str | None:
    there = len(list(ran.place.output.glob("*.png"))) if ran.place.output.is_dir() else 0
    if ran.code == 0 and there < 24:
        return f"exit code 0 with {there} of 24 masks"
    return None


def hostile_report(place: Place) -> Sequence[str]:
    first_run(place)
    path = place.output / "report.json"
    content = json.loads(path.read_text())
    content["cases"][0]["tiles"] = "<script>alert(1)</script>"
    content["cases"][0]["name"] = "<script>alert(2)</script>"
    path.write_text(json.dumps(content))
    (place.output / "manifest.jsonl").unlink()
    return (*SEGCLI, "report", str(place.output), "--write")


def no_script(ran: Ran) -> str | None:
    page = ran.place.output / "report.html"
    return "a script stands in the page" if page.is_file() and "<script>alert" in page.read_text() else None


def plain(place: Place) -> Sequence[str]:
    pictures(place)
    return place.predict()


def several_models(place: Place) -> Sequence[str]:
    pictures(place)
    return (*place.predict(), "-m", "unet3p")


def output_is_a_picture(place: Place) -> Sequence[str]:
    pictures(place)
    return (*SEGCLI, "predict", str(place.inputs), "-m", str(place.model), "-o", str(place.scratch / "out.png"))


def mask_replaced(place: Place) -> Sequence[str]:
    """A second run in a folder whose mask was replaced by a link to a stranger's file."""
    first_run(place)
    (place.scratch / "theirs").write_text("a stranger's file")
    mask: Path = place.output / "00.png"
    mask.unlink()
    mask.symlink_to(place.scratch / "theirs")
    return place.predict("--overwrite")


BOOKS = ("manifest.jsonl", ".segcli-key", "report.json", "report.html", "volumes.csv", ".manifest.jsonl.lock")
ANY = (0, 1, 2, 3, 4)

ATTACKS = (
    *(
        Attack("M1" if kind == "pipe" else "M3" if kind == "folder" else "L4", f"a {kind} as {name} in the output",
               put(name, kind), theirs_is_whole, codes=ANY)
        for kind in ("pipe", "folder", "link")
        for name in BOOKS
    ),
    *(Attack("M6", f"manifest: {words}", edited(edit), codes=ANY) for words, edit in EDITS.items()),
    Attack("M2", "the output vanishes during the run", many_pictures, not_all_done, codes=(1, 2, 4, 70), seconds=90,
           during=Vanisher()),
    Attack("L3", "a script in report.json", hostile_report, no_script, codes=ANY),
    Attack("L5", "an empty .segcli-key", empty_key, codes=(2,)),
    Attack("L7", "600 MB of address space", plain, says_what_to_do, codes=(2, 70),
           limits={resource.RLIMIT_AS: 614_400 * 1024}),
    Attack("L8", "24 descriptors", plain, lambda ran: "called damaged" if "damaged" in ran.text else None, codes=ANY,
           limits={resource.RLIMIT_NOFILE: 24}),
    Attack("L10", "a manifest torn by 1 GiB", huge_manifest, codes=ANY, seconds=60),
    Attack("B7", "two models", several_models, says_what_to_do, codes=(2,)),
    Attack("friction", "-o out.png", output_is_a_picture, says_what_to_do, codes=(2,)),
    Attack("L4", "a mask that became a link", mask_replaced, theirs_is_whole, codes=ANY),
)  # fmt: skip
