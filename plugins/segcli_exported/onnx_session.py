"""ONNX, run by onnxruntime on its CPU or CUDA provider. Operators of ONNX read and write no files; they may loop."""

from __future__ import annotations

import base64
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segcli_exported.onnx_file import refuse_outside

# Since 1.29 onnxruntime writes to the user's folder and tells its maker over the network which models are run, unless
# this is set when it is imported.
_before = os.environ.get("ORT_DISABLE_TELEMETRY")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # noqa: E402

if _before is None:
    del os.environ["ORT_DISABLE_TELEMETRY"]
else:
    os.environ["ORT_DISABLE_TELEMETRY"] = _before
onnxruntime.disable_telemetry_events()  # for the rest of it, where somebody else has imported it before

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
NOWHERE = "/nonexistent"
"""Where weights outside the file would be looked for; files that have any are refused before."""


class OnnxProgram:
    """Raises RuntimeError if onnxruntime cannot open the bytes, or if they are not one input and one output."""

    def __init__(self, data: bytes) -> None:
        try:
            refuse_outside(data)
        except ValueError as error:
            raise RuntimeError(f"the ONNX file {error}") from error
        self._data = data
        self._device = torch.device("cpu")
        self._session = self._open("CPUExecutionProvider")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise RuntimeError(
                f"the ONNX file has {len(inputs)} input(s) and {len(outputs)} output(s): export one in, logits out"
            )
        if inputs[0].type not in TYPES:
            raise RuntimeError(f"the ONNX file takes {inputs[0].type}, not floats")
        self._name, self._type, self._shape = inputs[0].name, TYPES[inputs[0].type], tuple(inputs[0].shape)

    def move(self, device: torch.device) -> None:
        """Open it anew on the device's provider; never falls back to another one."""
        if device == self._device:
            return
        provider = PROVIDERS.get(device.type, "")
        if provider not in onnxruntime.get_available_providers():
            advice = "install onnxruntime-gpu, or use --device cpu" if device.type == "cuda" else "use --device cpu"
            raise RuntimeError(f"onnxruntime here cannot run on {device.type}: {advice}")
        self._session = self._open(provider, device.index or 0)
        self._device = device

    def __call__(self, x: Tensor) -> Any:
        """numpy in between: the tile crosses to the CPU and back."""
        self._refuse_shape(tuple(x.shape))
        (result,) = self._session.run(None, {self._name: x.cpu().numpy().astype(self._type, copy=False)})
        return torch.from_numpy(result).to(x.device)

    def _refuse_shape(self, given: tuple[int, ...]) -> None:
        """In one line; onnxruntime takes three, of which the last says nothing."""
        wanted = self._shape  # a name in the place of a side: any number
        stated = tuple(side for side, wish in zip(given, wanted, strict=False) if isinstance(wish, int))
        if len(wanted) == len(given) and stated == tuple(wish for wish in wanted if isinstance(wish, int)):
            return
        sides = " × ".join(str(side) if isinstance(side, int) else "any" for side in wanted)
        advice = "the card's tile or channels are others"
        if wanted and isinstance(wanted[0], int) and wanted[0] != 1:
            advice = "export it for a batch of 1, or of any number"
        raise RuntimeError(f"its input is {sides} (batch, channels, then the sides): {advice}")

    def _open(self, provider: str, index: int = 0) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", NOWHERE)
        options.add_session_config_entry("session.load_model_format", "ONNX")
        chosen: Any = (provider, {"device_id": index}) if provider.startswith("CUDA") else provider
        try:
            session = onnxruntime.InferenceSession(self._data, options, providers=[chosen])
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise RuntimeError(f"onnxruntime cannot open the file: {first[:200]}") from error
        if session.get_providers()[0] != provider:
            raise RuntimeError(f"onnxruntime did not start its {provider}: its CUDA libraries may be missing")
        return session


def example_file() -> bytes:
    """The file of the example card: logits (−x, x), opset 13."""
    return base64.b64decode(
        "CAgSBnNlZ2NsaTp9CgsKAXgSAWIiA05lZwojCgFiCgF4EgZsb2dpdHMiBkNvbmNhdCoLCgRheGlzGAGgAQISBHNpZ25aHgoBeBIZChcIARIT"
        "CgMSAW4KAggBCgMSAXIKAxIBY2IjCgZsb2dpdHMSGQoXCAESEwoDEgFuCgIIAgoDEgFyCgMSAWNCBAoAEA0="
    )
