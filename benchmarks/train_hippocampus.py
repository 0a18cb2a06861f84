"""Train, calibrate and measure the model that ships with segcli: one call of ``segcli train``, which is printed.

    python benchmarks/train_hippocampus.py DATASET OUT --model unet3p [options of segcli train]

DATASET is the Medical Segmentation Decathlon's Task04 (hippocampus) in nnU-Net's raw layout, OUT the model folder.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from segcli.cli.main import run

CARD = Path(__file__).parent / "hippocampus" / "card.json"
VALIDATION, TEST = 27, 24


def write_groups(path: Path, last: int = 400) -> None:
    """Cases 2k−1 and 2k are the two hippocampi of one patient, k."""
    path.write_text("".join(f"hippocampus_{case:03},{(case + 1) // 2}\n" for case in range(1, last)))


def command(dataset: Path, out: Path, groups: Path, options: Sequence[str]) -> list[str]:
    split = ["--groups", str(groups), "--validation", str(VALIDATION), "--test", str(TEST)]
    return ["train", str(dataset), "-o", str(out), "--card", str(CARD), *split, *options]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="unet3p")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        groups = Path(folder) / "groups.csv"
        write_groups(groups)
        call = command(arguments.dataset, arguments.out, groups, ["-m", arguments.model, *options])
        print(shlex.join(["segcli", *call]), flush=True)
        return run(call)


if __name__ == "__main__":
    sys.exit(main())
