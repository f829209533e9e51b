"""`roadbook price explain` says what the device says, byte for byte."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client_sdk import WantedLine
from client_sdk.cli import device as device_commands
from server.__main__ import main
from server.runtime.database import Database
from server.runtime.instants import iso
from server.runtime.rows import insert_rows
from sync_protocol.entities.orders import Channel
from sync_protocol.entities.pricing import Exclusivity, PriceListAssignment
from sync_protocol.rules.pricing.explaining import Explained
from tests.client_sdk.test_priced_drafts import office_rows
from tests.support.databases import open_database
from tests.support.world import World, make_id

LINES = ("SKU-1:6", "SKU-2:7", "SKU-4:4", "SKU-3:12/6", "SKU-0:2-5%")
WANTED = ((1, 6, 1), (2, 7, 1), (4, 4, 1), (3, 12, 6))


def roadbook(database_url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ("price", "explain", *words), env={"ROADBOOK_DATABASE_URL": database_url})


async def found(database: Database) -> World:
    world = await World.found(database)
    async with world.database.write() as session:
        for row in (*office_rows(world), _through_reps(world)):
            await insert_rows(session, [row])
    return world


def _through_reps(world: World) -> PriceListAssignment:
    """The list of the territory, for all that is ordered through a rep."""
    return PriceListAssignment(
        id=make_id(9_100),
        price_list_id=world.company.price_lists[0].id,
        priority=1,
        exclusivity=Exclusivity.SHARED,
        channel=Channel.REP,
    )


def on_device(database_url: str, path: Path) -> Explained:
    """What the synced device of a rep says of a basket."""

    async def ask() -> Explained:
        database = open_database(database_url)
        world = await found(database)
        async with await world.enrolled_device("rep0", path) as device:
            await device.sync()
            products = world.company.products
            wanted = [WantedLine(products[number].id, quantity, pack) for number, quantity, pack in WANTED]
            answer = await device.explain(world.company.customers[0].id, wanted)
        await database.close()
        return answer

    return asyncio.run(ask())


def test_both_ends_say_the_same_to_the_byte(database_url: str, tmp_path: Path) -> None:
    said = on_device(database_url, tmp_path / "device.db")
    at = ("--at", iso(said.price.instant_ms))
    for form, as_json in (((), False), (("--json",), True)):
        shown = roadbook(database_url, "C0", *LINES[:4], *at, *form)
        assert shown.exit_code == 0, shown.output
        assert shown.stdout_bytes == f"{said.text(as_json=as_json)}\n".encode()
    text = said.text(as_json=False)
    for wanted in ("offer SPRING", "by BREW", "6 or 12", "21.00 EUR per 6", "VAT 21 % of NL", "4 more: 1.80 EUR each"):
        assert wanted in text, text


def test_the_commands_of_both_ends_print_the_same(sqlite_database_url: str, tmp_path: Path) -> None:
    on_device(sqlite_database_url, tmp_path / "device.db")
    words = ("--store", str(tmp_path / "device.db"), "price", "C0", "SKU-3", "12", "--pack", "6", "--explain", "--json")
    here = CliRunner().invoke(device_commands, words)
    assert here.exit_code == 0, here.output
    at = iso(json.loads(here.output)["instant_ms"])
    assert roadbook(sqlite_database_url, "C0", "SKU-3:12/6", "--at", at, "--json").stdout_bytes == here.stdout_bytes


def test_a_question_that_cannot_be_answered_names_what_is_wrong(sqlite_database_url: str, tmp_path: Path) -> None:
    on_device(sqlite_database_url, tmp_path / "device.db")
    for words, code, said in (
        (("C9", "SKU-1:6"), 1, "C9"),
        (("C0", "SKU-9:6"), 1, "SKU:QTY names no product: 'SKU-9' is the code of none; give one that exists, such as SKU-0"),
        (("C0", "SKU-1:0"), 2, "SKU:QUANTITY"),
        (("C0", "SKU-1", "--at", "2026-10-01"), 2, "offset"),
        (("C0", "SKU-1", "--at", "0001-01-01T00:00:00+14:00"), 2, "1970 to 9999"),
        (
            ("C0", "SKU-1", "--address", "Moon"),
            1,
            "--address names no one address: 'Moon' is the code of none; give one that exists, such as Main",
        ),
    ):
        shown = roadbook(sqlite_database_url, *words)
        assert (shown.exit_code, said in shown.output) == (code, True), shown.output


@pytest.mark.parametrize("channel", ["rep", "buyer", "online"])
def test_it_is_asked_of_a_channel_an_address_and_by_hand(sqlite_database_url: str, tmp_path: Path, channel: str) -> None:
    on_device(sqlite_database_url, tmp_path / "device.db")
    shown = roadbook(sqlite_database_url, "C0", *LINES, "--address", "Main", "--channel", channel)
    assert shown.exit_code == 0, shown.output
    assert "by hand:" in shown.output
