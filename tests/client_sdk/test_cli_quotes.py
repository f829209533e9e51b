"""Quotes in a terminal: asked for, offered, accepted and ordered, and what is said of the verdicts."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from client_sdk import OrderClient
from client_sdk.cli import device as device_commands
from client_sdk.cli_quotes import (
    accept_quote,
    counter_quote,
    list_quotes,
    order_quote,
    quote,
    request_quote,
    show_quote,
    withdraw_quote,
)
from client_sdk.cli_screen import Screen
from client_sdk.cli_sync import journal, sync
from client_sdk.quote_errors import QuoteStateError
from server.runtime.database import Database
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from sync_protocol.rules.pricing.line_text import TypedLine
from tests.client_sdk.test_cli_handover import says
from tests.support.world import World

HOUR_MS = 3_600_000
NUMBER = "R1-Q000001"


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


@pytest.fixture
async def device(world: World, tmp_path: Path) -> AsyncIterator[OrderClient]:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as opened:
        await opened.sync()
        yield opened


async def offer(world: World, device: OrderClient, revision: int) -> None:
    view = await device.quotes.open(NUMBER)
    for line in view.lines:
        await world.change(NegotiatedQuoteLine, line.id, offered_unit_price=8_000)
    values: dict[str, Any] = {"revision": revision, "valid_until_ms": world.clock.now_ms() + HOUR_MS, "answer": "our best"}
    await world.change(NegotiatedQuote, view.quote.id, status=QuoteStatus.OFFERED, **values)
    await device.sync()


async def test_a_quote_goes_from_the_request_to_the_order_in_a_terminal(
    world: World, device: OrderClient, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [TypedLine("SKU-0", 5, unit_price=7_000), TypedLine("SKU-1", 3)]
    said = await says(capsys, request_quote, device, customer="C0", lines=lines, note="For the school")
    assert f"{NUMBER} for Customer 0: requested · waiting to be sent" in said
    assert "Not sent yet: For the school" in said
    assert f"request quote {NUMBER} for Customer 0" in await says(capsys, sync, device)
    await offer(world, device, 1)
    said = await says(capsys, show_quote, device, number=NUMBER)
    assert f"{NUMBER} for Customer 0: offered · until" in said
    assert "It comes to 6.40 EUR without tax." in said
    assert "requested by rep0 · For the school" in said.replace("REP0", "rep0")
    listed = await says(capsys, list_quotes, device, customer="C0", status="offered", limit=5)
    assert NUMBER in listed
    assert "No quotes." in await says(capsys, list_quotes, device, customer="", status="refused", limit=5)
    said = await says(capsys, counter_quote, device, number=NUMBER, lines=[TypedLine("SKU-0", 6, unit_price=7_500)], note="Six?")
    assert "countered · waiting to be sent" in said
    assert f"counter quote {NUMBER} for Customer 0" in await says(capsys, sync, device)
    await offer(world, device, 3)
    with pytest.raises(QuoteStateError, match="is offered and cannot become ordered: accept"):
        await says(capsys, order_quote, device, number=NUMBER, note="", po="")
    assert "accepted · until" in await says(capsys, accept_quote, device, number=NUMBER)
    said = await says(capsys, order_quote, device, number=NUMBER, note="", po="PO-7")
    assert "R1-000001 for Customer 0" in said
    assert "Total 4.80 EUR" in said
    assert "PO PO-7" in said
    assert "ordered" in await says(capsys, show_quote, device, number=NUMBER)
    said = await says(capsys, sync, device)
    assert f"ACCEPTED  accept quote {NUMBER} for Customer 0" in said
    assert f"request quote {NUMBER}" in await says(capsys, journal, device, number=NUMBER, limit=20)


async def test_a_quote_is_withdrawn_and_shown_as_json(device: OrderClient, capsys: pytest.CaptureFixture[str]) -> None:
    await says(capsys, request_quote, device, customer="C0", lines=[TypedLine("SKU-0", 5)], note="")
    assert "withdrawn" in await says(capsys, withdraw_quote, device, number=NUMBER, reason="too late")
    capsys.readouterr()
    assert show_quote.callback is not None
    await show_quote.callback.__wrapped__(device, Screen(as_json=True), number=NUMBER)  # type: ignore[attr-defined]  # functools.wraps sets it
    shown = json.loads(capsys.readouterr().out)
    assert (shown["standing"], shown["quote"]["note"], shown["lines"][0]["quantity"]) == ("withdrawn", "too late", 5)


@pytest.mark.parametrize("name", sorted(quote.commands))
def test_every_command_about_quotes_has_help_with_an_example_and_says_what_options_are_for(name: str) -> None:
    shown = CliRunner().invoke(device_commands, ["quote", name, "--help"])
    assert shown.exit_code == 0
    assert f"roadbook device quote {name}" in shown.output
    assert "--json" in shown.output
    for parameter in quote.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} --{parameter.name}"


@pytest.mark.parametrize("line", ["P130-04:0", "P130-04:12/6", "P130-04:10-5%", "P130-04:x"])
def test_a_line_of_a_quote_is_a_sku_with_a_quantity_and_perhaps_a_price(tmp_path: Path, line: str) -> None:
    result = CliRunner().invoke(device_commands, ["--store", str(tmp_path / "device.db"), "quote", "request", "RAN-001", line])
    assert result.exit_code == 2
    assert line in result.output
