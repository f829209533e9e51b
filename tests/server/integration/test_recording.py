"""What an import leaves behind: its run, where each row comes from, and the rows that are set aside until they heal."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from server.customers.models import CustomerModel
from server.integration import importer
from server.integration.history import ImportNotFoundError, OriginNotFoundError, open_run, origin_of, quarantined, runs_of
from server.integration.history_commands import imports
from server.integration.importer import import_folder
from server.integration.mapping import mapping_of
from server.integration.models import ImportBatchModel, ImportOriginModel
from server.integration.report import Report
from server.runtime.database import Database
from tests.server.integration.shop import FILES, document, target, write
from tests.support.databases import open_database

BAD = "No,Name,Limit,Test\n1,Café Mitte,12 apples,\n2,Hotel,,\n2,Again,,\n"


async def run(database: Database, folder: Path, **changed: str) -> Report:
    return await import_folder(database, write(folder, **changed), mapping_of(document()))


async def customer(database: Database, code: str) -> tuple[UUID, str]:
    async with database.read() as session:
        found = sa.select(CustomerModel.id, CustomerModel.name).where(CustomerModel.code == code)
        row = (await session.execute(found)).one()
        return row.id, row.name


async def rename(database: Database, row_id: UUID, name: str) -> None:
    async with database.write() as session:
        await session.execute(sa.update(CustomerModel).where(CustomerModel.id == row_id).values(name=name))


async def test_each_row_knows_its_file_its_line_and_its_run(database: Database, tmp_path: Path) -> None:
    report = await run(database, tmp_path)
    async with database.read() as session:
        (batch,) = await runs_of(session)
        assert (batch.source, batch.state, batch.set_aside) == ("shop", "completed", 0)
        assert batch.changed == sum(report.accepted.values())
        assert json.loads(bytes((await open_run(session, batch.id)).report or b""))["name"] == "shop"
        hotel, _ = await customer(database, "2")
        origin = await origin_of(session, hotel)
    assert (origin.entity, origin.file, origin.line, origin.key, origin.batch_id) == ("customer", "customers.csv", 3, "2", batch.id)


async def test_what_a_person_corrected_stays_until_the_source_says_something_else(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    hotel, _ = await customer(database, "2")
    await rename(database, hotel, "Hotel Süd, new owner")
    again = await run(database, tmp_path)
    assert again.counts["customer"].unchanged == 2
    assert (await customer(database, "2"))[1] == "Hotel Süd, new owner"
    third = await run(database, tmp_path, customers=FILES["customers.csv"].replace("Hotel Süd", "Hotel Nord"))
    assert (third.counts["customer"].updated, third.counts["customer"].unchanged) == (1, 1)
    assert (await customer(database, "2"))[1] == "Hotel Nord"


async def test_a_row_that_was_deleted_is_made_anew(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path, orders="Order,Customer,Date,Subtotal\n", lines=FILES["lines.csv"].partition("\n")[0] + "\n")
    hotel, _ = await customer(database, "2")
    async with database.write() as session:
        await session.execute(sa.delete(CustomerModel).where(CustomerModel.id == hotel))
    again = await run(database, tmp_path)
    assert again.holds
    assert again.counts["customer"].inserted == 1
    assert (await customer(database, "2"))[0] == hotel


async def test_what_is_set_aside_is_kept_once_and_heals_with_a_corrected_file(database: Database, tmp_path: Path) -> None:
    for _ in range(2):
        report = await run(database, tmp_path, customers=BAD, orders="Order,Customer,Date,Subtotal\n", lines=FILES["lines.csv"])
        async with database.read() as session:
            kept = await quarantined(session)
        assert len(kept) == report.set_aside == 6
    by_line = {each.line: each for each in kept if each.entity == "customer"}
    assert {line: each.reason for line, each in by_line.items()} == {2: "malformed_value", 4: "duplicate_key"}
    assert by_line[2].values == {"No": "1", "Name": "Café Mitte", "Limit": "12 apples", "Test": ""}
    healed = await run(database, tmp_path)
    assert healed.set_aside == 0
    async with database.read() as session:
        assert await quarantined(session) == []
        (latest, *_) = await runs_of(session)
        assert {each.healed_batch_id for each in await quarantined(session, healed=True)} == {latest.id}
        assert len(await quarantined(session, healed=True, source="shop", limit=4)) == 4
        assert await quarantined(session, healed=True, source="other") == []


async def test_a_row_that_comes_in_another_file_heals_by_its_key(database: Database, tmp_path: Path) -> None:
    await run(
        database, tmp_path, customers="No,Name,Limit,Test\n1,Café Mitte,,\n2,Hotel,x,\n", orders="Order,Customer,Date,Subtotal\n"
    )
    found = document()
    found["sources"]["customers"]["file"] = "changes.csv"
    (tmp_path / "changes.csv").write_text("No,Name,Limit,Test\n2,Hotel,1,\n")
    await import_folder(database, tmp_path, mapping_of(found))
    async with database.read() as session:
        assert [each.entity for each in await quarantined(session)] == ["sales_order_line"] * 4


async def test_a_duplicate_stays_set_aside_however_often_it_comes(database: Database, tmp_path: Path) -> None:
    twice = FILES["customers.csv"] + "2,Hotel Süd again,,\n"
    for _ in range(3):
        await run(database, tmp_path, customers=twice)
        async with database.read() as session:
            (kept,) = await quarantined(session)
        assert (kept.reason, kept.key, kept.line) == ("duplicate_key", "2", 5)


async def test_a_run_that_is_stopped_is_told_by_the_next(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise RuntimeError("the power")

    with monkeypatch.context() as broken:
        broken.setattr(importer, "database_checks", fail)
        with pytest.raises(RuntimeError):
            await run(database, tmp_path)
    await run(database, tmp_path)
    async with database.read() as session:
        assert [each.state for each in await runs_of(session)] == ["completed", "stopped"]


async def test_a_dry_run_leaves_nothing_and_foretells_what_stays(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    hotel, _ = await customer(database, "2")
    await rename(database, hotel, "Corrected")
    dry = await import_folder(database, tmp_path, mapping_of(document()), dry_run=True)
    assert dry.counts["customer"].unchanged == 2
    async with database.read() as session:
        assert (await session.execute(sa.select(sa.func.count()).select_from(ImportBatchModel))).scalar_one() == 1
        assert len((await session.execute(sa.select(ImportOriginModel.batch_id).distinct())).all()) == 1


async def test_what_is_not_there_is_said(database: Database) -> None:
    async with database.read() as session:
        with pytest.raises(ImportNotFoundError):
            await open_run(session, UUID(int=7))
        with pytest.raises(OriginNotFoundError):
            await origin_of(session, UUID(int=7))


def test_the_commands_show_it(database_url: str, tmp_path: Path) -> None:
    async def prepared() -> UUID:
        database = open_database(database_url)
        try:
            await run(database, tmp_path, customers=BAD)
            return (await customer(database, "2"))[0]
        finally:
            await database.close()

    hotel = asyncio.run(prepared())

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(imports, arguments, env={"ROADBOOK_DATABASE_URL": database_url})
        assert done.exit_code == 0, done.output
        return done.output

    (batch,) = json.loads(said("list", "--json"))
    assert "completed" in said("list")
    assert json.loads(said("show", batch["id"]))["report"]["name"] == "shop"
    assert "customers.csv" in said("quarantine")
    assert {each["source"] for each in json.loads(said("quarantine", "--json"))} == {"shop"}
    assert "customers.csv" in said("origin", str(hotel))


async def test_a_feed_of_changes_refers_to_what_earlier_runs_brought(database: Database, tmp_path: Path) -> None:
    await run(database, tmp_path)
    feed, found = tmp_path / "feed", document()
    feed.mkdir()
    for name in ("products", "customers", "orders", "lines"):
        found["sources"][name]["optional"] = True
    (feed / "orders.csv").write_text("Order,Customer,Date,Subtotal\n12,2,2026-08-01,2.50\n")
    (feed / "lines.csv").write_text("Line,Order,Sku,Quantity,Price,Discount,Amount\n5,12,B,1,2.5000,,2.5\n")
    report = await import_folder(database, feed, mapping_of(found))
    assert report.holds
    assert report.set_aside == 0
    assert (report.accepted["sales_order"], report.accepted["sales_order_line"], report.accepted["product"]) == (1, 1, 0)
    (feed / "orders.csv").write_text("Order,Customer,Date,Subtotal\n13,9,2026-08-01,2.50\n")
    (feed / "lines.csv").unlink()
    assert (await import_folder(database, feed, mapping_of(found))).set_aside == 1, "nobody ever brought customer 9"
    (feed / "orders.csv").write_text("Order,Customer,Date,Subtotal\n14,4,2026-08-01,2.50\n")
    await run(database, tmp_path, customers=FILES["customers.csv"] + "4,Closed,,\n")
    async with database.write() as session:
        await session.execute(sa.delete(CustomerModel).where(CustomerModel.code == "4"))
    assert (await import_folder(database, feed, mapping_of(found))).set_aside == 1, "customer 4 was deleted since"


async def test_keys_may_differ_in_case_and_spaces_where_the_mapping_says_so(database: Database, tmp_path: Path) -> None:
    found = document() | {"loose_keys": True}
    told = {
        "products": "Sku,Name,State,Parent\nA x,Apple,A,\na  X,Apple,A,\nb,Bread,D,A X \n",
        "lines": FILES["lines.csv"].replace(",A,", ", A  X,").replace(",B,", ",B ,"),
    }
    strict = await import_folder(database, write(tmp_path, **told), mapping_of(document()), dry_run=True)
    assert strict.set_aside == 1 + 4
    report = await import_folder(database, tmp_path, mapping_of(found))
    assert [(row.line, str(row.reason)) for step in report.steps for row in step.samples] == [(3, "duplicate_key")]
    assert report.accepted["sales_order_line"] == 4


async def test_of_rows_of_one_key_those_that_are_the_same_are_merged(database: Database, tmp_path: Path) -> None:
    found = document()
    target(found, "customer")["on_duplicate"] = "merge_equal"
    twice = FILES["customers.csv"] + "2, Hotel Süd ,,\n2,Hotel Nord,,\n"
    report = await import_folder(database, write(tmp_path, customers=twice), mapping_of(found))
    (step,) = (each for each in report.steps if each.entity == "customer")
    assert (step.merged, [row.line for row in step.samples]) == (1, [6])
    assert step.adds_up
