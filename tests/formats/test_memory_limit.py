"""A reader may take what a checked header declares, no more: headers that lie cost their own case and no memory."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fake_format import case, files, texts

from segcli.errors import UnreadableError
from segcli.formats.interface import ReadRequest
from segcli.formats.readers import Readers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no other kernel counts what RLIMIT_DATA limits")

TOO_MUCH = "more memory than its header accounts for"


def test_describing_takes_little_and_the_next_file_is_fine(readers: Readers, tmp_path: Path) -> None:
    found = texts(readers.describe("fake", files(tmp_path, "ok", "greedy", "ok", "starve", "ok")))
    assert [text == "described" for text in found] == [True, False, True, False, True]
    assert TOO_MUCH in found[1] and TOO_MUCH in found[3]


def test_reading_takes_what_is_declared_and_only_then(readers: Readers, tmp_path: Path) -> None:
    declared, greedy = files(tmp_path, "declared", "greedy")
    assert readers.submit_read(case(declared), ReadRequest()).result(60).parts
    [before] = readers.pids
    with pytest.raises(UnreadableError, match=TOO_MUCH):
        readers.submit_read(case(greedy), ReadRequest()).result(60)
    assert readers.submit_read(case(declared), ReadRequest()).result(60).parts
    assert readers.read_labels("fake", declared)
    with pytest.raises(UnreadableError, match=TOO_MUCH):
        readers.read_labels("fake", greedy)
    assert readers.pids == (before,), "no reader had to die for it"


OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="16" SizeY="16" SizeC="1" '
    'SizeZ="2000000000" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
)


@pytest.mark.parametrize("text", [OME, '{"shape": [90000000, 16, 16]}'], ids=["ome", "shaped"])
def test_planes_that_only_a_description_announces(text: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        for _ in range(3):
            writer.write(np.zeros((16, 16), np.uint8), metadata=None, description=text, photometric="minisblack")
    path = tmp_path / "a.tif"
    path.write_bytes(data.getvalue())
    with Readers(1) as pool:
        [(_, answer)] = pool.describe("tiff", [path])
        peak = Path(f"/proc/{pool.pids[0]}/status").read_text().split("VmHWM:")[1].split()[0]
    assert isinstance(answer, UnreadableError) and TOO_MUCH in str(answer)
    assert int(peak) < 400_000
