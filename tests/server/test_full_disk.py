"""A database whose disk is full, or fails: commands, the API and devices are told that, and not to look at something else."""

import asyncio
import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from server.__main__ import main
from server.identity.principals import Role
from server.runtime.database import Database
from server.runtime.outages import sentence_of_disk
from tests.support.office import open_office, problem

FULL = "the server's disk is full and what was under way was not saved; free some space on it and do it again"
FAILS = "the server's disk fails and what was under way was not saved; look at its room and its health and do it again"

_RAISING = """
CREATE FUNCTION no_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{state}'; END $$;
CREATE TRIGGER no_disk BEFORE INSERT ON user_account FOR EACH ROW EXECUTE FUNCTION no_disk();
"""


@contextmanager
def no_page_more() -> Iterator[None]:
    """No SQLite file that is opened grows: as on a full disk."""

    def limit(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=1").close()

    sa.event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(Engine, "connect", limit)


async def fail_users(database_url: str, state: str) -> None:
    """PostgreSQL fails on each new user as it does on a disk without room, or on one that fails."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(_RAISING.format(state=state))
    await connection.close()


def user(number: int) -> dict[str, str]:
    """Some of them fill a page."""
    return {"login": f"{number:0200}", "name": "X" * 200, "role": "manager"}


def added(database_url: str, login: str) -> str:
    arguments = ("users", "add", login, "--name", "X" * 200, "--role", "manager", "--no-password")
    ended = CliRunner().invoke(main, arguments, env={"ROADBOOK_DATABASE_URL": database_url})
    return ended.output if ended.exit_code == 1 else ""


def test_a_command_on_a_full_sqlite_disk_is_told_of_the_disk(sqlite_database_url: str) -> None:
    with no_page_more():
        said = {added(sqlite_database_url, f"{number:0200}") for number in range(60)}
    assert said - {""} == {f"Error: {FULL}\n"}


@pytest.mark.parametrize(("state", "sentence"), [("53100", FULL), ("58030", FAILS)])
async def test_a_command_on_postgresql_without_a_disk_is_told_of_the_disk(
    postgres_database_url: str, state: str, sentence: str
) -> None:
    await fail_users(postgres_database_url, state)
    assert await asyncio.to_thread(added, postgres_database_url, "mia") == f"Error: {sentence}\n"


async def test_the_api_says_that_the_disk_is_full_and_that_trying_again_helps(database: Database, database_url: str) -> None:
    async with open_office(database) as office:
        await database.engine.dispose()
        with no_page_more() if database.is_sqlite else nullcontext():
            if not database.is_sqlite:
                await fail_users(database_url, "53100")
            refused = [await office.client.post("/users", headers=office.as_(Role.ADMIN), json=user(each)) for each in range(60)]
    told = problem(refused[-1], 503, "busy")
    assert (told["detail"], told["retry"]) == (FULL, True)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DBAPIError("x", {}, sqlite3.OperationalError("disk I/O error")), FAILS),
        (OSError(errno.ENOSPC, "No space left on device"), FULL),
        (DBAPIError("x", {}, sqlite3.OperationalError("database is locked")), None),
        (DBAPIError("x", {}, asyncpg.AdminShutdownError("x")), None),
        (OSError(errno.ECONNREFUSED, "refused"), None),
        (DBAPIError("x", {"note": "disk I/O error on the till"}, sqlite3.OperationalError("database is locked")), None),
        (PendingRollbackError("x was: [parameters: ('no such savepoint, database or disk is full')]"), None),
    ],
)
def test_the_disk_is_named_only_where_it_is_why(error: Exception, sentence: str | None) -> None:
    assert sentence_of_disk(error) == sentence
