"""Model folders of other programs, told by the names of their files: what they are, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segcli.errors import UsageError
from segcli.strict_json import read_object

WAY_OUT = (
    "segcli cannot run it as it is; export its network to ONNX (torch.onnx.export), and `segcli models wrap` makes a "
    "model folder of that and a card you write: the network is taken over, not what is done before and after it"
)


def other_kind(folder: Path) -> str | None:
    """What a folder is that belongs to another program, ready to follow a colon; None if it is not known to be one."""
    for name, is_one in KINDS:
        if is_one(folder):
            return f"it is a model of {name}, and {WAY_OUT}"
    return None


def _is_nnunet(folder: Path) -> bool:
    trained = (folder / "dataset.json").is_file() and (folder / "plans.json").is_file()
    folds = any((fold / name).is_file() for fold in _folders(folder, "fold_") for name in _CHECKPOINTS)
    return trained or folds or bool(_folders(folder, "nnUNetTrainer"))


def _is_monai(folder: Path) -> bool:
    return (folder / "configs" / "metadata.json").is_file()


def _is_smp(folder: Path) -> bool:
    """Its two files are called as ours; its ``config.json`` names a class."""
    try:
        return "_model_class" in read_object(folder / "config.json")
    except UsageError:
        return False


def _folders(folder: Path, beginning: str) -> list[Path]:
    try:
        return [item for item in folder.iterdir() if item.name.startswith(beginning) and item.is_dir()]
    except OSError:
        return []


_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth", "model_final_checkpoint.model")
KINDS: tuple[tuple[str, Callable[[Path], bool]], ...] = (
    ("nnU-Net", _is_nnunet),
    ("MONAI (a bundle)", _is_monai),
    ("segmentation_models_pytorch", _is_smp),
)
