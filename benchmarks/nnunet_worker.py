"""A contestant: nnU-Net's predictor with its own PlainConvUNet of the widths of our U-Net, from NIfTI to NIfTI.

Plans and dataset.json are made here; the weights are random, since only time is compared.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from contest import serve
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

TILE = 256


def plans(base: int) -> dict[str, Any]:
    widths = [base * 2**level for level in range(5)]
    architecture = {
        "n_stages": 5,
        "features_per_stage": widths,
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": [[3, 3]] * 5,
        "strides": [[1, 1]] + [[2, 2]] * 4,
        "n_conv_per_stage": [2] * 5,
        "n_conv_per_stage_decoder": [2] * 4,
        "conv_bias": True,
        "norm_op": "torch.nn.modules.batchnorm.BatchNorm2d",
        "norm_op_kwargs": {"eps": 1e-5},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.ReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    resample = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "plans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [TILE, TILE],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resample,
        "resampling_fn_seg_kwargs": {**resample, "is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": {**resample, "order": 1},
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return {
        "dataset_name": "Dataset999_Benchmark",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {"2d": configuration},
    }


def main(settings: dict[str, Any]) -> None:
    manager = PlansManager(plans(settings["base"]))
    configuration = manager.get_configuration("2d")
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        2,
        deep_supervision=False,
    ).eval()
    predictor = nnUNetPredictor(
        tile_step_size=settings["step"],
        use_gaussian=True,
        use_mirroring=settings["mirroring"],
        perform_everything_on_device=False,
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        allow_tqdm=False,
    )
    description = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "ellipse": 1}, "file_ending": ".nii.gz"}
    axes = (0, 1) if settings["mirroring"] else None
    predictor.manual_initialization(
        network, manager, configuration, [network.state_dict()], description, "nnUNetTrainer", axes
    )
    files = sorted(Path(settings["inputs"][0]).glob("*_0000.nii.gz"))
    output = Path(settings["output"])

    def work() -> dict[str, Any]:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        predictor.predict_from_files(
            [[str(path)] for path in files],
            [str(output / path.name.removesuffix("_0000.nii.gz")) for path in files],
            num_processes_preprocessing=1,
            num_processes_segmentation_export=1,
        )
        return {"network": 0.0, "tiles": 0, "gated": 0}

    serve(work, settings["threads"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
