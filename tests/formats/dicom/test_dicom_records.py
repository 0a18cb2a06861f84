"""Records cross from a reader process as JSON, and nothing may be lost, added or guessed on the way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import dicom_making as making
import pytest

from segcli.case import Case
from segcli.formats.dicom.format import FORMAT
from segcli.formats.dicom.instance import describe_instance
from segcli.formats.dicom.records import Instance, Plane, dicom_case


def stated(tmp_path: Path) -> Instance:
    """An instance with values in most of its fields."""
    (image,) = making.stack(making.phantom(1), origin=(0.1, -1 / 3, 1e-17))
    image.BodyPartExamined, image.TriggerTime = "HEAD", 12.5
    making.put_bytes(image, "PixelSpacing", "DS", b"0,5\\0,5")
    return describe_instance(making.save(image, tmp_path / "one"), ("SeriesDescription",))


def test_an_instance_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    one = stated(tmp_path)
    assert one.fault is not None and one.selected == {"SeriesDescription": ("axial", "axial")}
    assert one.planes[0].times["TriggerTime"] == 12.5 and one.planes[0].malformed == "PixelSpacing"
    assert Instance.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_a_case_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    """All that its reader needs; what only people read stays behind."""
    images = making.stack(making.phantom(3), origin=(0.1, -1 / 3, 1e-17))
    (case,) = making.scan(making.save_all(images, tmp_path)).cases
    back = Case.from_json(json.loads(json.dumps(case.to_json())), FORMAT.details_of_case)
    assert dicom_case(back) == dicom_case(case)
    assert back == replace(case, shape=None, spacing=None, orientation=None, transfer_syntax=None, warnings=())
    for wrong in (case.to_json() | {"colour": "red"}, case.to_json() | {"details": {}}):
        with pytest.raises(ValueError, match="fields"):
            Case.from_json(wrong, FORMAT.details_of_case)


def test_another_number_of_fields_is_refused(tmp_path: Path) -> None:
    instance, plane = stated(tmp_path).to_json(), Plane().to_json()
    for wrong in (instance[:-1], [*instance, None], {}):
        with pytest.raises(ValueError, match="fields"):
            Instance.from_json(wrong)
    for wrong in (plane[:-1], [*plane, None], None):
        with pytest.raises(ValueError, match="fields"):
            Plane.from_json(wrong)
