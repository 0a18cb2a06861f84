"""Is torch.compile worth it, is bfloat16? Milliseconds a tile, and the seconds the compiler takes to warm up.

``python benchmarks/compiled.py``; needs a C++ compiler. Batches have one fixed shape, as in ``segcli predict``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from contest import machine
from small_model import TILE, card

from segcli.engine.allocator import keep_freed_memory
from segcli_models import unet, unet3p, unetpp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    given = parser.parse_args()
    batch: int = given.batch
    keep_freed_memory()
    print(machine())
    x = torch.rand(batch, 1, TILE, TILE).contiguous(memory_format=torch.channels_last)
    for plugin in (unet, unetpp, unet3p):
        network = plugin.build(card(plugin.name, 16)).eval().to(memory_format=torch.channels_last)
        compiled = torch.compile(network)

        def reduced(x: torch.Tensor, network: torch.nn.Module = network) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return network(x)

        with torch.inference_mode():
            network(x)
            start = time.perf_counter()
            compiled(x)
            warm_up = time.perf_counter() - start
            reduced(x)
            eager, fast, short = in_turns((network, compiled, reduced), x, given.rounds)
        saved = (eager - fast) / batch
        worth = f"after {warm_up / saved:.0f} tiles" if saved > 0 else "never"
        print(
            f"{plugin.name}: {1e3 * eager / batch:.0f} ms a tile, bfloat16 {1e3 * short / batch:.0f}, "
            f"compiled {1e3 * fast / batch:.0f}; warm-up {warm_up:.0f} s, paid back {worth}"
        )


def in_turns(networks: tuple[Callable[[Any], Any], ...], x: torch.Tensor, rounds: int) -> list[float]:
    """Median seconds of each."""
    spent: list[list[float]] = [[] for _ in networks]
    for _ in range(rounds):
        for network, times in zip(networks, spent, strict=True):
            start = time.perf_counter()
            network(x)
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in spent]


if __name__ == "__main__":
    main()
