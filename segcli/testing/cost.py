"""What a tile costs, that memory does not pile up, and that a GPU agrees with the CPU."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from segcli.testing.subject import CheckFailed, NotApplicable, Note, Subject, difference, forward

GPU_TOLERANCE = 1e-2
"""Convolution algorithms differ between devices; TF32 is off during the check."""
RUNS = 3


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors alive that were made while it was on; ``known`` tensors were there before."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._known = [item.untyped_storage() for item in known]
        self._seen = {storage._cdata for storage in self._known}

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in tree_leaves(result):
            if isinstance(item, Tensor):
                self._count(item.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen or not storage.nbytes():
            return
        self._seen.add(key)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def check_time_and_memory(subject: Subject) -> Note:
    """Milliseconds and peak memory of one tile on this CPU; calls that leave memory behind are refused."""
    network, x = subject.network(), subject.tiles(1)
    seconds = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        forward(network, x)
        seconds.append(time.perf_counter() - start)
    # the calls above may have filled caches; from now on nothing may stay
    with _LiveTensors([*network.parameters(), *network.buffers(), x]) as tensors:
        forward(network, x)
        after_one = tensors.live
        forward(network, x)
        left = tensors.live - after_one
    if left > 0:
        raise CheckFailed(f"every call leaves {left / 1e6:.2g} MB behind: does it keep features or inputs?")
    milliseconds = 1000 * statistics.median(seconds[1:])
    peak = tensors.peak / 1e6
    return Note(
        f"{milliseconds:.3g} ms a tile, {peak:.3g} MB at the peak ({torch.get_num_threads()} threads)",
        {"milliseconds": milliseconds, "peak_mb": peak, "threads": torch.get_num_threads()},
    )


def accelerator() -> torch.device | None:
    """The GPU of this machine, if there is one."""
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps") if torch.backends.mps.is_available() else None


def check_gpu_agrees(subject: Subject) -> Note:
    """Moved to the GPU the network gives what it gives on the CPU, up to rounding."""
    device = accelerator()
    if device is None:
        raise NotApplicable("no GPU here")
    network, x = subject.network(), subject.tiles(2)
    expected = forward(network, x)
    precise = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        result = forward(network.to(device), x.to(device))
        if result.device.type != device.type:
            raise CheckFailed(f"a tile on {device.type} gives a result on {result.device.type}")
        share = difference(result.cpu(), expected)
    except CheckFailed:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise CheckFailed(f"it does not run on {device.type} (a tensor that is no buffer?): {first}") from error
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = precise
    if not share <= GPU_TOLERANCE:
        raise CheckFailed(f"{device.type} and CPU differ by {share:.2g} of the largest value")
    return Note(f"{device.type} differs by {share:.1g}", {"device": device.type, "difference": share})
