"""Sheets as XLSX. Every price is text: a spreadsheet keeps it as it is, and shows and edits it as it was typed.

A text cell is never taken for a formula, an address or a number.
"""

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from xlsxwriter import Workbook

from server.pricing.sheets import COLUMNS, Cells

MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
_WIDTHS: Final = {"sku": 20, "name": 50}
_NUMBERS: Final = frozenset({"min_quantity", "per_quantity"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHEET: Final = "prices"
_ROWS_MAX: Final = 1_048_576


def write_xlsx(rows: Iterable[Cells]) -> bytes:
    """Rows as the only sheet of a workbook; the first of them is the head."""
    body = io.BytesIO()
    with Workbook(body, _OPTIONS) as workbook:
        workbook.set_properties({"created": _EPOCH})  # the same prices are the same file
        sheet = workbook.add_worksheet(_SHEET)
        text, bold = workbook.add_format({"num_format": "@"}), workbook.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        remaining = iter(rows)
        head = next(remaining)
        _set_columns(sheet, head, text)
        for place, name in enumerate(head):
            sheet.write_string(0, place, name, bold)
        for number, cells in enumerate(remaining, 1):
            for place, (name, cell) in enumerate(zip(head, cells, strict=True)):
                if name in _NUMBERS:
                    sheet.write_number(number, place, int(cell))
                elif cell:
                    sheet.write_string(number, place, cell, text)
    return body.getvalue()


def _set_columns(sheet: Any, head: Cells, text: Any) -> None:
    for place, name in enumerate(head):
        assert name in COLUMNS
        sheet.set_column(place, place, _WIDTHS.get(name, 14), None if name in _NUMBERS else text)
    sheet.ignore_errors({"number_stored_as_text": f"A1:{chr(ord('A') + len(head) - 1)}{_ROWS_MAX}"})
