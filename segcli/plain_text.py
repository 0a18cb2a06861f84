"""Words that somebody else chose (names of files, labels, plugins; reasons that quote them), made safe to show.

A name may hold an escape sequence that moves a cursor, a newline that forges a line of a log, a letter that turns the
reading direction round, or the beginning of a formula.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"""(^|[;,|"'])( *)(?=[=+\-@＝＋－＠])""")


def printable(text: object) -> str:
    """``text`` on one line, everything escaped that is no visible character: controls, newlines, bidi, surrogates.

    None is an empty text. What it returns can be encoded as UTF-8.
    """
    words = "" if text is None else str(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in words)


def cell(text: object) -> str:
    """``text`` for a CSV file: printable, an apostrophe before whatever would begin a formula, also after a separator.

    A spreadsheet set to another language splits a file with commas at semicolons, and quotes do not hold it together.
    """
    return _FORMULA.sub(r"\1\2'", printable(text))
