"""`roadbook handovers` at the server's terminal."""

import asyncio
import json
from datetime import datetime

import pytest
from click.testing import CliRunner, Result

from server.__main__ import main
from server.customers.commands import _worth
from server.customers.handover_preview import Worth
from server.identity.terminal import example_time
from tests.support.databases import open_database
from tests.support.world import World


def roadbook(database_url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ("handovers", *words), env={"ROADBOOK_DATABASE_URL": database_url})


@pytest.fixture
def company(sqlite_database_url: str) -> str:
    """The database of a small company."""

    async def found() -> None:
        database = open_database(sqlite_database_url)
        await World.found(database)
        await database.close()

    asyncio.run(found())
    return sqlite_database_url


def test_a_territory_is_previewed_handed_over_and_shown(company: str) -> None:
    what = ("--territory", "T0", "--to-rep", "REP1")
    seen = roadbook(company, "preview", *what)
    assert "2 customers to move; open orders: 0; held: 0" in seen.output, seen.output
    assert json.loads(roadbook(company, "preview", *what, "--json").output)["customers"] == 2
    done = json.loads(roadbook(company, "create", *what, "--late-orders", "route", "--note", "she left", "--json").output)
    assert (done["handover"]["state"], done["handover"]["note"]) == ("done", "she left")
    shown = roadbook(company, "show", done["handover"]["id"])
    (first, *_) = shown.output.splitlines()
    assert first == f"handover {done['handover']['id']} is done ({done['handover']['ended_at']}): 2 customers", "on one line"
    assert [each["id"] for each in json.loads(roadbook(company, "list", "--json").output)] == [done["handover"]["id"]]
    assert "she left" in roadbook(company, "list").output


def test_a_dated_handover_is_cancelled(company: str) -> None:
    planned = roadbook(
        *(company, "create", "--customer", "C0", "--customer", "C1", "--to-territory", "T1"),
        *("--late-orders", "refuse", "--at", example_time(), "--json"),
    )
    handover = json.loads(planned.output)["handover"]
    assert datetime.fromisoformat(handover["effective_at"]) == datetime.fromisoformat(example_time())
    assert handover["customers"] == 2
    assert "cancelled" in roadbook(company, "cancel", handover["id"], "--reason", "she stays").output
    again = roadbook(company, "cancel", handover["id"])
    assert again.exit_code == 1
    assert "nothing is left to cancel" in again.output


def test_what_orders_are_worth_is_told_in_their_currencies() -> None:
    worth = Worth(orders=3, total_minor={"EUR": 161_488, "JPY": 1_200, "BHD": 5})
    assert _worth(worth) == "3 (1,614.88 EUR, 1,200 JPY, 0.005 BHD)"


@pytest.mark.parametrize(
    ("exit_code", "words", "said"),
    [
        (1, ("preview", "--customer", "C9", "--to-territory", "T1"), "--customer names no customer"),
        (1, ("preview", "--territory", "T9", "--to-rep", "REP1"), "--territory names no territory"),
        (1, ("preview", "--territory", "T0", "--to-territory", "T0"), "--to-territory is the same territory; choose another"),
        (1, ("preview", "--territory", "T0", "--to-rep", "REP0"), "--to-rep works this territory already"),
        (1, ("preview", "--customer", "C0", "--to-rep", "REP1"), "--to-rep takes a whole territory"),
        (
            1,
            ("preview", "--customer", "C0", "--customer", "C0", "--to-territory", "T1"),
            "--customer C0 was named before; leave it out",
        ),
        (1, ("preview", "--to-territory", "T1"), "--customer is empty; name the customers that move, or a territory"),
        (1, ("preview", "--territory", "T0"), "--to-territory is missing; say where they go, or which rep takes the territory"),
        (
            1,
            ("preview", "--customer", "C0", "--territory", "T0", "--to-rep", "REP1"),
            "--territory does not go with a list of customers;",
        ),
        (2, ("create", "--territory", "T0", "--to-rep", "REP1", "--late-orders", "route", "--at", "noon"), "is no time such as"),
        (2, ("create", "--territory", "T0", "--to-rep", "REP1", "--late-orders", "route", "--at", "2030-01-01"), "has no offset"),
        (
            1,
            ("create", "--territory", "T0", "--to-rep", "REP1", "--late-orders", "route", "--at", "2020-01-01T00:00Z"),
            "in the past",
        ),
    ],
)
def test_nonsense_is_one_line_that_says_what_to_do(company: str, exit_code: int, words: tuple[str, ...], said: str) -> None:
    ended = roadbook(company, *words)
    assert ended.exit_code == exit_code
    assert said in ended.output.replace("\n", " "), ended.output
    assert "_id" not in ended.output, "it speaks of the API"


def test_a_customer_of_another_handover_is_told_by_the_option(company: str) -> None:
    words = ("create", "--customer", "C0", "--to-territory", "T1", "--late-orders", "route", "--at", example_time())
    assert roadbook(company, *words).exit_code == 0
    again = roadbook(company, "create", "--customer", "C1", *words[1:])
    assert again.exit_code == 1
    assert again.output.startswith("Error: --customer C0 is in handover "), again.output


def test_a_customer_whose_territory_is_in_a_handover_is_told_by_the_option(company: str) -> None:
    common = ("--late-orders", "route", "--at", example_time())
    assert roadbook(company, "create", "--territory", "T0", "--to-territory", "T1", *common).exit_code == 0
    shown = json.loads(roadbook(company, "preview", "--territory", "T0", "--to-territory", "T1", "--json").output)
    assert shown["customers"] == 2
    refused = [roadbook(company, "create", "--customer", f"C{each}", "--to-territory", "T1", *common) for each in range(2)]
    for each, ended in enumerate(refused):
        assert ended.output.startswith(f"Error: --customer C{each} is in handover "), ended.output
