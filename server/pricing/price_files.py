"""Prices as sheets: a list as it is in force at an instant, or what a revision sets and ends."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from anyio import CapacityLimiter, to_thread

from server.catalog.models import ProductModel
from server.pricing.csv_sheets import read_csv, write_csv
from server.pricing.errors import PriceRowNotFoundError
from server.pricing.models import PriceListModel
from server.pricing.revisions import open_revision
from server.pricing.sheets import Cells, Sheet, SheetLine, read_sheet, written
from server.pricing.standings import ENTRY, REVISED, in_force
from server.pricing.xlsx_reading import read_xlsx
from server.pricing.xlsx_writing import MEDIA_TYPE, write_xlsx
from server.runtime.database import ReadSession

CSV_MEDIA_TYPE: Final = "text/csv"


class SheetFormat(StrEnum):
    """The format of a file of prices."""

    CSV = "csv"
    XLSX = "xlsx"

    @property
    def media_type(self) -> str:
        return MEDIA_TYPE if self is SheetFormat.XLSX else CSV_MEDIA_TYPE


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that are to be a file."""

    name: str
    currency: str
    lines: list[SheetLine]
    with_actions: bool


_working = CapacityLimiter(1)
"""One sheet at a time: they are large, and what is else to be done must not wait for several."""


async def export_list(session: ReadSession, price_list_id: UUID, at_ms: int) -> Export:
    """The prices of a list that are in force at an instant. Raises PriceRowNotFoundError."""
    price_list = await session.get(PriceListModel, price_list_id)
    if price_list is None:
        raise PriceRowNotFoundError("price_list", price_list_id, "/pricing/price-lists")
    query = (
        sa.select(ProductModel.sku, ProductModel.name, ENTRY.c.min_quantity, ENTRY.c.per_quantity, ENTRY.c.unit_price)
        .join(ENTRY, ENTRY.c.product_id == ProductModel.id)
        .where(ENTRY.c.price_list_id == price_list_id, in_force(ENTRY.c, at_ms))
        .order_by(ENTRY.c.valid_from_ms)
    )
    lines = _in_order(_lines((await session.execute(query)).all()))
    return Export(name=price_list.code, currency=price_list.currency, lines=lines, with_actions=False)


async def export_revision(session: ReadSession, revision_id: UUID) -> Export:
    """What a revision sets and ends. Raises RevisionNotFoundError."""
    found = await open_revision(session, revision_id)
    price_list = await session.get_one(PriceListModel, found.revision.price_list_id)
    query = (
        sa.select(ProductModel.sku, ProductModel.name, REVISED.c.min_quantity, REVISED.c.per_quantity, REVISED.c.unit_price)
        .join(REVISED, REVISED.c.product_id == ProductModel.id)
        .where(REVISED.c.revision_id == revision_id)
    )
    lines = _in_order(_lines((await session.execute(query)).all()))
    name = f"{price_list.code}-{found.revision.id}"
    return Export(name=name, currency=price_list.currency, lines=lines, with_actions=True)


def _lines(rows: Iterable[sa.Row[Any]]) -> Iterable[SheetLine]:
    return (SheetLine(**row._mapping) for row in rows)  # noqa: SLF001  # SQLAlchemy's documented name for it


def _in_order(lines: Iterable[SheetLine]) -> list[SheetLine]:
    """By SKU and break, the same on both engines; of several of one break the last, which began latest."""
    return sorted({line.key: line for line in lines}.values(), key=lambda line: line.key)


async def as_file(export: Export, form: SheetFormat) -> bytes:
    """The lines as a file; made in a thread."""
    write: Callable[[Iterable[Cells]], bytes] = write_xlsx if form is SheetFormat.XLSX else write_csv
    rows = written(export.lines, export.currency, with_actions=export.with_actions)
    return await to_thread.run_sync(write, rows, limiter=_working)


async def as_sheet(body: bytes, form: SheetFormat) -> Sheet:
    """What a file says; read in a thread. Raises PriceSheetUnreadableError."""
    read = read_xlsx if form is SheetFormat.XLSX else read_csv
    return await to_thread.run_sync(lambda: read_sheet(read(body)), limiter=_working)
