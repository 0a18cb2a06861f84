"""Attacks by DICOM files: damaged streams and headers that lie. Used by red_team.py."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from attacked import SEGCLI, Attack, Place, Ran
from PIL import Image as Pillow
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    generate_uid,
)

SIDE = 256


def slice_of_ct() -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    body = ((rows - 128) ** 2 + (columns - 128) ** 2 < 100**2) * 900
    return (body + np.random.default_rng(0).integers(0, 90, (SIDE, SIDE))).astype(np.uint16)


def data_set(syntax: str, **more: object) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CTImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    made.PatientName, made.PatientID, made.Modality = "A^B", "1", "CT"
    made.StudyDate = made.StudyTime = made.AccessionNumber = made.PatientBirthDate = made.PatientSex = ""
    made.ReferringPhysicianName = made.StudyID = ""
    made.SeriesNumber = made.InstanceNumber = 1
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.Rows = made.Columns = SIDE
    made.PixelSpacing, made.SliceThickness = [1, 1], 1
    made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.RescaleIntercept, made.RescaleSlope = -1024, 1
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def packed(syntax: str, stream: bytes, side: int = SIDE) -> bytes:
    made = data_set(syntax, Rows=side, Columns=side)
    made.PixelData = encapsulate([stream])
    made["PixelData"].is_undefined_length = True
    return written(made)


def written(made: Dataset) -> bytes:
    out = io.BytesIO()
    dcmwrite(out, made, enforce_file_format=True)
    return out.getvalue()


def damaged(stream: bytes) -> bytes:
    """400 random bytes two thirds into the stream."""
    at = len(stream) * 2 // 3
    return stream[:at] + np.random.default_rng(1).bytes(400) + stream[at + 400 :]


def jpeg_lossless(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(pixels, bitspersample=12))


def jpeg_2000(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0, bitspersample=12))


def jpeg_ls(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpegls_encode(pixels))


CODECS = (
    ("lossless JPEG", JPEGLosslessSV1, jpeg_lossless),
    ("JPEG 2000", JPEG2000Lossless, jpeg_2000),
    ("JPEG-LS", JPEGLSLossless, jpeg_ls),
)


def wrong_size() -> bytes:
    """A stream of 16 × 16 whose SIZ marker claims 4,000 × 4,000."""
    stream = bytearray(jpeg_2000(slice_of_ct()[:16, :16]))
    at = stream.index(b"\xff\x51")
    for place in (at + 6, at + 10, at + 22, at + 26):
        stream[place : place + 4] = (4000).to_bytes(4, "big")
    made = data_set(JPEG2000Lossless, Rows=4000, Columns=4000)
    made.PixelData = encapsulate([bytes(stream)])
    made["PixelData"].is_undefined_length = True
    return written(made)


def many_frames(frames: int, syntax: str) -> bytes:
    made = data_set(
        syntax, Rows=1, Columns=1, NumberOfFrames=frames, Modality="OT", BitsAllocated=8, BitsStored=8, HighBit=7,
        SOPClassUID=MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    )  # fmt: skip
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.PixelData = bytes(2)
    made["PixelData"].VR = "OB"
    return written(made)


def sparse(place: Place) -> Sequence[str]:
    """3,000,000 frames of one pixel that the file system does not store."""
    data = bytearray(many_frames(3_000_000, ExplicitVRLittleEndian))
    at = data.rindex(b"\xe0\x7f\x10\x00OB\0\0")
    data[at + 8 : at + 12] = (3_000_000).to_bytes(4, "little")
    path = place.inputs / "hostile.dcm"
    path.write_bytes(bytes(data[: at + 12]))
    with path.open("rb+") as stream:
        stream.truncate(at + 12 + 3_000_000)
    return beside(place)


def beside(place: Place) -> Sequence[str]:
    Pillow.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))).save(place.inputs / "good.png")
    return place.predict()


def one(data: Callable[[], bytes]) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        (place.inputs / "hostile.dcm").write_bytes(data())
        return beside(place)

    return prepare


def refused(ran: Ran) -> str | None:
    statuses = {name: case["status"] for name, case in ran.cases.items()}
    if statuses.pop("good.png", None) != "done":
        return "the harmless file beside it is not done"
    return None if statuses and set(statuses.values()) <= {"failed", "skipped"} else f"status {statuses or 'missing'}"


def finished(ran: Ran) -> str | None:
    return None if all(case["status"] == "done" for case in ran.cases.values()) else "the intact file is refused"


def frames_scanned(place: Place) -> Sequence[str]:
    one(lambda: many_frames(2**31 - 1, DeflatedExplicitVRLittleEndian))(place)
    return (*SEGCLI, "inspect", str(place.inputs))


def odd_modality(place: Place) -> Sequence[str]:
    made = data_set(ExplicitVRLittleEndian, Modality="SMITH_JOHN_1970")
    made.PixelData = slice_of_ct().tobytes()
    (place.inputs / "hostile.dcm").write_bytes(written(made))
    return (*SEGCLI, "predict", str(place.inputs), "-m", "unet3p", "-o", str(place.output))


def unnamed(ran: Ran) -> str | None:
    told = ran.text + "".join(path.read_text(errors="replace") for path in books(ran.place.output))
    return "an identifier is shown" if "SMITH" in told else None


def books(output: Path) -> list[Path]:
    return [path for path in output.rglob("*") if path.suffix in (".json", ".jsonl", ".csv", ".html")]


def deflated() -> bytes:
    """A header of 600 bytes that unpacks to 1 GB."""
    plain = written(data_set(DeflatedExplicitVRLittleEndian))
    start = plain.index(b"DICM") + 4
    meta = start + 12 + int.from_bytes(plain[start + 8 : start + 12], "little")
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(1 << 24)) for _ in range(64)) + packer.flush()
    return plain[:meta] + bomb


def dicom_attacks() -> tuple[Attack, ...]:
    pixels = slice_of_ct()
    streams = []
    for words, syntax, encode in CODECS:
        intact = encode(pixels)
        streams += [
            Attack("codec", f"{words}, intact", one(lambda s=syntax, i=intact: packed(s, i)), finished, codes=(0,)),
            Attack("codec", f"{words}, damaged", one(lambda s=syntax, i=intact: packed(s, damaged(i))), refused),
        ]
    many = many_frames(2**31 - 1, DeflatedExplicitVRLittleEndian)
    return (
        *streams,
        Attack("H3", "2,147,483,647 frames, deflated", one(lambda: many), refused),
        Attack("H3i", "2,147,483,647 frames, deflated: inspect", frames_scanned, codes=(0, 1, 3)),
        Attack("H3b", "3,000,000 frames, sparse", sparse, refused),
        Attack("M5e", "JPEG 2000 that claims 4,000 × 4,000", one(wrong_size), refused),
        Attack("M5f", "a deflated header of 1 GB", one(deflated), refused),
        Attack("L9", "a Modality that is a name", odd_modality, unnamed, codes=(0, 3)),
    )
