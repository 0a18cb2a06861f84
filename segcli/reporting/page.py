"""``report.html``: the report for a browser; one file that loads nothing and holds no script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING

from segcli.plain_text import printable
from segcli.settings import PredictSettings

if TYPE_CHECKING:
    from segcli.image import Json

_UNTOUCHED = json.loads(json.dumps(PredictSettings().to_report()))
_IN_ONE_LINE = dict.fromkeys((1, 2, 3, 6, 7), " class='number'")
"""Columns whose words and numbers are not to be broken: status, format, size, tiles, seconds."""
MOST_ROWS = 5000
"""Cases shown; a browser is no place for more. report.json has all."""

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; } td.number { white-space: nowrap; }
.failed { color: #c22; font-weight: 600; } .warning { color: #a60; } .skipped { opacity: .7; }
.facts th { width: 14rem; font-weight: 400; opacity: .7; } summary { cursor: pointer; margin-top: 2rem; }
@media (prefers-color-scheme: dark) { .failed { color: #f77; } .warning { color: #fb5; } }
"""
_ORDER = ("failed", "done", "empty", "unchanged", "skipped")
_HEADINGS = (
    "case",
    "status",
    "format",
    "slices × rows × columns",
    "labels found",
    "highest score (no confidence in the mask)",
    "tiles skipped as empty",
    "seconds",
    "mask",
)


def report_html(content: Json) -> bytes:
    """UTF-8. Failed cases come first; every text is escaped."""
    cases = sorted(content["cases"], key=lambda case: _ORDER.index(case["status"]))
    left = len(cases) - MOST_ROWS
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>segcli: {_text(_sum(content))}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(_sum(content))}</h1>",
        f"<p class='failed'>{_text(content['message'])}</p>" if content["message"] else "",
        *_table_of(_facts(content)),
        "<h2>Cases</h2><table><thead><tr>",
        *(f"<th>{heading}</th>" for heading in _HEADINGS),
        "</tr></thead><tbody>",
        *(_row(case) for case in cases[:MOST_ROWS]),
        "</tbody></table>",
        f"<p>{left} more cases stand in report.json.</p>" if left > 0 else "",
        "<details><summary>How it was made</summary>",
        *_table_of(_making(content)),
        "</details></body></html>\n",
    ]
    return "\n".join(part for part in parts if part).encode("utf-8", errors="replace")


def _table_of(facts: Iterable[tuple[str, object]]) -> Iterator[str]:
    yield "<table class='facts'>"
    for name, value in facts:
        yield f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>"
    yield "</table>"


def _sum(content: Json) -> str:
    counts = ", ".join(f"{content['counts'][word]} {word}" for word in _ORDER if content["counts"].get(word))
    return f"{counts or 'no case found'} (exit code {content['exit_code']})"


def _facts(content: Json) -> Iterator[tuple[str, object]]:
    model = content["model"]
    yield "begun", content["begun"]
    if content["shard"]:
        yield "shard", f"{content['shard'][0]} of {content['shard'][1]}"
    yield "model", f"{model.get('name')} {model.get('version')} ({model.get('plugin')}, {model.get('distribution')})"
    if content["seconds"].get("total"):
        yield "seconds", f"{content['seconds']['total']:g}"
    if content["tiles"]:
        yield "tiles skipped as empty", f"{content['tiles_gated']} of {content['tiles']}"
    if content.get("slices_emptied"):  # a report of an earlier version has none
        yield "slices on which the empty filter took a label off", content["slices_emptied"]
    if content["pending"]:
        yield "cases not begun", len(content["pending"])


def _making(content: Json) -> Iterator[tuple[str, object]]:
    yield "SHA-256 of the weights", content["model"].get("weights_sha256")
    yield "versions", ", ".join(f"{name} {value}" for name, value in content["versions"].items())
    yield "machine", ", ".join(f"{name} {value}" for name, value in content["machine"].items())
    yield "seconds", ", ".join(f"{name} {value:g}" for name, value in content["seconds"].items())
    for name, value in content["settings"].items():
        if value != _UNTOUCHED.get(name):
            yield f"--{name.replace('_', '-')}", value
    yield "all other options", "as they are by default"


def _row(case: Json) -> str:
    status = case["status"]
    remarks = [f"<div class='{_text(status)}'>{_text(case['reason'])}</div>"] if case["reason"] else []
    remarks += [f"<div class='warning'>{_text(warning)}</div>" for warning in case["warnings"]]
    found = {name: volume for name, volume in case["volumes"].items() if volume["pixels"]}
    cells = (
        _text(case["name"]) + "".join(remarks),
        f"<span class='{_text(status)}'>{_text(status)}</span>",
        _text(case["format"] or ""),
        _text(" × ".join(map(str, case["shape"] or ()))),
        _lines(f"{name} {_volume(volume)}" for name, volume in found.items()),
        _lines(f"{name} {score:.3f}" for name, score in (case["presence"] or {}).items()),
        _text(f"{case['tiles_gated']} of {case['tiles']}") if case["tiles"] else "",
        "" if status == "unchanged" or not case["seconds"] else f"{sum(case['seconds'].values()):.2f}",
        _text(case["output"] if status not in ("failed", "skipped") else ""),
    )
    return "<tr>" + "".join(f"<td{_IN_ONE_LINE.get(n, '')}>{cell}</td>" for n, cell in enumerate(cells)) + "</tr>"


def _volume(volume: Json) -> str:
    return f"{volume['pixels']} pixels" if volume["mm3"] is None else f"{volume['mm3']:.0f} mm³"


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(_text(text) for text in texts)


def _text(value: object) -> str:
    return escape(printable(value))
