"""Migrated databases for tests: made once as a template, then copied."""

import asyncio
import secrets
import shutil
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy.engine import make_url

from server.changelog.log import seal_before_commit
from server.migrations import migrate
from server.runtime.database import Database


class _Statements(dict[Hashable, Any]):
    """Statements that SQLAlchemy has compiled, for all engines of one kind: it keeps them by the engine's own dialect.

    Each test opens a database of its own, and would compile the same statements again.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), compiled)


_STATEMENTS: Final = _Statements()


def open_database(database_url: str, *, pool_size: int = 10) -> Database:
    """A `Database` as the server opens it. Call it in the loop that uses it."""
    database = Database(database_url, before_commit=seal_before_commit, pool_size=pool_size)
    database.engine.sync_engine.update_execution_options(compiled_cache=_STATEMENTS)
    return database


def migrate_database(database_url: str) -> None:
    """Bring the database to the newest schema; for callers outside a loop."""

    async def run() -> None:
        database = Database(database_url)
        try:
            await migrate(database)
        finally:
            await database.close()

    asyncio.run(run())


def sqlite_copy(template: Path, folder: Path) -> str:
    """The URL of a fresh copy of a closed SQLite database."""
    copy = folder / "roadbook.db"
    shutil.copyfile(template, copy)
    return f"sqlite:///{copy}"


@contextmanager
def postgres_database(admin_url: str, *, template: str = "template1") -> Iterator[str]:
    """The URL of a fresh database, dropped afterwards."""
    name = f"roadbook_{secrets.token_hex(6)}"
    admin(admin_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield make_url(admin_url).set(database=name).render_as_string(hide_password=False)
    finally:
        admin(admin_url, f"DROP DATABASE {name} WITH (FORCE)")


def admin(admin_url: str, statement: str) -> None:
    """Run a statement on the server, outside any loop and transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())
