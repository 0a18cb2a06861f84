"""What ``auto`` means for the precision, and what is refused instead of replaced."""

from __future__ import annotations

import pytest
import torch

from segcli.engine.device import choose_device, choose_precision
from segcli.errors import UsageError

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_computes_in_bfloat16_only_where_it_has_matrix_tiles(
    amx: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert choose_precision("auto", CPU) == precision


def test_what_is_asked_for_is_taken_or_refused() -> None:
    assert choose_precision("bfloat16", CPU) == "bfloat16"
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        choose_precision("float16", CPU)
    with pytest.raises(UsageError, match="use auto, cpu, cuda"):
        choose_device("gpu")
