"""`roadbook users add`: what it says to somebody who has no terminal, or no right code."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

from server.__main__ import main
from server.identity import service
from server.identity.errors import CodeUnknownError
from server.runtime.rows import insert_rows
from sync_protocol.entities.customers import Rep
from tests.support.office import Office


def add_rep(database_url: str, *options: str) -> Result:
    environment = {"ROADBOOK_DATABASE_URL": database_url, "ROADBOOK_PASSWORD": "long enough"}
    return CliRunner().invoke(main, ("users", "add", "x", "--name", "X", "--role", "rep", *options), env=environment)


def test_without_a_terminal_it_names_the_variable_in_one_line(sqlite_database_url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ROADBOOK_PASSWORD"}
    ended = subprocess.run(
        (sys.executable, "-m", "server", "users", "add", "mia", "--name", "Mia", "--role", "manager"),
        env={**environment, "ROADBOOK_DATABASE_URL": sqlite_database_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert (ended.stdout + ended.stderr).splitlines() == ["Error: no terminal to ask on: set ROADBOOK_PASSWORD"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("--rep is missing: the user of a rep stands for a rep; say which",)),
        (("--rep", "R-99"), ("--rep names no rep", "'R-99'")),
        (("--rep", "customer_id"), ("--rep names no rep", "'customer_id' is the code of none")),
        (("--rep", "R-07", "--customer", "ACME"), ("--customer does not go with the role rep",)),
    ],
)
def test_an_error_speaks_of_the_option(sqlite_database_url: str, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    ended = add_rep(sqlite_database_url, *options)
    assert ended.exit_code == 1
    assert all(word in ended.output for word in words), ended.output


@pytest.mark.parametrize(
    ("login", "name", "words"),
    [
        ("x", "", ("--name is empty",)),
        ("x" * 500, "X", ("LOGIN has 500 characters",)),
        ("q\nq", "Z\x01", ("LOGIN contains a control character or a line break", "--name contains")),
    ],
)
def test_a_login_and_a_name_are_held_to_the_limits_of_the_api(
    database_url: str, login: str, name: str, words: tuple[str, ...]
) -> None:
    environment = {"ROADBOOK_DATABASE_URL": database_url, "ROADBOOK_PASSWORD": "long enough"}
    ended = CliRunner().invoke(main, ("users", "add", login, "--name", name, "--role", "manager"), env=environment)
    assert ended.exit_code == 1, ended.output
    assert ended.output.count("\n") == 1
    assert all(word in ended.output for word in words), ended.output


def test_a_login_that_is_called_like_a_field_is_said_as_it_is(database_url: str) -> None:
    environment = {"ROADBOOK_DATABASE_URL": database_url}
    words = ("users", "add", "rep_id", "--name", "X", "--role", "manager", "--no-password")
    assert CliRunner().invoke(main, words, env=environment).exit_code == 0
    assert CliRunner().invoke(main, words, env=environment).output == "Error: the login 'rep_id' is taken; choose another\n"


async def test_a_wrong_code_lists_those_that_there_are_with_names(office: Office) -> None:
    async with office.database.read() as session:
        assert await service.id_of_code(session, "rep", " R-07 ", field="rep_id") == office.rep
        with pytest.raises(CodeUnknownError, match=r"rep_id .*R-07 \(Femke Vos\)"):
            await service.id_of_code(session, "rep", "R-99", field="rep_id")
        with pytest.raises(CodeUnknownError) as raised:
            await service.id_of_code(session, "customer", "ACMEE", field="customer_id")
    assert [code for code, _ in raised.value.known] == ["ACME", "LATE", "OTHER"]


async def test_of_many_codes_those_that_begin_alike_are_listed_and_never_more_than_twenty(office: Office) -> None:
    async with office.database.write() as session:
        await insert_rows(session, [Rep(id=office.ids.new(), code=f"S-{each:02}", name="Somebody") for each in range(30)])
    async with office.database.read() as session:
        for code, first, count in (("r-8", "R-07", 1), ("S-99", "S-00", 20), ("Q", "R-07", 20)):
            with pytest.raises(CodeUnknownError) as raised:
                await service.id_of_code(session, "rep", code, field="rep")
            assert (raised.value.known[0][0], len(raised.value.known)) == (first, count)
