"""Attacks by cards, plugins and training sets, and images that a model was not made for. Used by red_team.py."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from attacked import SEGCLI, Attack, Place, Ran
from PIL import Image as Pillow

GREY = np.random.default_rng(0).integers(0, 200, (64, 64)).astype(np.uint8)


def head(millimetres: int = 180) -> np.ndarray:
    """A bright ball with a rim and noise: as large as a head, and no hippocampus in it."""
    axes = np.mgrid[:millimetres, :millimetres, :millimetres].astype(np.float32) - millimetres / 2
    far = np.sqrt((axes**2).sum(axis=0)) / (millimetres / 2)
    noise = np.random.default_rng(0).normal(0, 25, far.shape)
    return np.where(far < 0.9, 500 + 200 * np.cos(far * 9) + noise, np.abs(noise)).astype(np.int16)


def whole_head(place: Place) -> Sequence[str]:
    nibabel.Nifti1Image(head(), np.diag([-1, -1, 1, 1])).to_filename(place.inputs / "head.nii.gz")
    return (*SEGCLI, "predict", str(place.inputs), "-m", "unet3p", "-o", str(place.output))


def out_of_scope(ran: Ran) -> str | None:
    reasons = [str(case.get("reason")) for case in ran.cases.values()]
    return None if reasons and all("out of scope" in reason for reason in reasons) else f"reasons: {reasons}"


def with_card(change: Callable[[dict[str, Any]], None]) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        Pillow.fromarray(GREY).save(place.inputs / "good.png")
        model = place.scratch / "model"
        shutil.copytree(place.model, model)
        card = json.loads((model / "config.json").read_text())
        change(card)
        (model / "config.json").write_text(json.dumps(card))
        return (*SEGCLI, "predict", str(place.inputs), "-m", str(model), "-o", str(place.output))

    return prepare


def fields(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card.update(values)


def label_called(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda card: card["labels"][0].update(name=name)


def escaped(ran: Ran) -> str | None:
    if "\x1b]" in ran.text or "\x1b[31m" in ran.text:
        return "an escape sequence of the card reached the terminal"
    return "a line of the card's own stands in the log" if "\nforged" in ran.text else None


def one_line(ran: Ran) -> str | None:
    lines = [line for line in ran.text.splitlines() if line.strip()]
    return None if len(lines) <= 2 and lines and max(map(len, lines)) < 600 else f"{len(lines)} lines, not a clear one"


CARDS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "context_slices of 10**12": fields(context_slices=10**12),
    "a tile of 16384²": fields(tile=[16384, 16384], overlap=[0, 0]),
    "a tile of 65536²": fields(tile=[65536, 65536], overlap=[0, 0]),
    "numbers of 401 digits": fields(threshold=10**400),
    "60,000 keys": fields(training={str(number): number for number in range(60_000)}),
    "200,000 nested lists": lambda card: card.update(training={"x": None}),
}


def nested(place: Place) -> Sequence[str]:
    command = with_card(CARDS["200,000 nested lists"])(place)
    path = place.scratch / "model" / "config.json"
    path.write_text(path.read_text().replace('{"x": null}', '{"x": ' + "[" * 200_000 + "]" * 200_000 + "}"))
    return command


def distribution(place: Place, code: str) -> Mapping[str, str]:
    """A package with entry points on a path of its own: what ``pip install`` would have left."""
    (place.scratch / "evil.py").write_text(code)
    about = place.scratch / "evil-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[segcli.models]\nevil = evil:plugin\n")
    return {"PYTHONPATH": str(place.scratch)}


START = "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('segcli', run_name='__main__')"
EVIL = {
    "a plugin that leaves": "import os\nos._exit(0)\n",
    "a plugin whose error cannot be shown": (
        "class E(Exception):\n    def __str__(self): raise RuntimeError('no')\nraise E()\n"
    ),
    "a plugin that raises SystemExit(0)": "raise SystemExit(0)\n",
}


def evil(code: str, *command: str) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        Pillow.fromarray(GREY).save(place.inputs / "good.png")
        path = distribution(place, code)["PYTHONPATH"]
        runs = (*SEGCLI, *command) if command else place.predict()
        start = (
            "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('segcli', run_name='__main__')"
        )
        return (sys.executable, "-c", start, path, *runs[3:])

    return prepare


def done_or_said(ran: Ran) -> str | None:
    if ran.code == 0 and not any(case["status"] == "done" for case in ran.cases.values()):
        return "exit code 0 with nothing done"
    return None


def listed_broken(ran: Ran) -> str | None:
    return None if "unet3p" in ran.text and "evil" in ran.text else "the list is cut short"


def training_set(place: Place, count: int = 6) -> Path:
    folder = place.scratch / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(count):
        draw = np.random.default_rng(number)
        pixels = draw.integers(0, 60, (64, 64)).astype(np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        mask[20:44, 20 + number : 44 + number] = 1
        pixels[mask > 0] += 120
        Pillow.fromarray(pixels).save(folder / "images" / f"{number}.png")
        Pillow.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


def train_on_links(place: Place) -> Sequence[str]:
    folder = training_set(place)
    (folder / "real").mkdir()
    for path in (folder / "images").iterdir():
        target = path.rename(folder / "real" / path.name)
        path.symlink_to(target)
    return (
        *SEGCLI,
        "train",
        str(folder),
        "-m",
        "unet",
        "-o",
        str(place.output),
        "--preset",
        "smoke",
        "--label",
        "1=square",
    )


def links_are_told(ran: Ran) -> str | None:
    return None if ran.code == 0 or "link" in ran.text else "links are left out without a word"


def segment_colours(place: Place) -> Sequence[str]:
    code = "import numpy, segcli\nsegcli.segment(numpy.zeros((64, 64, 3), 'uint8'), sys.argv[1] + '/')\n"
    guard = "except Exception as error: print(type(error).__name__, error); sys.exit(2)"
    program = f"import sys\ntry:\n    import numpy, segcli\n    {code.splitlines()[1]}\n{guard}\n"
    return (sys.executable, "-c", program, str(place.model))


ANY = (0, 1, 2, 3, 4)
ATTACKS = (
    Attack("B1", "a ball as large as a head", whole_head, out_of_scope, codes=(3,), seconds=60, megabytes=600),
    *(
        Attack("L1", f"card: {words}", nested if "nested" in words else with_card(change), one_line, codes=(2,))
        for words, change in CARDS.items()
        if "keys" not in words
    ),
    Attack("L1", "card: 60,000 keys", with_card(CARDS["60,000 keys"]), codes=(0, 2), seconds=15),
    *(
        Attack("M7", f"a label called {name!r}", with_card(label_called(name)), escaped, codes=(0, 2))
        for name in ("[/foo]x", "\x1b]0;x\x07\x1b[31m", "x\nforged line", "\u202egnorw")
    ),
    *(Attack("L11", words, evil(code), done_or_said, codes=ANY) for words, code in EVIL.items()),
    *(Attack("L11", f"{words}: models list", evil(code, "models", "list"), listed_broken, codes=(0,))
      for words, code in EVIL.items() if "leaves" not in words),
    Attack("B6", "a training set of links", train_on_links, links_are_told, codes=(0, 2), seconds=240, megabytes=2000),
    Attack("B8", "segment() of an RGB array", segment_colours, codes=(2,)),
)  # fmt: skip
