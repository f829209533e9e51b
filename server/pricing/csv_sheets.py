"""Sheets as CSV: UTF-8 with commas, and to read also with semicolons or tabs, as spreadsheets of other countries save them.

A text that a spreadsheet would take for a formula is written behind an apostrophe, which is taken off where it is read.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from server.pricing.errors import PriceSheetUnreadableError
from server.pricing.sheets import Cells

_FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the wide forms of the first."""
_QUOTED: Final = (*_FORMULA_BEGINS, "'")
_SEPARATORS: Final = ",;\t"
_FIELD_CHARACTERS_MAX: Final = 32_768


def read_csv(body: bytes) -> Iterator[tuple[int, Cells]]:
    """The rows with the number of the line that each ends on. Raises PriceSheetUnreadableError."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PriceSheetUnreadableError(f"is not UTF-8 at byte {error.start}; save it as CSV in UTF-8") from error
    first = text.lstrip("\r\n").partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in rows:
            if any(len(cell) > _FIELD_CHARACTERS_MAX for cell in row):
                raise PriceSheetUnreadableError(
                    f"has a cell of more than {_FIELD_CHARACTERS_MAX} characters; look for a missing quote"
                )
            yield rows.line_num, [_unquoted(cell) for cell in row]
    except csv.Error as error:
        problem = f"is no CSV at line {rows.line_num}: {error}; look for a quotation mark that is not closed"
        raise PriceSheetUnreadableError(problem) from error


def write_csv(rows: Iterable[Cells]) -> bytes:
    """Rows as CSV, by RFC 4180."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([_quoted(cell) for cell in row] for row in rows)
    return written.getvalue().encode()


def _quoted(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_QUOTED) else cell


def _unquoted(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_QUOTED) else cell
