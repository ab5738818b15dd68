"""Text in the cells of a sheet that spreadsheet programs open: guarded against being taken for more than text."""

from __future__ import annotations

import re
from typing import Final

#: What a spreadsheet program takes for a formula, or for a number or date that it rewrites (`007`, `1e5`, `2-3`); after
#: any number of apostrophes, so that guarding can be undone.
_NOT_TEXT: Final = re.compile(r"'*(?:[=+\-@\t\r\n]|\d[\d.,:/eE+\- ]*\Z)")
GUARD: Final = "'"


def guarded(text: str) -> str:
    """The text as a cell holds it: with an apostrophe before what is no plain text to a spreadsheet program.

    A cell that begins with = + - or @ is a formula, which can run commands (OWASP, "CSV Injection").
    """
    return GUARD + text if _NOT_TEXT.match(text) else text


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell[1:] if cell.startswith(GUARD) and _NOT_TEXT.match(cell[1:]) else cell
