"""Pairs with a known answer: however a series is written, its mask is that of the well-written one, and not empty."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dicom_making as making
import imagecodecs
import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)


def good(folder: Path) -> list[Dataset]:
    images = making.stack(making.phantom())
    making.save_all(images, folder)
    return images


def reversed_numbers(images: list[Dataset], folder: Path) -> None:
    """InstanceNumber, SliceLocation and file names all run against the position."""
    for index, image in enumerate(images):
        image.InstanceNumber = len(images) - index
        image.SliceLocation = -float(index)
        making.save(image, folder / f"IM{(index * 5) % len(images):04d}_{index}")


def signed_12_bits(images: list[Dataset], folder: Path) -> None:
    """Two's complement of 12 bits, not extended to 16; in half of the slices an overlay lies in the upper bits."""
    for index, image in enumerate(images):
        hounsfield = making.stored_values(image).astype(np.int32) - 1024
        bits = (hounsfield & 0x0FFF).astype(np.uint16)
        if index >= len(images) // 2:
            bits |= np.where(np.indices(bits.shape).sum(axis=0) % 3 == 0, 0xA000, 0x1000).astype(np.uint16)
        making.put(image, bits.view(np.int16), bits=12)
        image.RescaleIntercept = 0
        making.save(image, folder / f"{index}.dcm")


def high_bit(images: list[Dataset], folder: Path) -> None:
    """12 bits in the upper part of 16 (HighBit 15), rubbish below."""
    for index, image in enumerate(images):
        stored = making.stored_values(image)
        making.put(image, (stored << 4) | (stored & 7), bits=12)
        image.HighBit = 15
        making.save(image, folder / f"{index}.dcm")


def twice(images: list[Dataset], folder: Path) -> None:
    making.save_all(images, folder / "one")
    shutil.copytree(folder / "one", folder / "two")


def no_extension(images: list[Dataset], folder: Path) -> None:
    for index, image in enumerate(images):
        making.save(image, folder / "a b" / ("x" * index) / "00000001")


def misleading_names(images: list[Dataset], folder: Path) -> None:
    for index, image in enumerate(images):
        making.save(image, folder / f"{index}.{('txt', 'png', 'nii', 'jpg')[index % 4]}")


def no_preamble(images: list[Dataset], folder: Path) -> None:
    for index, image in enumerate(images):
        if index % 2:
            making.save_bare(image, folder / f"{index}.dcm")
        else:
            making.save(image, folder / f"{index}.dcm")


def per_slice_slope(images: list[Dataset], folder: Path) -> None:
    """Each slice in units of its own."""
    for index, image in enumerate(images):
        hounsfield = making.stored_values(image).astype(np.int32) - 1024
        factor = 1 << (index % 3)
        making.put(image, (hounsfield * factor).astype(np.int16))
        image.RescaleIntercept, image.RescaleSlope = 0, 1 / factor
        making.save(image, folder / f"{index}.dcm")


def through_table(images: list[Dataset], folder: Path) -> None:
    """Values are places in a Modality LUT, whose first is 100 and whose output is shifted by 1024."""
    for index, image in enumerate(images):
        stored = making.stored_values(image)
        making.put(image, stored + np.uint16(100))
        del image.RescaleIntercept, image.RescaleSlope
        table = Dataset()
        table.LUTDescriptor = [4096, 100, 16]
        table["LUTDescriptor"].VR = "US"
        table.ModalityLUTType = "US"
        table.LUTData = np.arange(4096, dtype="<u2").tobytes()
        table["LUTData"].VR = "OW"
        image.ModalityLUTSequence = [table]
        making.save(image, folder / f"{index}.dcm")


VARIANTS: dict[str, tuple[Callable[[list[Dataset], Path], None], int]] = {
    "InstanceNumber reversed": (reversed_numbers, 0),
    "signed 12 of 16 bits": (signed_12_bits, 0),
    "12 bits at the top": (high_bit, 0),
    "same instance twice": (twice, 0),
    "no extension": (no_extension, 0),
    "misleading names": (misleading_names, 0),
    "no preamble": (no_preamble, 0),
    "slope per slice": (per_slice_slope, 0),
    "modality LUT": (through_table, 1024),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_mask_is_that_of_the_good_twin(name: str, tmp_path: Path) -> None:
    images = good(tmp_path / "good")
    making.segment(making.scan(tmp_path / "good").case, tmp_path / "good.seg")

    write, offset = VARIANTS[name]
    write(images, tmp_path / "odd")
    found = making.scan(tmp_path / "odd")
    making.segment(found.case, tmp_path / "odd.seg", low=offset, high=200 + offset)

    assert making.same_masks(tmp_path / "good.seg", tmp_path / "odd.seg")
    assert sorted(found.files()) == sorted(path for path in (tmp_path / "odd").rglob("*") if path.is_file())
    assert found.case.id == making.scan(tmp_path / "good").case.id


def test_padding_is_never_labelled_and_changes_nothing_else(tmp_path: Path) -> None:
    images = good(tmp_path / "good")
    making.segment(making.scan(tmp_path / "good").case, tmp_path / "good.seg")
    corner = np.zeros((24, 20), bool)
    corner[:4, :6] = True
    for image in images:
        hounsfield = making.stored_values(image).astype(np.int16) - np.int16(1024)
        making.put(image, np.where(corner, np.int16(2000), hounsfield))  # bright: a model would take it for something
        image.RescaleIntercept = 0
        image.add_new("PixelPaddingValue", "SS", 2000)
    case = making.scan(making.save_all(images, tmp_path / "padded")).case
    making.segment(case, tmp_path / "padded.seg")

    picture = making.read(case)
    assert picture.valid is not None and np.array_equal(picture.valid, np.broadcast_to(~corner, picture.valid.shape))
    assert making.same_masks(tmp_path / "good.seg", tmp_path / "padded.seg")


def test_monochrome1_is_turned_round_once(tmp_path: Path) -> None:
    image = making.stack(making.phantom()[:1])[0]
    image.SOPClassUID, image.Modality = UID(making.DX), "DX"
    del image.RescaleIntercept, image.RescaleSlope
    making.put(image, making.stored_values(image), bits=12)
    making.save(image, tmp_path / "two" / "a")
    image.PhotometricInterpretation = "MONOCHROME1"
    making.put(image, np.uint16(4095) - making.stored_values(image), bits=12)
    making.save(image, tmp_path / "one" / "a")
    twins = [making.read(making.scan(tmp_path / name).case).pixels for name in ("one", "two")]
    assert np.array_equal(*twins)
    assert twins[0].max() > 1024

    image.SOPClassUID, image.Modality = UID(making.CT), "CT"  # Hounsfield units mean what they say
    making.save(image, tmp_path / "ct" / "a")
    assert np.array_equal(making.read(making.scan(tmp_path / "ct").case).pixels[0, 0], making.stored_values(image))


def native(image: Dataset, values: Any, syntax: UID) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    image.PixelData = values.astype(values.dtype.newbyteorder(order)).tobytes()


def encoded(encode: Callable[[Any], bytes]) -> Callable[[Dataset, Any, UID], None]:
    def put(image: Dataset, values: Any, _: UID) -> None:
        image.PixelData = encapsulate([bytes(encode(values))])
        image["PixelData"].VR = "OB"

    return put


def run_lengths(image: Dataset, _: Any, syntax: UID) -> None:
    image.compress(syntax, encoding_plugin="pydicom", generate_instance_uid=False)


JPEG = "1.2.840.10008.1.2.4."
SYNTAXES: dict[UID, Callable[[Dataset, Any, UID], None]] = {
    ExplicitVRLittleEndian: native,
    ImplicitVRLittleEndian: native,
    ExplicitVRBigEndian: native,
    DeflatedExplicitVRLittleEndian: native,
    RLELossless: run_lengths,
    UID(JPEG + "57"): encoded(lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12)),
    UID(JPEG + "70"): encoded(lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12)),
    UID(JPEG + "80"): encoded(imagecodecs.jpegls_encode),
    UID(JPEG + "90"): encoded(
        lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, level=0)
    ),
    UID(JPEG + "201"): encoded(imagecodecs.htj2k_encode),
}


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_lossless_twins_are_identical(syntax: UID, tmp_path: Path) -> None:
    reference = making.phantom()
    images = making.stack(reference)
    for image in images:
        values = making.stored_values(image)
        making.put(image, values, bits=12)
        if syntax == RLELossless:
            image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        SYNTAXES[syntax](image, values, syntax)
        image.file_meta.TransferSyntaxUID = syntax
    case = making.scan(making.save_all(images, tmp_path / "in")).case
    assert case.transfer_syntax == syntax
    assert np.array_equal(making.read(case).pixels[:, 0], reference)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_real_files_of_one_image_are_read_alike(name: str, tmp_path: Path) -> None:
    pictures = []
    for file in ("MR_small.dcm", name):
        folder = tmp_path / file
        folder.mkdir()
        shutil.copy(get_testdata_file(file), folder / "image")
        pictures.append(making.read(making.scan(folder).case).pixels)
    assert np.array_equal(*pictures)
    assert pictures[0].std() > 0


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    ],
)
def test_colour_comes_out_as_rgb(name: str, tmp_path: Path) -> None:
    """The files show one image of bars, whose colours pydicom's own tests state."""
    shutil.copy(get_testdata_file(name), tmp_path / "image")
    pixels = making.read(making.scan(tmp_path).case).pixels
    assert pixels.shape == (1, 3, 100, 100)
    expected = {5: (255, 0, 0), 25: (0, 255, 0), 45: (0, 0, 255), 75: (64, 64, 64), 95: (255, 255, 255)}
    for row, colour in expected.items():
        assert np.abs(pixels[0, :, row, 50].astype(int) - colour).max() <= 6, (row, pixels[0, :, row, 50])


def test_big_endian_colour_equals_its_twin(tmp_path: Path) -> None:
    pictures = []
    for name in ("SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm"):
        (tmp_path / name).mkdir()
        shutil.copy(get_testdata_file(name), tmp_path / name / "image")
        pictures.append(making.read(making.scan(tmp_path / name).case).pixels)
    assert np.array_equal(*pictures)
