"""TIFF as programs use it: pyramids, slides, OME, ImageJ and tifffile's own shapes, each written by tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from plain_files import read, scene, segment

from segcli.errors import UnreadableError, UnsupportedError
from segcli.formats.tiff import FORMAT

GREY = scene()
STACK = np.stack([scene(seed=s) for s in range(4)])


@pytest.mark.parametrize("how", ["subifds", "marked", "unmarked"])
def test_of_a_pyramid_only_the_full_resolution_counts(how: str, tmp_path: Path) -> None:
    path, base = tmp_path / "a.tif", scene(96, 128)
    with tifffile.TiffWriter(path) as writer:
        writer.write(base, tile=(16, 16), subifds=2 if how == "subifds" else 0, metadata=None)
        for step in (2, 4):
            subtype = 0 if how == "unmarked" else 1
            writer.write(base[::step, ::step], tile=(16, 16), subfiletype=subtype, metadata=None)
    done = segment(FORMAT, path, 127)
    assert [part.shape for part in done.result.parts] == [(1, 1, 96, 128)]
    assert "pyramid" in done.result.warnings[0]
    assert np.array_equal(tifffile.imread(done.path), base > 127)


def test_a_slide_file_gives_its_full_resolution(tmp_path: Path) -> None:
    path, base = tmp_path / "a.svs", np.stack([scene(96, 128, seed=s) for s in range(3)], axis=-1)
    with tifffile.TiffWriter(path) as writer:
        options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
        writer.write(base, tile=(16, 16), description="Aperio Image Library v1\n128x96|AppMag = 20", **options)
        writer.write(base[::4, ::4], description="Aperio Image Library v1\nthumbnail", **options)
        writer.write(base[::4, ::4], tile=(16, 16), description="Aperio Image Library v1\nlevel", **options)
        writer.write(base[:10], subfiletype=1, description="Aperio Image Library v1\nlabel 5x5", **options)
    done = segment(FORMAT, path, 127)
    assert [part.shape for part in done.result.parts] == [(1, 3, 96, 128)]
    assert FORMAT.mask_name("a.svs") == "a.svs.tif"


def test_ome_axes_sizes_and_structure(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 20, 30), np.uint8)  # T Z C Y X
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 250.0, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0}
    channels = {"Channel": {"Name": ["DAPI", "b", "c", "d"]}}
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "TZCYX", **sizes, **channels})
    described = FORMAT.describe(path)
    assert described.shape == (6, 20, 30)
    assert described.spacing == pytest.approx((0.00025, 0.0005, 0.002))
    for channel in ("b", "1"):
        done = segment(FORMAT, path, 127, channels=("c",), channel=channel)
        assert [part.shape for part in done.result.parts] == [(3, 1, 20, 30)] * 2
        with tifffile.TiffFile(done.path) as mask:
            assert (mask.series[0].kind, mask.series[0].axes) == ("ome", "TZYX")
            assert np.array_equal(mask.asarray(), pixels[:, :, 1] > 127)
            text = mask.ome_metadata or ""
        stated = 'PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeY="250.0" PhysicalSizeYUnit="nm"'
        assert stated in text
        assert "DAPI" not in text
        assert FORMAT.read_labels(done.path)[0].geometry == done.result.parts[0].geometry
    with pytest.raises(UnsupportedError) as caught:
        read(FORMAT, path, channels=("c",))
    assert "DAPI" not in str(caught.value)


@pytest.mark.parametrize("axes", ["CYX", "TYX", "ZYX", "YXS", "CZYX", "TCYX"])
def test_ome_letters(axes: str, tmp_path: Path) -> None:
    shape = {"C": 2, "T": 5, "Z": 4, "Y": 20, "X": 30, "S": 3}
    pixels = np.random.default_rng(0).integers(0, 255, [shape[axis] for axis in axes], np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels, ome=True, metadata={"axes": axes}, photometric="rgb" if "S" in axes else "minisblack"
    )
    done = segment(FORMAT, path, 127)
    expected = np.einsum(f"{axes}->{''.join(sorted(axes, key='TZCSYX'.index))}", pixels)
    channels = shape["C"] if "C" in axes else shape["S"] if "S" in axes else 1
    expected = expected.reshape(-1, channels, 20, 30)
    assert np.array_equal(done.result.parts[0].pixels, expected)
    with tifffile.TiffFile(done.path) as mask:
        assert mask.series[0].axes == axes.replace("C", "").replace("S", "")
        assert np.array_equal(mask.asarray().reshape(-1, 20, 30), expected[:, 0] > 127)


def test_ome_over_several_files_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "ZYX"})
    text = tifffile.tiffcomment(path)
    other = '<TiffData IFD="0" FirstZ="0" PlaneCount="1"><UUID FileName="secret.ome.tif">urn:uuid:1</UUID></TiffData>'
    start = text.index("<TiffData")
    tifffile.tiffcomment(path, (text[:start] + other + text[text.index("/>", start) + 2 :]).encode())
    tifffile.imwrite(tmp_path / "secret.ome.tif", GREY)
    with pytest.raises(UnsupportedError, match="one OME-TIFF") as caught:
        read(FORMAT, path)
    assert "secret" not in str(caught.value)


def test_imagej_hyperstack(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 60000, (2, 3, 4, 20, 30), np.uint16)
    metadata = {"axes": "TZCYX", "unit": "um", "spacing": 3.5}
    tifffile.imwrite(path, pixels, imagej=True, resolution=((4, 1), (2, 1)), metadata=metadata)
    done = segment(FORMAT, path, 30000)
    assert [part.shape for part in done.result.parts] == [(3, 4, 20, 30)] * 2
    assert done.result.parts[0].geometry.spacing == pytest.approx((0.0005, 0.00025))
    assert done.result.parts[0].geometry.slice_spacing == pytest.approx(0.0035)
    with tifffile.TiffFile(done.path) as mask:
        assert np.array_equal(mask.series[0].asarray(), pixels[:, :, 0] > 30000)
        described = mask.imagej_metadata or {}
        assert (described["unit"], described["spacing"]) == ("um", 3.5)
        assert mask.pages[0].tags["XResolution"].value == (4, 1)


def test_imagej_stack_of_one_directory(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    assert np.array_equal(read(FORMAT, path).parts[0].pixels[:, 0], STACK)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableError, match="cut off"):
        read(FORMAT, path)


def test_shaped_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "CYX"})
    assert read(FORMAT, path).parts[0].shape == (1, 4, 37, 53)
