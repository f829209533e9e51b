import json
import socket
from importlib.metadata import EntryPoint
from pathlib import Path
from uuid import UUID

import click
import pytest
from click.testing import CliRunner, Result

from client_sdk.cli import device
from client_sdk.cli_command import DeviceCommandError
from client_sdk.cli_screen import Subject, change_text
from client_sdk.cli_text import instant_text, skew_text
from client_sdk.errors import NotEnrolledError
from sync_protocol.values import amount_text, unit_price_text
from sync_protocol.verdicts import Change, Code

LINE = UUID(int=1)
SUBJECT = Subject("R1-000001", "EUR", {LINE: "P130-04 Elbow"})


def run(store: Path, *arguments: str) -> Result:
    return CliRunner().invoke(device, ["--store", str(store / "device.db"), *arguments])


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_roadbook_finds_the_device_commands_through_their_entry_point() -> None:
    assert EntryPoint("device", "client_sdk.cli:device", "roadbook.commands").load() is device


def test_the_help_names_what_a_rep_does() -> None:
    wanted = "enrol sync search customers price stock order amend cancel orders status outbox journal prospect"
    assert set(wanted.split()) <= set(device.commands)
    shown = CliRunner().invoke(device, ["--help"])
    assert shown.exit_code == 0
    assert "ROADBOOK_DEVICE_STORE" in shown.output


@pytest.mark.parametrize("name", sorted(device.commands))
def test_every_command_has_help_with_an_example_that_can_be_typed(name: str) -> None:
    shown = CliRunner().invoke(device, [name, "--help"])
    assert shown.exit_code == 0
    typed = [line.strip() for line in shown.output.splitlines() if line.strip().startswith("roadbook device")]
    assert "Example" in shown.output
    assert any(line.startswith(f"roadbook device {name}") for line in typed)
    assert (device.commands[name].help or "").rstrip().endswith(".")
    assert "--json" in shown.output


def test_every_option_that_is_not_plain_says_what_it_is_for() -> None:
    plain = {"street", "postal_code", "city", "email", "phone", "note"}
    for name, command in device.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name not in plain:
                assert parameter.help, f"{name} --{parameter.name}"


def test_a_device_of_nobody_says_so_and_what_to_do() -> None:
    refused = DeviceCommandError(NotEnrolledError())
    assert refused.exit_code == 3
    assert "enrol" in refused.format_message()


@pytest.mark.parametrize("name", ["sync", "follow"])
def test_a_device_of_nobody_neither_syncs_nor_waits(tmp_path: Path, name: str) -> None:
    result = run(tmp_path, name)
    assert result.exit_code == 3
    assert "enrol" in result.output


@pytest.mark.parametrize(
    "address", ["orders.example.com", "ftp://orders.example.com", "https://", "http://host:port", "http://:80"]
)
def test_an_address_that_is_none_is_a_mistake_to_mend(tmp_path: Path, address: str) -> None:
    result = run(tmp_path, "enrol", address, "AAAA-BBBB-CCCC")
    assert result.exit_code == 1
    assert "server_url" in result.output
    assert "https://orders.example.com" in result.output


def test_a_server_that_does_not_answer_is_something_to_try_again(tmp_path: Path) -> None:
    result = run(tmp_path, "enrol", f"http://127.0.0.1:{closed_port()}", "AAAA-BBBB-CCCC")
    assert result.exit_code == 4
    assert "cannot be reached" in result.output


def test_what_is_not_on_the_device_is_named(tmp_path: Path) -> None:
    result = run(tmp_path, "stock", "P130-04")
    assert result.exit_code == 1
    assert "no product P130-04" in result.output


@pytest.mark.parametrize("line", ["P130-04:0", "P130-04:x", ":4", "P130-04:", "P130-04:-1", "P130-04:٣"])
def test_a_line_is_a_sku_and_a_whole_number_from_one(tmp_path: Path, line: str) -> None:
    result = run(tmp_path, "order", "RAN-001", line)
    assert result.exit_code == 2
    assert "P130-04:10" in result.output


def test_an_unknown_time_zone_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(device, ["--store", str(tmp_path / "device.db"), "--time-zone", "Mars/Olympus", "status"])
    assert result.exit_code == 2
    assert "Europe/Amsterdam" in result.output


def test_lists_of_nothing_say_so(tmp_path: Path) -> None:
    for name in ("search", "customers", "orders", "outbox", "journal", "drafts"):
        result = run(tmp_path, name, *(["valve"] if name == "search" else []))
        assert result.exit_code == 0, result.output
        assert result.output.strip()


def test_json_is_one_value_and_nothing_else(tmp_path: Path) -> None:
    for name in ("customers", "orders", "outbox", "journal", "drafts"):
        assert json.loads(run(tmp_path, name, "--json").output) == []
    status = json.loads(run(tmp_path, "status", "--json").output)
    assert (status["identity"], status["outbox_count"]) == (None, 0)


def test_a_rejected_order_that_is_not_there_cannot_be_mended(tmp_path: Path) -> None:
    result = run(tmp_path, "mend", "R1-000001", "P130-04:2")
    assert result.exit_code == 1
    assert "no rejected order R1-000001" in result.output


def test_an_amount_has_the_decimals_of_its_currency() -> None:
    assert amount_text(123_450, "EUR") == "1,234.50 EUR"
    assert amount_text(123_450, "JPY") == "123,450 JPY"
    assert amount_text(123_450, "BHD") == "123.450 BHD"
    assert amount_text(-5, "EUR") == "-0.05 EUR"
    assert amount_text(0, "EUR") == "0.00 EUR"
    assert amount_text(10**15, "EUR") == "10,000,000,000,000.00 EUR"


def test_a_unit_price_shows_what_it_has_and_no_less_than_its_currency() -> None:
    assert unit_price_text(125_000, "EUR") == "12.50 EUR"
    assert unit_price_text(935, "EUR") == "0.0935 EUR"
    assert unit_price_text(930, "EUR") == "0.093 EUR"
    assert unit_price_text(1_250_000, "JPY") == "125 JPY"
    assert unit_price_text(1_255_000, "JPY") == "125.5 JPY"
    assert unit_price_text(125_000, "KWD") == "12.500 KWD"
    assert unit_price_text(0, "EUR") == "0.00 EUR"


def test_a_device_that_never_synced_is_as_of_never() -> None:
    assert instant_text(0) == instant_text(None) == "never"


@pytest.mark.parametrize(
    ("skew_ms", "said"),
    [
        (103_680_000_000, "1,200 days ahead of"),
        (-7_200_000, "2 hours behind"),
        (-7_199_000, "2 hours behind"),
        (420_000, "7 minutes ahead of"),
    ],
)
def test_a_clock_that_is_off_is_told_in_the_largest_unit_that_fits(skew_ms: int, said: str) -> None:
    assert skew_text(skew_ms) == said


def test_a_changed_price_shows_both_prices_at_their_line() -> None:
    change = Change(code=Code.PRICE_CHANGED, line_id=LINE, before=125_000, after=130_000)
    assert text_of(change) == "P130-04 Elbow: price changed 12.50 EUR → 13.00 EUR"


def test_a_backorder_shows_what_was_asked_and_what_follows() -> None:
    change = Change(code=Code.BACKORDERED, line_id=LINE, before=6, after=4)
    assert text_of(change) == "P130-04 Elbow: 6 ordered → 4 follow later"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(code=Code.AMOUNT_CHANGED, line_id=LINE, before=1_250, after=1_300), "amount changed 12.50 EUR → 13.00 EUR"),
        (Change(code=Code.TAX_CHANGED, line_id=LINE, before=0, after=273), "tax changed 0.00 EUR → 2.73 EUR"),
        (Change(code=Code.GIFTS_CHANGED, line_id=LINE, before=2, after=0), "2 given for nothing → 0"),
        (
            Change(code=Code.PRICE_HONOURED, line_id=LINE, before=1_300, after=1_250),
            "would come to 13.00 EUR now, and stays at → 12.50 EUR",
        ),
        (Change(code=Code.QUANTITY_NOT_SOLD, line_id=LINE, before=7, after=12), "7 cannot be bought, the nearest that can → 12"),
        (Change(code=Code.QUANTITY_NOT_SOLD, line_id=LINE, before=7), "7 cannot be bought"),
        (
            Change(code=Code.ORDER_BELOW_MINIMUM, line_id=LINE, before=2_000, after=5_000),
            "the goods come to 20.00 EUR, and must come to → 50.00 EUR",
        ),
        (Change(code=Code.NO_PRICE, line_id=LINE, after="no_list"), "the customer has no price list now; ask the office for one"),
        (Change(code=Code.NO_PRICE, line_id=LINE, after="of_a_newer_server"), "no price → of_a_newer_server"),
        (Change(code=Code.CURRENCY_DIFFERS, line_id=LINE, before="EUR", after="SEK"), "currency differs EUR → SEK"),
    ],
    ids=lambda value: str(value.code) if isinstance(value, Change) else "",
)
def test_a_change_says_in_the_unit_of_its_code_what_was_and_what_is(change: Change, said: str) -> None:
    assert text_of(change) == f"P130-04 Elbow: {said}"


def test_a_change_without_values_is_its_code_in_words() -> None:
    assert text_of(Change(code=Code.PRODUCT_DISCONTINUED, line_id=LINE)) == "P130-04 Elbow: product discontinued"
    assert text_of(Change(code=Code.CUSTOMER_CLOSED)) == "customer closed"


def text_of(change: Change) -> str:
    return "".join(piece if isinstance(piece, str) else piece[0] for piece in change_text(change, SUBJECT))
