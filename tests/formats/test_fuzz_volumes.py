"""Damaged volumes in a reader process: an image, or one clear line for each file."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from plain_files import assert_one_line, mutate

from segcli.case import Case
from segcli.errors import SegcliError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers

VOLUME = np.random.default_rng(0).integers(-1000, 1000, (4, 20, 24)).astype(np.int16)


@pytest.mark.parametrize(("name", "suffix"), [("nrrd", ".nrrd"), ("mha", ".mha")])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_damaged_volume_is_read_or_refused(name: str, suffix: str, compressed: bool, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(VOLUME)
    image.SetSpacing((0.5, 0.75, 3.0))
    whole = tmp_path / f"whole{suffix}"
    sitk.WriteImage(image, str(whole), useCompression=compressed)
    rng = np.random.default_rng(7)
    paths = [tmp_path / f"hostile{number}{suffix}" for number in range(60)]
    for path in paths:
        path.write_bytes(mutate(whole.read_bytes(), rng))
    outcomes = []
    with Readers(2) as readers:
        for _, described in readers.describe(name, paths):
            if isinstance(described, SegcliError):
                assert_one_line(described)
        cases = [Case("0", name, "a", PurePosixPath("a"), (path,)) for path in paths]
        request = ReadRequest(max_pixels=1_000_000)
        for future in [readers.submit_read(case, request, deadline=20) for case in cases]:
            try:
                outcomes.append(str(len(future.result(60).parts)))
            except SegcliError as error:
                assert_one_line(error)
                outcomes.append(type(error).__name__)
        [sound] = readers.submit_read(Case("0", name, "a", PurePosixPath("a"), (whole,)), request).result(60).parts
    assert np.array_equal(sound.pixels[:, 0], VOLUME), "the readers are as good as before"
    assert "UnreadableError" in outcomes
