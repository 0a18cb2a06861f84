"""Images for the benchmarks: real brain tissue with and without an organ, made from this repository alone.

The tissue is the sample's MR series (Colin27), enlarged and mirrored to fill the slice. The organ is a striped
ellipse, because what is measured is speed: whether a gate is right matters, how hard its task is does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

SAMPLE = Path(__file__).parent.parent / "sample_data" / "mr_series"
ENLARGED = 4
STRIPE = 5.0


@dataclass(frozen=True)
class Slices:
    """``pixels`` uint16 and ``organ`` bool, both ``[slice, row, column]``."""

    pixels: NDArray[np.uint16]
    organ: NDArray[np.bool_]


def slices(count: int, size: int, organ_share: float, seed: int) -> Slices:
    """``count`` square slices of which the middle ``organ_share`` hold the organ."""
    draw = np.random.default_rng(seed)
    tissue = np.stack([pydicom.dcmread(path).pixel_array for path in sorted(SAMPLE.glob("*.dcm"))])
    holds = np.zeros(count, bool)
    filled = round(count * organ_share)
    holds[(count - filled) // 2 :][:filled] = True
    planes, organs = [], []
    for with_organ in holds:
        plane = _tissue(tissue[draw.integers(len(tissue))], size, draw)
        organ = _ellipse(size, draw) if with_organ else np.zeros((size, size), bool)
        stripes = 90 * np.sin(np.add.outer(np.arange(size), np.arange(size)) / STRIPE)
        plane = np.where(organ, 130 + stripes, plane)
        noisy = 16 * np.clip(plane + draw.normal(0, 4, plane.shape), 0, 255)
        planes.append(noisy.astype(np.uint16))
        organs.append(organ)
    return Slices(np.stack(planes), np.stack(organs))


def _tissue(plane: NDArray[np.uint8], size: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """One slice of the sample, enlarged by linear interpolation, mirrored over its borders, cut at random."""
    rows, columns = (np.linspace(0, n - 1, n * ENLARGED) for n in plane.shape)
    wide = np.stack([np.interp(columns, np.arange(plane.shape[1]), row) for row in plane])
    large = np.stack([np.interp(rows, np.arange(plane.shape[0]), column) for column in wide.T], axis=1)
    filled = np.pad(large, [(0, max(0, 2 * size - n)) for n in large.shape], mode="symmetric")
    top, left = (draw.integers(0, n - size + 1) for n in filled.shape)
    return filled[top : top + size, left : left + size]


def _ellipse(size: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """One filled ellipse well inside the slice."""
    axes = draw.uniform(size / 16, size / 10, 2)
    centre = draw.uniform(size / 8, size * 7 / 8, 2)
    angle = draw.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size] - centre[:, None, None]
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    inside: NDArray[np.bool_] = (along / axes[0]) ** 2 + (across / axes[1]) ** 2 < 1
    return inside


def write_dicom(made: Slices, folder: Path, name: str) -> None:
    """One MR series, one file a slice, spacing 1 mm."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = (generate_uid(entropy_srcs=[name, word]) for word in ("study", "series", "frame"))
    for number, plane in enumerate(made.pixels, start=1):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = MRImageStorage
        data.SOPInstanceUID = generate_uid(entropy_srcs=[name, str(number)])
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Benchmark", name, "", ""
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20000101", "000000", "1", ""
        data.ReferringPhysicianName, data.PositionReferenceIndicator, data.Laterality = "", "", ""
        data.Modality, data.Manufacturer, data.SeriesNumber, data.InstanceNumber = "MR", "", 1, number
        data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions, data.MRAcquisitionType = "GR", "NONE", "", "2D"
        data.EchoTime, data.EchoTrainLength, data.PatientPosition = None, None, "HFS"
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, number - 1], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [1, 1], 1
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelData = plane.tobytes()
        data["PixelData"].VR = "OW"
        data.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)


def write_nifti(made: Slices, path: Path) -> None:
    """One volume, spacing 1 mm, named as nnU-Net wants it (``…_0000.nii.gz``)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(made.pixels.transpose(2, 1, 0)), np.diag([-1.0, -1, 1, 1])), path)
