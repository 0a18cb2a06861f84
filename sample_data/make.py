"""Makes this folder from Debian's package mricron-data: ``python make.py /usr/share/mricron/templates``.

Input: Colin27 (``ch2.nii.gz``, 1 mm, an averaged real head) and its AAL labels (``aal.nii.gz``). Output: the region
around both hippocampi as an MR series in DICOM, one of its slices as PNG, eight as a TIFF, and the AAL outline.

Both files state the same origin, but the labels lie one voxel too far to the front and to the top of the image they
were drawn on (``python benchmarks/aal_alignment.py TEMPLATES`` shows it); the outline is moved back.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import tifffile
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

HERE = Path(__file__).parent
HIPPOCAMPI = (37, 38)  # AAL: left, right
BORDER = np.array([6, 6, 2])
AAL_SHIFT = (0, -1, -1)  # voxels to the right, front, top


def region(templates: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Image and AAL labels ``[slice, row, column]`` in LPS order, and the position (LPS, mm) of the first voxel."""
    image = nib.as_closest_canonical(nib.load(templates / "ch2.nii.gz"))
    labels = np.asanyarray(nib.as_closest_canonical(nib.load(templates / "aal.nii.gz")).dataobj)
    inside = np.argwhere(np.isin(labels, HIPPOCAMPI))
    low, high = inside.min(axis=0) - BORDER, inside.max(axis=0) + BORDER + 1
    labels = np.roll(labels, AAL_SHIFT, axis=(0, 1, 2))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    corner = image.affine @ [high[0] - 1, high[1] - 1, low[2], 1]
    pixels, truth = (np.asanyarray(x)[box][::-1, ::-1].transpose(2, 1, 0) for x in (image.dataobj, labels))
    outline = np.zeros(truth.shape, np.uint8)
    for value, number in enumerate(HIPPOCAMPI, start=1):
        outline[truth == number] = value
    return np.ascontiguousarray(pixels).astype(np.uint8), outline, corner[:3] * [-1, -1, 1]


def write_series(pixels: NDArray[np.uint8], corner: NDArray[np.float64]) -> None:
    folder = HERE / "mr_series"
    folder.mkdir(exist_ok=True)
    study, series, frame = (generate_uid(entropy_srcs=["segcli sample", word]) for word in ("study", "series", "frame"))
    for number, plane in enumerate(pixels, start=1):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = MRImageStorage
        data.SOPInstanceUID = generate_uid(entropy_srcs=["segcli sample", str(number)])
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Colin27", "colin27", "", ""
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "19980101", "000000", "1", ""
        data.ReferringPhysicianName, data.PositionReferenceIndicator, data.Laterality = "", "", ""
        data.Modality, data.Manufacturer, data.SeriesNumber, data.InstanceNumber = "MR", "", 1, number
        data.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions, data.MRAcquisitionType = "GR", "NONE", "", "3D"
        data.EchoTime, data.EchoTrainLength, data.PatientPosition = None, None, "HFS"
        data.ImagePositionPatient = [float(corner[0]), float(corner[1]), float(corner[2] + number - 1)]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [1, 1], 1
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
        data.PixelData = plane.tobytes() + b"\0" * (plane.size % 2)
        data["PixelData"].VR = "OB"
        data.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)


def main(templates: Path) -> None:
    pixels, outline, corner = region(templates)
    write_series(pixels, corner)
    middle = len(pixels) // 2
    (HERE / "slice.png").write_bytes(imagecodecs.png_encode(pixels[middle]))
    tifffile.imwrite(
        HERE / "stack.tif", pixels[middle - 8 : middle + 8 : 2], imagej=True, resolution=(1, 1),
        metadata={"axes": "ZYX", "unit": "mm", "spacing": 2.0},
    )  # fmt: skip
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = corner * [-1, -1, 1]
    reference = HERE.parent / "docs" / "aal_hippocampi.nii.gz"
    nib.save(nib.Nifti1Image(np.ascontiguousarray(outline.transpose(2, 1, 0)), affine), reference)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
