"""One stream of tiles: full batches into the encoder, survivors of the gate into full batches for the decoder."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import torch

from segcli.engine.infer import Inference
from segcli.engine.state import Tile
from segcli.errors import CaseError

MAX_WAITING = 1024
"""Tiles that may wait behind a survivor until others fill its batch; then it is decoded in a padded one."""


class Pipeline:
    """Takes tiles in order and gives them back in order, each with its result or an error of its case.

    ``ran`` is called after each batch. An error in a batch of several cases is looked for case by case; where memory
    on the device does not suffice, the batch is halved for the cases in it. Every other error stays what it is.
    """

    def __init__(self, inference: Inference, batch: int) -> None:
        self._inference = inference
        self._batch = batch
        self._raw: list[Tile] = []
        self._survivors: deque[Tile] = deque()
        self._order: deque[Tile] = deque()

    def feed(self, tile: Tile) -> bool:
        """Take one more tile; whether a batch was run, so that tiles may be done."""
        self._raw.append(tile)
        self._order.append(tile)
        if len(self._raw) < self._batch:
            return False
        self._encode_all()
        if len(self._order) > MAX_WAITING:
            self.release()
        return True

    def done(self) -> Iterator[Tile]:
        """Tiles that are done and have no unfinished one before them."""
        while self._order and (self._order[0].done or self._order[0].state.error is not None):
            yield self._order.popleft()

    def release(self) -> None:
        """Decode the survivors there are, in a padded batch."""
        if self._survivors:
            self._decode(list(self._survivors))
            self._survivors.clear()

    def flush(self) -> None:
        """Run everything that was fed."""
        if self._raw:
            self._encode_all()
        self.release()

    def _encode_all(self) -> None:
        tiles = [tile for tile in self._raw if tile.state.error is None]
        self._raw = []
        _attempt(self._encode, tiles)
        self._survivors.extend(tile for tile in tiles if tile.features is not None and tile.state.error is None)
        while len(self._survivors) >= self._batch:
            self._decode([self._survivors.popleft() for _ in range(self._batch)])

    def _encode(self, tiles: Sequence[Tile], batch: int) -> None:
        found = self._inference.encode([tile.pixels for tile in tiles if tile.pixels is not None], batch)
        alive = found.kept.any(dim=1).tolist()
        whole = all(alive) and len(tiles) == batch
        for index, tile in enumerate(tiles):
            tile.pixels = None
            tile.kept = found.kept[index].tolist()
            tile.presence = None if found.presence is None else found.presence[index]
            tile.done = not alive[index]
            if alive[index]:
                # copied out of a batch of which others were gated, whose features would stay in memory else
                views = tuple(feature[index : index + 1] for feature in found.features)
                tile.features = views if whole else tuple(view.clone() for view in views)
                tile.batch_features = found.features if whole else None

    def _decode(self, tiles: Sequence[Tile]) -> None:
        _attempt(self._decode_batch, [tile for tile in tiles if tile.state.error is None])

    def _decode_batch(self, tiles: Sequence[Tile], batch: int) -> None:
        features = [tile.features for tile in tiles if tile.features is not None]
        whole = tiles[0].batch_features
        same = all(tile.batch_features is whole for tile in tiles)
        if whole is not None and same and len(tiles) == len(whole[0]) == batch:
            features = [whole]  # nothing to copy together
        kept = torch.tensor([tile.kept for tile in tiles])
        for tile, probabilities in zip(tiles, self._inference.decode(features, kept, batch), strict=True):
            tile.features = tile.batch_features = None
            tile.probabilities = probabilities
            tile.done = True


def _attempt(run: Callable[[Sequence[Tile], int], None], tiles: Sequence[Tile]) -> None:
    if not tiles:
        return
    owners = list({id(tile.state): tile.state for tile in tiles}.values())
    batch = min(state.batch for state in owners)
    if len(tiles) > batch:
        for start in range(0, len(tiles), batch):
            _attempt(run, tiles[start : start + batch])
        return
    failure = _timed(run, tiles, batch)
    if failure is None:
        return
    if is_out_of_memory(failure) and batch > 1:
        for state in owners:
            state.halve(batch // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _attempt(run, tiles)
    elif len(owners) > 1:
        for owner in owners:
            _attempt(run, [tile for tile in tiles if tile.state is owner])
    else:
        owners[0].error = network_error(failure)


def _timed(run: Callable[[Sequence[Tile], int], None], tiles: Sequence[Tile], batch: int) -> Exception | None:
    """Run, sharing the time among the cases by tiles; the error without the frames that hold the batch's memory."""
    start = time.perf_counter()
    try:
        run(tiles, batch)
    except Exception as error:  # noqa: BLE001 - the network is a stranger's code
        return error.with_traceback(None)
    finally:
        share = (time.perf_counter() - start) / len(tiles)
        for tile in tiles:
            tile.state.seconds += share
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device had no memory left, and nothing else."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    words = (
        "MPS backend out of memory",
        "DefaultCPUAllocator: can't allocate memory",
        "DefaultCPUAllocator: not enough",
    )
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def network_error(error: Exception) -> CaseError:
    """The error as the case's own, under the name it has."""
    if isinstance(error, CaseError):
        return error
    text = str(error).splitlines()[0][:200] if str(error) else ""
    return CaseError(f"the network failed: {type(error).__name__}{': ' + text if text else ''}")
