"""What every reader does with the pixels it has decoded: channels are reconciled, what is no number is hidden.

The stated rules by which the channels of a file become those that a card asks for; anything else is an error:

1. ``--channel NAME|NUMBER`` takes that one channel of the file (names as the file states them, numbers from 0).
2. As many channels as the card wants: taken as they are.
3. The card wants one and the file is RGB: luma of ITU-R BT.601, ``0.299 R + 0.587 G + 0.114 B``.
4. A fully opaque alpha channel is dropped; any other alpha is refused, for what it hides cannot be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcli.errors import UnsupportedError
from segcli.formats.interface import ReadRequest

RGB = ("R", "G", "B")
REC_601 = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def drop_opaque_alpha(pixels: NDArray[Any], opaque: float) -> NDArray[Any]:
    """``[slice, channel, row, column]`` whose last channel is alpha → without it.

    Raises UnsupportedError if any alpha differs from ``opaque``, the value that stands for full opacity.
    """
    if not np.all(pixels[:, -1] == opaque):
        raise UnsupportedError("the image has transparent pixels: flatten it onto a background first")
    return pixels[:, :-1]


def reconcile(pixels: NDArray[Any], names: Sequence[str], request: ReadRequest) -> NDArray[Any]:
    """``[slice, channel, row, column]`` with channels called ``names`` → the channels the request asks for.

    The luma of rule 3 is float32 and not rounded. Raises UnsupportedError naming both numbers of channels.
    """
    have = pixels.shape[1]
    if request.channel is not None and request.channels is not None and len(request.channels) != 1:
        raise UnsupportedError(
            f"--channel names one channel, the model wants {len(request.channels)} ({', '.join(request.channels)})"
        )
    if request.channel is not None:
        return pixels[:, [_index_of(request.channel, names)]]
    if request.channels is None or have == len(request.channels):
        return pixels
    wanted = len(request.channels)
    if wanted == 1 and tuple(names) == RGB:
        luma = np.tensordot(pixels.astype(np.float32), REC_601, axes=([1], [0]))
        return np.ascontiguousarray(luma[:, np.newaxis], dtype=np.float32)
    raise UnsupportedError(
        f"the model wants {wanted} channel(s) ({', '.join(request.channels)}), the image has {have}: "
        "name one with --channel, or use a model for such images"
    )


def _index_of(channel: str, names: Sequence[str]) -> int:
    if channel in names:
        return list(names).index(channel)
    if channel.isdecimal() and int(channel) < len(names):
        return int(channel)
    raise UnsupportedError(f"--channel {channel}: the image has {len(names)} channel(s): {', '.join(names)}")


def hide_non_finite(pixels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None, tuple[str, ...]]:
    """``[slice, channel, row, column]`` → (pixels, ``valid`` ``[slice, row, column]`` or None, warnings).

    A pixel is valid if all its channels are finite; the others get their channel's least finite value, so that they
    poison neither statistics nor the network. Raises UnsupportedError if no pixel is valid.
    """
    if pixels.dtype.kind != "f":
        return pixels, None, ()
    finite = np.isfinite(pixels)
    if finite.all():
        return pixels, None, ()
    valid = finite.all(axis=1)
    if not valid.any():
        raise UnsupportedError("no pixel of the image is a finite number")
    least = np.min(pixels, axis=(0, 2, 3), keepdims=True, where=finite, initial=np.finfo(pixels.dtype).max)
    least = np.where(finite.any(axis=(0, 2, 3), keepdims=True), least, 0).astype(pixels.dtype)
    share = 100 * (1 - float(valid.mean()))
    warning = f"{share:.2g} % of the pixels are not finite (NaN or infinite): taken as background"
    return np.where(finite, pixels, least), valid, (warning,)
