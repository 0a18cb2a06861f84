"""Train, calibrate and measure the model that ships with segcli.

    python benchmarks/train_hippocampus.py DATASET OUT --steps 2000 --seed 0

DATASET is the Medical Segmentation Decathlon's Task04 (hippocampus) in nnU-Net's raw layout, OUT the model folder.
``--weights FILE`` skips the training and calibrates and measures averaged weights that an earlier run has saved.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from segcli.contract import Code, GatedNetwork, Intensity, Label, ModelCard
from segcli.model_folder import save_model_folder
from segcli.training.calibrate import Calibration, calibrate_gate
from segcli.training.dataset import TrainingCase, pad_to, read_dataset, split_patients
from segcli.training.loop import Recipe, train
from segcli_models import unet3p

TILE = (64, 64)
VALIDATION, TEST = 27, 24
ATTRIBUTION = (
    "Trained on Task04 Hippocampus of the Medical Segmentation Decathlon (medicaldecathlon.com), T1 MR of Vanderbilt "
    "University Medical Center, CC BY-SA 4.0; these weights are published under the same licence."
)


def patient_of(case: str) -> int:
    """Cases 2k−1 and 2k are the two hippocampi of one patient."""
    return (int(case.split("_")[1]) + 1) // 2


def card() -> ModelCard:
    structure = Code("SCT", "91723000", "Anatomical Structure")
    # SNOMED CT's code for the whole: DICOM's context groups have none for its head or tail
    hippocampus = Code("SCT", "5366008", "Hippocampus")
    return ModelCard(
        plugin="unet3p",
        name="hippocampus-t1",
        version="1.0.0",
        license="CC-BY-SA-4.0",
        attribution=ATTRIBUTION,
        description="Anterior and posterior hippocampus on axial slices of T1 MR cropped around it. For research.",
        spatial_dims=2,
        channels=("T1",),
        modality="MR",
        labels=(
            Label(1, "anterior hippocampus", (255, 170, 0), structure, hippocampus),
            Label(2, "posterior hippocampus", (0, 150, 255), structure, hippocampus),
        ),
        tile=TILE,
        overlap=(16, 16),
        margin=(0, 0),
        activation="softmax",
        intensity=Intensity("zscore", "case"),
        spacing=(1.0, 1.0),
        orientation="LPS",
        plugin_options={"base": 16, "presence": True},
    )


@dataclasses.dataclass(frozen=True)
class Predicted:
    """One case: logits ``[slice, 3, row, column]`` of its own size, presence probabilities ``[slice, 2]``."""

    case: TrainingCase
    logits: NDArray[np.float32]
    presence: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.bool_]:
        return np.stack([(self.case.labels == k).any(axis=(1, 2)) for k in (1, 2)], axis=1)

    def mask(self, threshold: Sequence[float] | None) -> NDArray[np.int64]:
        """The label map without a gate (None) or with one."""
        logits = self.logits.copy()
        if threshold is not None:
            absent = self.presence < np.array(threshold)
            logits[:, 1:][absent] = -np.inf
        decided: NDArray[np.int64] = logits.argmax(axis=1)
        return decided


def predict(network: nn.Module, cases: Sequence[TrainingCase]) -> list[Predicted]:
    assert isinstance(network, GatedNetwork)  # noqa: S101
    found = []
    for case in cases:
        rows, columns = case.image.shape[1:]
        padded = pad_to(case.image, TILE)
        top, left = (padded.shape[1] - rows) // 2, (padded.shape[2] - columns) // 2
        with torch.inference_mode():
            features = network.encode(torch.from_numpy(padded)[:, None].to(memory_format=torch.channels_last))
            presence = network.presence(features).sigmoid().double().numpy()
            logits = network.decode(features)[:, :, top : top + rows, left : left + columns].numpy()
        found.append(Predicted(case, logits, presence))
    return found


def calibrate(predictions: Sequence[Predicted], seed: int) -> Calibration:
    patients = np.concatenate([np.full(len(p.presence), p.case.patient) for p in predictions])
    return calibrate_gate(
        np.concatenate([p.presence for p in predictions]),
        np.concatenate([p.present for p in predictions]),
        patients,
        seed,
    )


def measure(predictions: Sequence[Predicted], threshold: Sequence[float] | None) -> dict[str, float]:
    """Volume Dice per case and label, false positives on empty slices, and what a gate loses and saves."""
    dice: list[list[float]] = [[], []]
    lost, foreground, false_pixels = [0, 0], [0, 0], []
    kept, positives, skipped, slices = 0, 0, 0, 0
    for p in predictions:
        mask, free, truth = p.mask(threshold), p.mask(None), p.case.labels
        for k in (1, 2):
            a, b = mask == k, truth == k
            dice[k - 1].append(2 * float((a & b).sum()) / max(1, int(a.sum() + b.sum())))
            foreground[k - 1] += int((free == k).sum())
            lost[k - 1] += int(((free == k) & ~a & b).sum())
        empty = ~p.present.any(axis=1)
        false_pixels += [int(count) for count in (mask[empty] > 0).sum(axis=(1, 2))]
        passed = p.presence >= np.array(threshold if threshold is not None else (0.0, 0.0))
        kept += int((passed & p.present).sum())
        positives += int(p.present.sum())
        skipped += int((~passed.any(axis=1)).sum())
        slices += len(passed)
    hits = sum(count > 0 for count in false_pixels)
    return {
        "dice_anterior": round(float(np.mean(dice[0])), 4),
        "dice_posterior": round(float(np.mean(dice[1])), 4),
        "dice_anterior_worst": round(min(dice[0]), 4),
        "dice_posterior_worst": round(min(dice[1]), 4),
        "cases": len(predictions),
        "empty_slices": len(false_pixels),
        "empty_slices_with_false_positive": hits,
        "false_positive_mm3_total": sum(false_pixels),
        "empty_slice_specificity": round(1 - hits / max(1, len(false_pixels)), 4),
        "positive_crops": positives,
        "positive_crops_kept": kept,
        "foreground_lost_to_gate_anterior": round(lost[0] / max(1, foreground[0]), 6),
        "foreground_lost_to_gate_posterior": round(lost[1] / max(1, foreground[1]), 6),
        "slices_that_skip_the_decoder": round(skipped / max(1, slices), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="averaged weights (safetensors) to use instead of training")
    arguments = parser.parse_args()
    cases = read_dataset(arguments.dataset, patient_of)
    split = split_patients([case.patient for case in cases], VALIDATION, TEST, arguments.seed)
    recipe = Recipe(steps=arguments.steps, crop=TILE, dice_over="batch", empty_share=0.35, seed=arguments.seed)
    network = trained([case for case in cases if case.patient in split.train], recipe, arguments.weights)
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    network.load_state_dict(state)  # what is measured is what is written, rounded to float16
    calibration = calibrate(predict(network, [c for c in cases if c.patient in split.validation]), arguments.seed)
    test = predict(network, [c for c in cases if c.patient in split.test])
    metrics = {
        "test_patients": len(split.test),
        "no_gate": measure(test, None),
        "gate_at_half": measure(test, (0.5, 0.5)),
    }
    if calibration.gate is not None:
        metrics["gate"] = measure(test, calibration.gate.threshold)
    print(json.dumps({"calibration": calibration.reason or vars(calibration.gate), **metrics}, indent=2))
    training = {
        "data": "Medical Segmentation Decathlon, Task04 Hippocampus: 207 labelled crops of 137 patients",
        "split": dataclasses.asdict(split),
        "patient": "case ids 2k-1 and 2k are one patient, k",
        "recipe": dataclasses.asdict(recipe),
        "steps": recipe.steps,
        "seed": recipe.seed,
    }
    finished = dataclasses.replace(card(), gate=calibration.gate, training=training, metrics=metrics)
    save_model_folder(arguments.out, finished, state)


def trained(cases: Sequence[TrainingCase], recipe: Recipe, weights: Path | None) -> nn.Module:
    torch.manual_seed(recipe.seed)
    network = unet3p.build(card())
    if weights is not None:
        network.load_state_dict(load_file(weights))
        return network.eval()
    return train(network, cases, recipe, reporter())


def reporter() -> Callable[[int, float, nn.Module], None]:
    start, recent = time.monotonic(), []

    def report(step: int, loss: float, averaged: nn.Module) -> None:
        recent.append(loss)
        if step % 50 == 0:
            pace = (time.monotonic() - start) / step
            print(f"step {step}: loss {np.mean(recent[-50:]):.4f}, {pace:.2f} s per step", flush=True)

    return report


if __name__ == "__main__":
    main()
