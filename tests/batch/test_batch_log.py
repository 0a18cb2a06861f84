"""The logger ``segcli``: for programs that call ``segcli.predict``, quiet until they listen, and without names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import segcli

PATIENT = "DOE"


@pytest.fixture
def scans(pictures: Path, tmp_path: Path) -> Path:
    """Three pictures, a volume whose name and header hold a patient's name, a damaged picture, and a text."""
    folder = pictures / f"{PATIENT}-jane"
    folder.mkdir()
    volume = nib.Nifti1Image(np.random.default_rng(3).random((12, 12, 2)).astype(np.float32), np.eye(4))
    volume.header["descrip"] = PATIENT
    nib.save(volume, folder / f"{PATIENT}.nii.gz")
    (folder / f"{PATIENT}.png").write_bytes((pictures / "a.png").read_bytes()[:-40])
    (folder / f"{PATIENT}.txt").write_text(PATIENT)
    return pictures


def test_each_case_is_told_by_its_id_and_nothing_else(
    scans: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "segcli")
    report = segcli.predict(scans, tmp_path / "out", model=model, device="cpu")
    told = [record for record in caplog.records if record.name == "segcli"]
    assert {record.levelname for record in told} == {"INFO", "DEBUG"}
    messages = [record.getMessage() for record in told]
    assert messages[0].startswith("run begun: cpu, ")
    assert messages[-1].startswith("run ended with 1: {")
    for outcome in report.outcomes:
        kind = f" ({outcome.error})" if outcome.error else ""
        assert messages.count(f"case {outcome.id}: {outcome.status}{kind}") == 1
    assert {outcome.status for outcome in report.outcomes} == {"done", "failed", "skipped"}
    for message in messages:
        assert PATIENT not in message and str(tmp_path) not in message and ".png" not in message


def test_a_retry_is_told(scans: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = segcli.predict(scans, tmp_path / "out", model=model, device="cpu")
    caplog.set_level("INFO", "segcli")
    segcli.predict(scans, tmp_path / "out", model=model, device="cpu")
    (failed,) = (outcome.id for outcome in first.outcomes if outcome.status == "failed")
    assert caplog.messages.count(f"case {failed}: failed before, tried again") == 1


def test_nothing_is_printed_unless_somebody_listens(scans: Path, model: Path, tmp_path: Path) -> None:
    program = "import sys, segcli\nsegcli.predict(sys.argv[1], sys.argv[2], model=sys.argv[3] + '/', device='cpu')"
    done = subprocess.run(
        [sys.executable, "-c", program, str(scans), str(tmp_path / "out"), str(model)],
        capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("", "")


def test_the_help_does_not_wait_for_it() -> None:
    program = "import sys\nfrom segcli.cli.main import run\nrun(['--help'])\nsys.exit('logging' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False).returncode == 0
