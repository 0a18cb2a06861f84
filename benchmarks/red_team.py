"""Every attack that once got through, tried again: ``python benchmarks/red_team.py``.

The files are made here, from nothing. Each attack runs in processes of its own with limits of time and memory (what
the same command takes on a harmless picture, and 300 MB unless the table says more). Prints what happened and ends
with exit code 1 if one attack is not held. Needs Linux.

``--only WORD`` runs the attacks whose name or description holds WORD, ``--list`` names them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import attacks_on_headers
import attacks_on_inputs
import attacks_on_models
import attacks_on_outputs
from attacked import Attack, Place, run
from PIL import Image as Pillow

TOYS = Path(__file__).resolve().parent.parent / "tests" / "toys"
ATTACKS = (
    *attacks_on_inputs.ATTACKS,
    *attacks_on_headers.ATTACKS,
    *attacks_on_outputs.ATTACKS,
    *attacks_on_models.ATTACKS,
)


def harmless(place: Place) -> tuple[str, ...]:
    Pillow.fromarray(attacks_on_inputs.GREY).save(place.inputs / "good.png")
    return place.predict()


def make_model(folder: Path) -> Path:
    subprocess.run([sys.executable, TOYS / "threshold_toys.py", folder], check=True)
    return folder / "brighter"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    chosen = [attack for attack in ATTACKS if options.only.lower() in f"{attack.name} {attack.what}".lower()]
    if options.list:
        print("\n".join(f"{attack.name:>8}  {attack.what}" for attack in chosen))
        return
    os.environ["PYTHONPATH"] = str(TOYS)  # installs the model that finds bright pixels
    with tempfile.TemporaryDirectory() as name:
        model = make_model(Path(name))
        ran, fault = run(Attack("base", "a harmless picture", harmless, codes=(0,), megabytes=4000), model, 0)
        if fault is not None:
            sys.exit(f"a harmless picture already fails: {fault}\n{ran.text}")
        print(f"base: {ran.seconds:.1f} s, {ran.peak:,.0f} MB\n{'':>8}  {'code':>4} {'s':>6} {'MB':>6}  attack")
        fallen = 0
        for attack in chosen:
            result, fault = run(attack, model, ran.peak)
            fallen += fault is not None
            told = f"{attack.what}: {'held' if fault is None else f'NOT HELD, {fault}'}"
            print(f"{attack.name:>8}  {result.code:>4} {result.seconds:6.1f} {result.peak:6,.0f}  {told}", flush=True)
    print(f"{len(chosen)} attacks, {len(chosen) - fallen} held, {fallen} not")
    sys.exit(bool(fallen))


if __name__ == "__main__":
    main()
