"""What becomes of each row of a small shop: accepted, merged, not selected, or set aside with a reason."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from server.changelog.log import read_head
from server.customers.models import CustomerModel
from server.integration.bulk import Counts, RefusedRowsError
from server.integration.importer import import_folder
from server.integration.mapping import MappingError, mapping_of
from server.integration.refusals import Reason, SetAside
from server.integration.report import Report, Step
from server.integration.tables import SourceError
from server.orders.models import OrderLineModel, OrderModel
from server.runtime.database import Database
from tests.server.integration.shop import FILES, document, target, write
from tests.support.databases import open_database


@pytest.fixture
async def sqlite(sqlite_database_url: str) -> AsyncIterator[Database]:
    """What is decided before the database is reached is tested on one engine."""
    opened = open_database(sqlite_database_url)
    yield opened
    await opened.close()


async def run(database: Database, folder: Path, found: dict[str, Any] | None = None, **changed: str) -> Report:
    report = await import_folder(database, write(folder, **changed), mapping_of(found or document()))
    assert all(step.adds_up for step in report.steps)
    return report


def step(report: Report, entity: str) -> Step:
    (found,) = (each for each in report.steps if each.entity == entity)
    return found


async def head(database: Database) -> int:
    async with database.read() as session:
        return (await read_head(session)).head


async def amounts(database: Database) -> list[tuple[str, int, int]]:
    question = (
        sa.select(OrderModel.number, OrderLineModel.line_number, OrderLineModel.amount_minor)
        .join(OrderModel, OrderModel.id == OrderLineModel.order_id)
        .order_by(OrderModel.number, OrderLineModel.line_number)
    )
    async with database.read() as session:
        return [tuple(row) for row in await session.execute(question)]


async def test_a_clean_folder_is_accepted_whole(database: Database, tmp_path: Path) -> None:
    report = await run(database, tmp_path)
    assert report.holds
    assert report.set_aside == 0
    assert report.accepted == {"unit": 1, "product": 2, "customer": 2, "sales_order": 2, "sales_order_line": 4}
    assert (step(report, "customer").not_selected, step(report, "customer").tally) == (1, {"limited": 1})
    async with database.read() as session:
        names = (await session.execute(sa.select(CustomerModel.name, CustomerModel.review_above_minor).order_by("code"))).all()
        when = (await session.execute(sa.select(OrderModel.captured_at_ms).order_by(OrderModel.number))).scalars().all()
    assert [tuple(row) for row in names] == [("Café Mitte", 100_050), ("Hotel Süd", None)]
    assert when == [1_767_567_600_000, 1_783_254_600_000]


async def test_lines_share_the_subtotal_to_the_cent_wherever_they_stand_in_the_file(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    assert await amounts(database) == [("X-10", 1, 333), ("X-10", 2, 333), ("X-10", 3, 334), ("X-11", 1, 750)]


async def test_lines_that_contradict_the_subtotal_are_not_bent_to_it(database: Database, tmp_path: Path) -> None:
    report = await run(database, tmp_path, orders=FILES["orders.csv"].replace("10.0000", "12.00"))
    assert [amount for number, _, amount in await amounts(database) if number == "X-10"] == [333, 333, 333]
    groups = step(report, "sales_order_line").groups
    assert groups is not None
    assert (str(groups.largest), report.holds) == ("2.00000", False)


async def test_running_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    first = await run(database, tmp_path)
    before = await head(database)
    second = await run(database, tmp_path)
    assert await head(database) == before
    assert second.counts == {entity: Counts(unchanged=count) for entity, count in first.accepted.items()}


async def test_the_order_of_a_file_does_not_matter(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    before = await head(database)
    header, *rows = FILES["lines.csv"].splitlines()
    report = await run(database, tmp_path, lines="\n".join([header, *reversed(rows)]) + "\n")
    assert report.counts["sales_order_line"] == Counts(unchanged=4)
    assert await head(database) == before


async def test_a_corrected_file_updates_what_it_corrects(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    report = await run(database, tmp_path, customers=FILES["customers.csv"].replace("Mitte", "Nord"))
    assert report.counts["customer"] == Counts(updated=1, unchanged=1)


@pytest.mark.parametrize(
    ("entity", "changed", "line", "reason", "detail"),
    [
        ("product", {"products": "Sku,Name,State,Parent\nA,Apple,,\nB,Bread,,C\n"}, 3, Reason.MISSING_REFERENCE, "no product C"),
        ("product", {"products": "Sku,Name,State,Parent\nA,Apple,X,\nB,Bread,,\n"}, 2, Reason.MALFORMED_VALUE, "'X' is not one of"),
        ("product", {"products": "Sku,Name,State,Parent\nA,,,\nB,Bread,,\n"}, 2, Reason.MALFORMED_VALUE, "field `name`"),
        (
            "product",
            {"products": "Sku,Name,State,Parent\nB,Bread,,\nA,Apple\n"},
            3,
            Reason.MALFORMED_VALUE,
            "2 values, the header 4",
        ),
        ("product", {"products": "Sku,Name,State,Parent\nA,Apple,,\n,Bread,,\n"}, 3, Reason.MALFORMED_VALUE, "key (Sku) is empty"),
        ("product", {"products": "Sku,Name,State,Parent\nA,Apple,,\nB,Bad\x01name,,\n"}, 3, Reason.MALFORMED_VALUE, "name: "),
        ("product", {"products": "Sku,Name,State,Parent\nA,Apple,,\nA,Again,,\n"}, 3, Reason.DUPLICATE_KEY, "the key A"),
        ("product", {"products": f"Sku,Name,State,Parent\nA,Apple,,\nB,{'x' * 201},,\n"}, 3, Reason.OUT_OF_RANGE, "length <= 200"),
        ("customer", {"customers": "No,Name,Limit,Test\n1,A,ten,\n2,B,,\n"}, 2, Reason.MALFORMED_VALUE, "'ten' is not a decimal"),
        ("customer", {"customers": "No,Name,Limit,Test\n1,A,1e3,\n2,B,,\n"}, 2, Reason.MALFORMED_VALUE, "'1e3' is not a decimal"),
        ("customer", {"customers": f"No,Name,Limit,Test\n1,A,{10**15},\n2,B,,\n"}, 2, Reason.OUT_OF_RANGE, "review_above_minor"),
        ("sales_order", {"orders": "Order,Customer,Date,Subtotal\n10,1,05.01.26,1\n"}, 2, Reason.MALFORMED_VALUE, "an ISO date"),
        ("sales_order", {"orders": "Order,Customer,Date,Subtotal\n10,9,2026-01-01,1\n"}, 2, Reason.MISSING_REFERENCE, "customer 9"),
        ("sales_order", {"orders": "Order,Customer,Date,Subtotal\n10,1,1960-01-01,1\n"}, 2, Reason.OUT_OF_RANGE, "captured_at_ms"),
    ],
)
async def test_a_row_is_set_aside_with_its_reason(
    sqlite: Database, tmp_path: Path, *, entity: str, changed: dict[str, str], line: int, reason: Reason, detail: str
) -> None:
    report = await run(sqlite, tmp_path, **changed)
    (sample,) = step(report, entity).samples
    assert (sample.file, sample.line, sample.entity, sample.reason) == (f"{next(iter(changed))}.csv", line, entity, reason)
    assert detail in sample.detail
    assert step(report, entity).set_aside == {reason: 1}


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ("5,11,A,0,1,,0", Reason.OUT_OF_RANGE, "`$.quantity`"),
        ("5,11,A,1.5,1,,1.5", Reason.MALFORMED_VALUE, "quantity: '1.5' is not a whole number"),
        ("5,11,A,1,0.00001,,0", Reason.MALFORMED_VALUE, "a price of at most four decimals"),
        ("5,11,A,1,-1,,-1", Reason.OUT_OF_RANGE, "`$.unit_price`"),
        ("5,11,A,1,1,1.5,0", Reason.OUT_OF_RANGE, "`$.discount_basis_points`"),
        ("5,11,Z,1,1,,1", Reason.MISSING_REFERENCE, "product_id: there is no product Z"),
        ("5,12,A,1,1,,1", Reason.MISSING_REFERENCE, "order_id: there is no sales_order 12"),
        ("1,10,A,1,1,,1", Reason.DUPLICATE_KEY, "the key 1"),
    ],
)
async def test_a_line_is_set_aside_and_the_others_stay(
    sqlite: Database, tmp_path: Path, row: str, reason: Reason, detail: str
) -> None:
    lines = step(await run(sqlite, tmp_path, lines=FILES["lines.csv"] + row + "\n"), "sales_order_line")
    assert (lines.read, lines.accepted, lines.set_aside) == (5, 4, {reason: 1})
    assert (lines.samples[0].line, detail in lines.samples[0].detail) == (6, True), lines.samples


async def test_bytes_of_another_encoding_are_set_aside_not_garbled(database: Database, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "customers.csv").write_bytes("No,Name,Limit,Test\n1,Café,,\n2,Hotel,,\n".encode("latin-1"))
    report = await import_folder(database, tmp_path, mapping_of(document()))
    assert step(report, "customer").set_aside == {Reason.MALFORMED_VALUE: 1}
    told = document()
    told["sources"]["customers"]["encoding"] = "latin-1"
    healed = await import_folder(database, tmp_path, mapping_of(told))
    assert healed.counts["customer"] == Counts(inserted=1, unchanged=1)


async def test_orders_of_a_refused_customer_are_set_aside_with_their_lines(database: Database, tmp_path: Path) -> None:
    told: list[SetAside] = []
    folder = write(tmp_path, customers="No,Name,Limit,Test\n1,A,bad,\n2,B,,\n")
    report = await import_folder(database, folder, mapping_of(document()), on_set_aside=told.append)
    assert [(row.entity, row.reason) for row in told] == [
        ("customer", Reason.MALFORMED_VALUE),
        ("sales_order", Reason.MISSING_REFERENCE),
        *[("sales_order_line", Reason.MISSING_REFERENCE)] * 3,
    ]
    assert report.holds


async def test_a_known_key_can_be_merged(database: Database, tmp_path: Path) -> None:
    merging = document()
    target(merging, "product")["on_duplicate"] = "merge"
    report = await run(database, tmp_path, merging, products=FILES["products.csv"] + "A,Again,,\n")
    assert (step(report, "product").accepted, step(report, "product").merged, report.set_aside) == (2, 1, 0)


async def test_a_dry_run_tells_everything_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    dry = await import_folder(database, write(tmp_path), mapping_of(document()), dry_run=True)
    assert await head(database) == 0
    assert await amounts(database) == []
    real = await run(database, tmp_path)
    assert (dry.counts, dry.checks, dry.accepted) == (real.counts, real.checks, real.accepted)


async def test_what_no_step_reads_is_listed(database: Database, tmp_path: Path) -> None:
    (tmp_path / "invoices.csv").write_text("No\n1\n")
    report = await run(database, tmp_path, customers="No,Name,Limit,Test,Fax\n1,A,,,0\n2,B,,,0\n")
    assert report.unread_files == ("invoices.csv",)
    assert report.unread_columns["customers.csv"] == ("Fax",)


async def test_progress_reaches_its_end(database: Database, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    folder = write(tmp_path)
    await import_folder(database, folder, mapping_of(document()), on_progress=lambda *heard: told.append(heard))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert told[-1][1] == told[-1][2] > 0


async def test_a_code_that_another_source_took_is_refused_with_a_sentence(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    other = document()
    other["name"] = "other shop"
    with pytest.raises(RefusedRowsError, match="unit: the database refused"):
        await run(database, tmp_path, other)


async def test_a_folder_or_file_that_is_not_there_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere is not a folder"):
        await import_folder(database, tmp_path / "nowhere", mapping_of(document()))
    write(tmp_path)
    (tmp_path / "orders.csv").unlink()
    with pytest.raises(SourceError, match=r"sources\.orders: cannot read .*orders\.csv"):
        await import_folder(database, tmp_path, mapping_of(document()))


async def test_nothing_is_written_where_the_mapping_is_wrong(database: Database, tmp_path: Path) -> None:
    wrong = document()
    target(wrong, "sales_order_line")["fields"]["quantity"]["column"] = "Qty"
    with pytest.raises(MappingError, match=r"targets\[4\]\.fields\.quantity\.column: lines\.csv has no column 'Qty'; it has Line"):
        await run(database, tmp_path, wrong)
    assert await head(database) == 0


async def test_a_quotation_mark_that_is_not_closed_is_named(database: Database, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"customers\.csv, line .*quotation mark"):
        await run(database, tmp_path, customers='No,Name,Limit,Test\n1,"A,,\n' + "2,B,,\n" * 30_000)
