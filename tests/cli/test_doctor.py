"""``segcli doctor`` names what is there and what is not."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from segcli.cli.main import run


def test_it_names_versions_devices_formats_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith(f"segcli {version('segcli')}, Python 3.")
    for library in ("torch", "numpy", "SimpleITK", "pydicom", "highdicom", "tifffile", "imagecodecs", "nibabel"):
        assert f"{library} {version(library)}" in lines
    (devices,) = (line for line in lines if line.startswith("devices: "))
    assert devices.removeprefix("devices: ").split(", ")[0] == "cpu"
    (readers,) = (line for line in lines if line.startswith("readers: a reader process starts and answers"))
    assert set(readers.split("formats: ")[1].split(", ")) == {"png", "jpeg", "tiff", "nifti", "nrrd", "mha", "dicom"}
    assert {"model unet3p: ready", "model onnx: needs a model folder"} <= set(lines)
    assert not any("TROUBLE" in line for line in lines)


def test_a_plugin_that_cannot_be_loaded_is_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "left_behind-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: left-behind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[segcli.models]\nghost = no_such_module:plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run(["doctor"]) == 2
    (trouble,) = (line for line in capsys.readouterr().out.splitlines() if "TROUBLE" in line)
    assert "ghost" in trouble and "left-behind" in trouble and "no_such_module" in trouble
