"""Generated DICOM for the tests: a phantom in a stack of slices, and the ways in which hospitals write such a stack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from segcli.case import Case, LeftOut
from segcli.contract import Code, Label, ModelCard
from segcli.errors import CaseError, SkippedCase
from segcli.formats import walk
from segcli.formats.dicom.format import FORMAT
from segcli.formats.interface import (
    DescribedFile,
    ElementRequest,
    GroupRequest,
    InputFiles,
    MaskRequest,
    ReadRequest,
    ReadResult,
)
from segcli.image import Image, LabelMap
from segcli.settings import PredictSettings

CT, MR, DX, US_MULTI, ENHANCED_MR = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.4.1",
)
ROOT = "1.2.826.0.1.3680043.10.1"
MIDDLE, BRIGHT = 5, 2
"""Label numbers of the toy model, in an order that is not their size."""


def phantom(slices: int = 6, rows: int = 24, columns: int = 20) -> NDArray[np.int16]:
    """Hounsfield units: air, a body that is lopsided in every direction, a denser core. No symmetry hides a flip."""
    z, y, x = np.mgrid[0:slices, 0:rows, 0:columns].astype(float)
    body = ((y - rows * 0.55) / (rows * 0.38)) ** 2 + ((x - columns * 0.42) / (columns * 0.3)) ** 2 < 1
    core = (np.abs(y - rows * 0.4 - z) < 3) & (np.abs(x - columns * 0.3 - z / 2) < 2.5)
    values = np.where(body, 40, -1000) + np.where(core & body, 300, 0) + (x + 2 * y + 3 * z).round()
    return np.asarray(np.clip(values, -1024, 1023), dtype=np.int16)


def stack(
    hounsfield: NDArray[Any],
    *,
    series: str = f"{ROOT}.2",
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    origin: Sequence[float] = (-30.0, -40.0, 10.0),
    step: Sequence[float] = (0, 0, 2.5),
) -> list[Dataset]:
    """One CT data set a slice, unsigned 16 bit with intercept -1024, complete and in order."""
    return [
        _slice(plane, index, series, orientation, np.add(origin, np.multiply(step, index)).tolist())
        for index, plane in enumerate(hounsfield)
    ]


def _slice(
    plane: NDArray[Any], index: int, series: str, orientation: Sequence[float], position: Sequence[float]
) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SpecificCharacterSet = "ISO_IR 100"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID, image.SOPInstanceUID = UID(CT), UID(f"{series}.{index + 1}")
    image.StudyDate, image.StudyTime = "20200102", "030405"
    image.ContentDate, image.ContentTime = "20200102", f"0304{index:02d}"
    image.AccessionNumber, image.StudyID = "A77", "S1"
    image.Modality, image.Manufacturer = "CT", "Nobody"
    image.ReferringPhysicianName = "Doctor^Some"
    image.StudyDescription, image.SeriesDescription = "Thorax", "axial"
    image.PatientName, image.PatientID = "Test^Phantom", "P1"
    image.PatientBirthDate, image.PatientSex = "19700101", "O"
    image.StudyInstanceUID, image.SeriesInstanceUID = UID(f"{ROOT}.1"), UID(series)
    image.FrameOfReferenceUID = UID(f"{ROOT}.3")
    image.SeriesNumber, image.InstanceNumber = 3, index + 1
    image.ImagePositionPatient, image.ImageOrientationPatient = list(position), list(orientation)
    image.PixelSpacing, image.SliceThickness = [0.8, 0.7], 2.5
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = plane.shape
    image.RescaleIntercept, image.RescaleSlope = -1024, 1
    put(image, (plane.astype(np.int32) + 1024).astype(np.uint16))
    return image


def put(image: Dataset, stored: NDArray[Any], bits: int | None = None) -> None:
    """Give an image these stored values, native, and say so in its header."""
    width = stored.dtype.itemsize * 8
    image.BitsAllocated, image.BitsStored = width, bits or width
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    data = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    image.PixelData = data + b"\0" * (len(data) % 2)
    image["PixelData"].VR = "OW" if width > 8 else "OB"


def put_bytes(image: Dataset, keyword: str, representation: str, value: bytes) -> None:
    """Give an element these very bytes, whatever its VR asks of them."""
    tag = Tag(keyword)
    value += b" " * (len(value) % 2)
    image._dict[tag] = RawDataElement(tag, representation, len(value), value, 0, False, True)


def stored_values(image: Dataset) -> NDArray[Any]:
    """Stored values of an image made here."""
    kind = f"<{'i' if image.PixelRepresentation else 'u'}{image.BitsAllocated // 8}"
    count = image.Rows * image.Columns
    return np.frombuffer(image.PixelData, kind, count).reshape(image.Rows, image.Columns)


def save(image: Dataset, path: Path) -> Path:
    """Write as a proper file in the transfer syntax of the image's meta."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.save_as(path, enforce_file_format=True)
    return path


def save_all(images: Iterable[Dataset], folder: Path) -> Path:
    """Write as 000.dcm, 001.dcm, ..."""
    for index, image in enumerate(images):
        save(image, folder / f"{index:03d}.dcm")
    return folder


def save_bare(image: Dataset, path: Path) -> None:
    """Without preamble and meta, implicit little endian, as old archives export."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bare = Dataset({tag: image[tag] for tag in image.keys()})  # noqa: SIM118 - a Dataset yields elements
    bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"


@dataclass(frozen=True)
class Found:
    """What a scan says of a folder; ``refused``: file, status, reason of those that have no description."""

    cases: list[Case]
    left_out: list[LeftOut]
    refused: list[tuple[Path, str, str]]

    @property
    def case(self) -> Case:
        assert len(self.cases) == 1, self
        return self.cases[0]

    def files(self) -> list[Path]:
        """Every file as often as it was accounted for; those of cases once."""
        used = sorted({path for case in self.cases for path in case.files})
        return [*used, *(path for entry in self.left_out for path in entry.files), *(path for path, *_ in self.refused)]


def scan(folder: Path, select: tuple[tuple[str, str], ...] = ()) -> Found:
    """All files below ``folder`` the way the program's own scan goes about it."""
    keywords = FORMAT.keywords(ElementRequest(select))
    described: list[DescribedFile] = []
    refused = []
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        with path.open("rb") as stream:
            head = stream.read(4096)
        if not FORMAT.recognises(head):
            refused.append((path, "skipped", "not recognised"))
            continue
        try:
            described.append(DescribedFile(walked(path, folder), FORMAT.describe(path, keywords)))
        except SkippedCase as error:
            refused.append((path, "skipped", str(error)))
        except CaseError as error:
            refused.append((path, "failed", str(error)))
    grouped = FORMAT.group(described, GroupRequest(b"key", select=select))
    return Found(list(grouped.cases), list(grouped.left_out), refused)


def walked(path: Path, folder: Path) -> walk.Found:
    """As a scan of ``folder`` lists a file."""
    relative = PurePosixPath(path.relative_to(folder).as_posix())
    status = path.stat()
    return walk.Found(path, relative, folder.name / relative, status.st_size, status.st_mtime)


def read_result(case: Case, **request: Any) -> ReadResult:
    """A case read as a reader process would: from the case's JSON."""
    copy = Case.from_json(case.to_json(), FORMAT.details_of_case)
    return FORMAT.read(copy, ReadRequest(**request), InputFiles(copy.files))


def read(case: Case, **request: Any) -> Image:
    """The one part of a case."""
    (part,) = read_result(case, **request).parts
    return part


CARD = ModelCard(
    plugin="toy",
    name="toy threshold",
    version="1.2.0",
    license="MIT",
    spatial_dims=2,
    channels=("CT",),
    labels=(
        Label(
            MIDDLE,
            "body",
            (0, 200, 0),
            Code("SCT", "91723000", "Anatomical Structure"),
            Code("SCT", "39607008", "Lung structure"),
        ),
        Label(
            BRIGHT,
            "core",
            (255, 0, 0),
            Code("SCT", "49755003", "Morphologically Abnormal Structure"),
            Code("SCT", "4147007", "Mass"),
        ),
        Label(9, "never there", (0, 0, 255)),
    ),
    tile=(16, 16),
    overlap=(0, 0),
    margin=(0, 0),
    sha256="ab" * 32,
)


def mask_request(kind: str = "binary", card: ModelCard = CARD, **settings: Any) -> MaskRequest:
    return MaskRequest(card, PredictSettings(dicom_seg=kind, **settings), "0.1.0")  # type: ignore[arg-type]


def threshold(image: Image, low: float = 0, high: float = 200) -> LabelMap:
    """The toy model: body above ``low``, core above ``high``, nothing in padding."""
    values = image.pixels[:, 0]
    labels = np.where(values > high, BRIGHT, np.where(values > low, MIDDLE, 0)).astype(np.uint8)
    if image.valid is not None:
        labels[~image.valid] = 0
    return LabelMap(labels, image.geometry)


def segment(case: Case, target: Path, kind: str = "binary", **limits: float) -> LabelMap:
    """Read, threshold, write, verify."""
    masks = (threshold(read(case), **limits),)
    FORMAT.write(target, case, masks, mask_request(kind))
    assert FORMAT.verify(target, case, masks, mask_request(kind))
    return masks[0]


def mask_by_source(seg: Path) -> dict[tuple[str, int], dict[int, NDArray[Any]]]:
    """What a SEG says by pydicom alone: (source instance, its frame number or 0) → segment number → bool pixels."""
    data_set = dcmread(seg)
    frames = np.atleast_3d(data_set.pixel_array).reshape(-1, data_set.Rows, data_set.Columns)
    result: dict[tuple[str, int], dict[int, NDArray[Any]]] = {}
    for frame, groups in zip(frames, data_set.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        key = (str(source.ReferencedSOPInstanceUID), int(source.get("ReferencedFrameNumber", 0)))
        segment_number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        segments = result.setdefault(key, {})
        assert segment_number not in segments
        segments[segment_number] = frame.astype(bool)
    return result


def same_masks(one: Path, other: Path) -> bool:
    """Whether two SEGs say the same of every source slice, by pydicom alone, and something at all."""
    first, second = mask_by_source(one), mask_by_source(other)
    assert sum(int(pixels.sum()) for segments in first.values() for pixels in segments.values()) > 100
    return first.keys() == second.keys() and all(
        first[key].keys() == second[key].keys()
        and all(np.array_equal(first[key][number], second[key][number]) for number in first[key])
        for key in first
    )
