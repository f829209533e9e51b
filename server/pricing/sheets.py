"""Prices as lines of a sheet, whatever its format: what each line says, and what is wrong with it.

The first line names the columns. `sku` and `price` must be there; `min_quantity` and `per_quantity` are 1 where they are absent or
empty; `action` is `set` or `end`, and where it is absent or empty `set`; `name` is for people and not read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from server.pricing.errors import PriceSheetUnreadableError
from server.pricing.price_texts import text_of, unit_price_of
from sync_protocol.values import QUANTITY_MAX, UNIT_PRICE_MAX, minor_digits, normal_text

COLUMNS: Final = ("sku", "min_quantity", "per_quantity", "price", "action", "name")
LINES_MAX: Final = 200_000
_REQUIRED: Final = ("sku", "price")
_SKU_CHARACTERS_MAX: Final = 64
_SHOWN_CHARACTERS: Final = 60

Cells = Sequence[str]
T = TypeVar("T")


class Action(StrEnum):
    """What a line does to the price of a break."""

    SET = "set"
    END = "end"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A line that is not taken: the first of its fields that is wrong, what stood there, and the remedy."""

    line: int
    field: str
    value: str
    remedy: str


class SheetLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is read and written. No `unit_price` ends the break."""

    sku: str
    min_quantity: int
    per_quantity: int
    unit_price: int | None
    name: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        return self.sku, self.min_quantity, self.per_quantity


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: each line that says something by its number, and each that is refused."""

    lines: Mapping[int, SheetLine]
    refusals: Sequence[Refusal]


class _FieldError(Exception):
    """A field of a line is wrong."""

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field} {remedy}")
        self.field = field
        self.remedy = remedy


def read_sheet(rows: Iterable[tuple[int, Cells]]) -> Sheet:
    """What numbered rows of cells say, of which the first is the head. Raises PriceSheetUnreadableError."""
    filled = ((number, cells) for number, cells in rows if any(cell.strip() for cell in cells))
    _, head = next(filled, (0, ()))
    columns = _columns_of(head)
    lines: dict[int, SheetLine] = {}
    refusals: list[Refusal] = []
    seen: dict[tuple[str, int, int], int] = {}
    for count, (number, cells) in enumerate(filled, 1):
        if count > LINES_MAX:
            raise PriceSheetUnreadableError(f"has more than {LINES_MAX} lines; split it")
        values = {name: cells[place].strip() if place < len(cells) else "" for name, place in columns.items()}
        try:
            line = _line_of(values, cells, len(head))
            _refuse_repeated(seen.setdefault(line.key, number), number)
        except _FieldError as error:
            shown = values.get(error.field, "")[:_SHOWN_CHARACTERS]
            refusals.append(Refusal(line=number, field=error.field, value=shown, remedy=error.remedy))
            continue
        lines[number] = line
    return Sheet(lines=lines, refusals=refusals)


def _refuse_repeated(first: int, number: int) -> None:
    if first != number:
        raise _FieldError("sku", f"is on line {first} with the same quantities already; leave one of them out")


def _columns_of(head: Cells) -> dict[str, int]:
    """The place of each column, by its name."""
    names = [normal_text(cell).lower().replace(" ", "_") for cell in head]
    known = f"it may have {', '.join(COLUMNS)}"
    if not names:
        raise PriceSheetUnreadableError(f"is empty; its first line names the columns, and {known}")
    for name in names:
        if name and name not in COLUMNS:
            raise PriceSheetUnreadableError(f"has a column {name[:_SHOWN_CHARACTERS]!r}; {known}")
        if name and names.count(name) > 1:
            raise PriceSheetUnreadableError(f"has the column {name!r} twice; leave one out")
    for name in _REQUIRED:
        if name not in names:
            raise PriceSheetUnreadableError(f"has no column {name!r} on its first line; {known}")
    return {name: place for place, name in enumerate(names) if name}


def _line_of(values: Mapping[str, str], cells: Cells, width: int) -> SheetLine:
    if any(cell.strip() for cell in cells[width:]):
        raise _FieldError("line", "has more cells than the first line has columns; look for a separator too many")
    action = _read(values, "action", lambda text: Action(text.lower()), "is neither set nor end; give one of them", Action.SET)
    return SheetLine(
        sku=_sku_of(values["sku"]),
        min_quantity=_quantity_of(values, "min_quantity"),
        per_quantity=_quantity_of(values, "per_quantity"),
        unit_price=_price_of(values["price"], action),
    )


def _sku_of(text: str) -> str:
    sku = normal_text(text)
    if not sku:
        raise _FieldError("sku", "is empty; give the product's SKU")
    if len(sku) > _SKU_CHARACTERS_MAX or not sku.isprintable():
        raise _FieldError("sku", f"is no SKU: one has at most {_SKU_CHARACTERS_MAX} characters and no line break; correct it")
    return sku


def _quantity_of(values: Mapping[str, str], field: str) -> int:
    remedy = f"is no whole number from 1 to {QUANTITY_MAX}; correct it"
    found = _read(values, field, _whole_number, remedy, 1)
    if not 1 <= found <= QUANTITY_MAX:
        raise _FieldError(field, remedy)
    return found


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(QUANTITY_MAX))):
        raise ValueError(text)
    return int(text)


def _price_of(text: str, action: Action) -> int | None:
    if action is Action.END:
        if text:
            raise _FieldError("price", "stands beside the action end; leave it empty, or set it")
        return None
    if text.startswith("="):
        raise _FieldError("price", "is a formula, which is not worked out here; give its value")
    unit_price = unit_price_of(text)
    if unit_price is not None and unit_price > UNIT_PRICE_MAX:
        raise _FieldError("price", f"is above {text_of(UNIT_PRICE_MAX, 0)}; correct it")
    if unit_price is None:
        raise _FieldError("price", "is no price such as 12.50: digits, and after a point at most four; correct it")
    return unit_price


def _read(values: Mapping[str, str], field: str, convert: Callable[[str], T], remedy: str, absent: T) -> T:
    text = values.get(field, "")
    if not text:
        return absent
    try:
        return convert(text)
    except ValueError as error:
        raise _FieldError(field, remedy) from error


def written(lines: Iterable[SheetLine], currency: str, *, with_actions: bool) -> Iterator[tuple[str, ...]]:
    """Lines as cells below their head, so that reading gives them back. `with_actions` is for lines that may end a break."""
    digits = minor_digits(currency)
    columns = [name for name in COLUMNS if with_actions or name != "action"]
    yield tuple(columns)
    for line in lines:
        price = "" if line.unit_price is None else text_of(line.unit_price, digits)
        action = Action.END if line.unit_price is None else Action.SET
        quantities = (str(line.min_quantity), str(line.per_quantity))
        yield (line.sku, *quantities, price, *((str(action),) if with_actions else ()), line.name)
