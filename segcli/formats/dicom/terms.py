"""The card's labels as segment descriptions: coded terms, colours, algorithm (PS3.3 C.8.20.2, PS3.16 CID 7150-7162)."""

from __future__ import annotations

import re

from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from segcli.contract import Code, Label, ModelCard

TISSUE = Code("SCT", "85756007", "Tissue")
"""Category and type of a label for which the card has no code: true of anything in a body, and invents no anatomy."""

_VALUE = re.compile(r"label value (\d+)")
_LONGEST = 64


def segment_descriptions(card: ModelCard, numbers: dict[int, int]) -> list[SegmentDescription]:
    """One description a label, found or not, in the order of ``numbers`` (label value → segment number)."""
    labels = {label.value: label for label in card.labels}
    return [_description(labels[value], number, card) for value, number in numbers.items()]


def label_value(description: SegmentDescription) -> int:
    """The label number a segment stands for; of SEGs by other programs the segment number."""
    found = _VALUE.fullmatch(str(description.get("SegmentDescription", "")).strip())
    return int(found[1]) if found else int(description.SegmentNumber)


def card_warnings(card: ModelCard) -> tuple[str, ...]:
    """What is to be told of a card whose segments cannot all be coded."""
    uncoded = [label.name for label in card.labels if label.category is None or label.type is None]
    if not uncoded:
        return ()
    return (f"the card has no category or type code for {', '.join(uncoded)}: the SEG says Tissue (SCT 85756007)",)


def private_schemes(card: ModelCard) -> list[str]:
    """Coding schemes of the card that are not public (designators beginning with 99), each once."""
    terms = [term for label in card.labels for term in (label.category, label.type) if term is not None]
    return sorted({term.scheme for term in terms if term.scheme.startswith("99")})


def plain(text: str, otherwise: str) -> str:
    """``text`` as a value of VR LO: one line, no backslash, at most 64 characters; ``otherwise`` if nothing is left.

    A longer text is cut between two words, where it has two.
    """
    cleaned = "".join(character if character.isprintable() and character != "\\" else " " for character in text)
    words = " ".join(cleaned.split())
    if len(words) > _LONGEST:
        whole, blank, _ = words[: _LONGEST + 1].rpartition(" ")
        words = whole.rstrip(",;: ") if blank else words[:_LONGEST]
    return words or otherwise


def _description(label: Label, number: int, card: ModelCard) -> SegmentDescription:
    algorithm = AlgorithmIdentificationSequence(
        name=plain(card.name, "segcli model"),
        family=codes.cid7162.ArtificialIntelligence,
        version=plain(card.version, "0"),
    )
    description = SegmentDescription(
        segment_number=number,
        segment_label=plain(label.name, f"label {label.value}"),
        segmented_property_category=_concept(label.category or TISSUE),
        segmented_property_type=_concept(label.type or TISSUE),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        display_color=CIELabColor.from_rgb(*label.color),
    )
    description.SegmentDescription = f"label value {label.value}"
    return description


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(
        value=code.code,
        scheme_designator=plain(code.scheme, "99SEGCLI")[:16],
        meaning=plain(code.meaning, "unnamed"),
    )
