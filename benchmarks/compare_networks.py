"""Train the three networks over seeds with one recipe and one split, and print the page docs/comparison.md.

    python benchmarks/compare_networks.py DATASET OUT --seeds 0 1 2 [options of segcli train] > docs/comparison.md

Models go to OUT/NETWORK-SEED and are taken as they are if they are there; a run that was killed is resumed. DATASET is
Task04 (hippocampus) in nnU-Net's raw layout. The split is that of seed 0 for all, so seeds differ in training only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from contest import machine
from torch.utils.flop_counter import FlopCounterMode
from train_hippocampus import CARD, TEST, VALIDATION, write_groups

from segcli.catalog import load_catalog
from segcli.cli.main import run
from segcli.contract import GatedNetwork
from segcli.engine.model import LoadedModel, load_model
from segcli.pairing.layout import read_layout
from segcli.settings import PredictSettings
from segcli.training.examples import Example
from segcli.training.source import read_all
from segcli.training.splitting import groups_from_file
from segcli.training.validation import GateSetting, segment

NAMES = {"unet": "U-Net", "unetpp": "U-Net++", "unet3p": "UNet 3+"}
CONTROL = "without-presence-loss"
ROUNDS = 3


@dataclass(frozen=True)
class Trained:
    """A model and what its card and this machine say of it; ``milliseconds`` a slice without and with the gate."""

    network: str
    seed: int
    metrics: dict[str, Any]
    parameters: int
    gmac: tuple[float, float]
    milliseconds: tuple[float, float]


def train(arguments: argparse.Namespace, options: Sequence[str], network: str, seed: int, name: str) -> Path:
    folder: Path = arguments.out / name
    if not (folder / "config.json").is_file():
        split = ["--groups", str(arguments.groups), "--validation", str(VALIDATION), "--test", str(TEST)]
        command = ["train", str(arguments.dataset), "-m", network, "-o", str(folder), "--seed", str(seed), *split]
        command += ["--split-seed", "0", "--card", str(CARD), *options]
        if (folder / "checkpoint").is_dir():
            command.append("--resume")
        with redirect_stdout(sys.stderr):
            if run(command):
                raise SystemExit(f"training {name} failed")
    return folder


def measured(folder: Path, network: str, seed: int, examples: Sequence[Example]) -> Trained:
    model = load_model(str(folder.resolve()), load_catalog())
    split = model.card.training["split"]
    test = [example for example in examples if example.group in split["test"]]
    return Trained(
        network,
        seed,
        dict(model.card.metrics["test"]),
        sum(parameter.numel() for parameter in model.network.parameters()),
        gigamacs(model),
        timed(model, test),
    )


def gigamacs(model: LoadedModel) -> tuple[float, float]:
    """Multiply-adds of one tile, 1e9: encoder with presence head, and decoder; as this implementation computes them."""
    network, card = model.network, model.card
    tile = torch.zeros(1, card.network_channels, *card.tile)
    found = []
    with torch.inference_mode():
        if not isinstance(network, GatedNetwork):
            with FlopCounterMode(display=False) as counter:
                network(tile)
            return 0.0, counter.get_total_flops() / 2e9
        with FlopCounterMode(display=False) as counter:
            features = network.encode(tile)
            network.presence(features)
        found.append(counter.get_total_flops() / 2e9)
        with FlopCounterMode(display=False) as counter:
            network.decode(features)
        found.append(counter.get_total_flops() / 2e9)
    return found[0], found[1]


def timed(model: LoadedModel, examples: Sequence[Example]) -> tuple[float, float]:
    """Milliseconds a slice without and with the gate, the faster of interleaved rounds."""
    slices = sum(part.shape[0] for example in examples for part in example.parts)
    gates: tuple[GateSetting, GateSetting] = ("off", "auto")
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for index, gate in enumerate(gates):
            start = time.perf_counter()
            segment(model.network, model.card, examples, PredictSettings(device="cpu"), gate)
            best[index] = min(best[index], (time.perf_counter() - start) * 1000 / slices)
    return best[0], best[1]


def page(results: Sequence[Trained], controls: Sequence[Trained], examples: int) -> str:
    labels = list(results[0].metrics["no_gate"]["labels"])
    seeds = sorted({result.seed for result in results})
    alone = sorted({control.seed for control in controls})
    options = " ".join(["--seeds", *map(str, seeds), *(["--controls", *map(str, alone)] if alone else [])])
    head = [
        "| | " + " | ".join(f"Dice {label}" for label in labels)
        + " | empty slices with a false positive, no gate | with gate | tiles gated | labelled slices missed, no gate "
        "| with gate | parameters | GMAC encoder + decoder | ms a slice, no gate | with gate |",
        "|---" * (len(labels) + 10) + "|",
    ]  # fmt: skip
    lines = [
        "# The three networks side by side",
        "",
        f"Hippocampus (Medical Segmentation Decathlon, Task04), {examples} cases; one recipe, one split by patient, "
        f"{TEST} test patients, {len(seeds)} seed(s). Mean over seeds, ± half the range. Dice over the whole volume of "
        "each test case, mean over cases.",
        "",
        f"Printed by `python benchmarks/compare_networks.py DATASET OUT {options}`; "
        f"milliseconds on a {machine()}, reading left out.",
        "",
        *head,
    ]
    for network in dict.fromkeys(result.network for result in results):
        lines.append(row(NAMES[network], [result for result in results if result.network == network], labels))
    if controls:
        listed = ", ".join(map(str, alone))
        lines += ["", f"Trained without the presence loss, seed(s) {listed}, same split:", "", *head]
        for network in dict.fromkeys(result.network for result in controls):
            lines.append(row(NAMES[network], [result for result in controls if result.network == network], labels))
    lines += ["", "## What of the papers' claims shows here", "", *claims(results, controls), ""]
    return "\n".join(lines)


def row(name: str, results: Sequence[Trained], labels: Sequence[str]) -> str:
    gated = [result.metrics.get("gate") for result in results]
    dice = [spread([r.metrics["no_gate"]["labels"][label]["dice"] for r in results], ".3f") for label in labels]
    encoder, decoder = results[0].gmac
    cells = [
        name,
        *dice,
        spread([r.metrics["no_gate"]["slices"]["empty_with_false_positive"] for r in results], ".1f"),
        spread([g["slices"]["empty_with_false_positive"] for g in gated if g], ".1f"),
        spread([100 * g["tiles_gated"] for g in gated if g], ".0f", " %"),
        spread([r.metrics["no_gate"]["slices"]["missed"] for r in results], ".1f"),
        spread([g["slices"]["missed"] for g in gated if g], ".1f"),
        f"{results[0].parameters / 1e6:.2f} M",
        f"{encoder:.2f} + {decoder:.2f}",
        spread([r.milliseconds[0] for r in results], ".1f"),
        spread([r.milliseconds[1] for r, g in zip(results, gated, strict=True) if g], ".1f"),
    ]
    return "| " + " | ".join(cells) + " |"


def spread(values: Sequence[float | None], form: str, unit: str = "") -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    half = (max(known) - min(known)) / 2
    mean = f"{statistics.mean(known):{form}}{unit}"
    return mean if len(known) == 1 else f"{mean} ± {half:{form}}"


def claims(results: Sequence[Trained], controls: Sequence[Trained]) -> list[str]:
    """Sentences that say only what the numbers above say."""
    by_network = {name: [r for r in results if r.network == name] for name in dict.fromkeys(r.network for r in results)}
    size = {name: found[0].parameters for name, found in by_network.items()}
    dice = {name: [r.metrics["no_gate"]["dice"] for r in found] for name, found in by_network.items()}
    smallest = min(size, key=lambda name: size[name])
    lines = [f"- Fewest parameters: {NAMES[smallest]} ({size[smallest] / 1e6:.2f} M). UNet 3+ claims this for itself."]
    best = max(dice, key=lambda name: statistics.mean(dice[name]))
    others = [value for name, values in dice.items() if name != best for value in values]
    if others and len(dice[best]) > 1 and min(dice[best]) > max(others):
        lines.append(f"- Dice: every seed of {NAMES[best]} is above every seed of the others.")
    else:
        lines.append("- Dice: the seeds of the networks overlap, or there is one only; no order can be claimed.")
    for name, found in by_network.items():
        pairs = [(r.metrics["no_gate"]["slices"], r.metrics["gate"]["slices"]) for r in found if "gate" in r.metrics]
        if pairs:
            free, gated = (sum(each["empty_with_false_positive"] for each in side) for side in zip(*pairs, strict=True))
            volume = [sum(each["false_positive_pixels"]["total"] for each in side) for side in zip(*pairs, strict=True)]
            lines.append(
                f"- {NAMES[name]}: the gate takes false positives on empty slices from {free} to {gated}, their pixels "
                f"from {volume[0]:.0f} to {volume[1]:.0f} (all seeds)."
            )
    for name in dict.fromkeys(control.network for control in controls):
        without = {t.seed: t.metrics["no_gate"]["slices"] for t in controls if t.network == name}
        with_head = [r.metrics["no_gate"]["slices"] for r in by_network[name] if r.seed in without]
        pixels = [sum(s["false_positive_pixels"]["total"] for s in side) for side in (with_head, without.values())]
        slices = [sum(s["empty_with_false_positive"] for s in side) for side in (with_head, without.values())]
        lines.append(
            f"- {NAMES[name]}: with no gate {slices[0]} empty slices have a false positive ({pixels[0]:.0f} pixels) "
            f"with the presence loss, {slices[1]} ({pixels[1]:.0f} pixels) without it (same seeds)."
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--networks", nargs="+", default=list(NAMES))
    parser.add_argument(
        "--controls", type=int, nargs="+", default=[], metavar="SEED", help="also without presence loss"
    )
    arguments, options = parser.parse_known_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.groups = arguments.out / "groups.csv"
    write_groups(arguments.groups)
    layout = read_layout(arguments.dataset)
    examples, _ = read_all(layout, None, lambda names: groups_from_file(names, arguments.groups))
    results, controls = [], []
    for network in arguments.networks:
        for seed in arguments.seeds:
            folder = train(arguments, options, network, seed, f"{network}-{seed}")
            results.append(measured(folder, network, seed, examples))
            if seed in arguments.controls:
                alone = [*options, "--option", "presence=false"]
                folder = train(arguments, alone, network, seed, f"{network}-{seed}-{CONTROL}")
                controls.append(measured(folder, network, seed, examples))
    print(page(results, controls, len(examples)))


if __name__ == "__main__":
    main()
