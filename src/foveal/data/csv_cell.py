"""Text in the cell of a CSV file that a spreadsheet shows instead of running it, and that text again."""

from __future__ import annotations

from foveal.data.inside import printable

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet run a cell instead of showing it (OWASP, "CSV injection"), wide forms with it."""
_SPELLED = {printable(sign): sign for sign in FORMULA if not sign.isprintable()}


def cell(text: str) -> str:
    """Text that a spreadsheet shows as it is, in one line."""
    bare = text.lstrip("'")
    # What looks as if it were quoted already is quoted, too: otherwise two texts would have one cell.
    quoted = bare.startswith(FORMULA) or (bare != text and bare.startswith(tuple(_SPELLED)))
    return printable(f"'{text}" if quoted else text)


def text_of(cell: str) -> str:
    """What ``cell`` was made of; but for the first sign, what is not printable stays spelled out."""
    text = cell.removeprefix("'")
    if text == cell or not text.lstrip("'").startswith((*FORMULA, *_SPELLED)):
        return cell
    return next((sign + text[len(word) :] for word, sign in _SPELLED.items() if text.startswith(word)), text)
