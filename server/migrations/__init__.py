"""The schema's history, and the way to its newest state."""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from server.changelog.capture import install_capture
from server.runtime.database import Database

_LOCK: Final = 0x526F_6164_626F_6F6B  # "Roadbook", in the database's own space of advisory locks


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def migrate(database: Database, revision: str = "head") -> None:
    """Bring the database to `revision`, in one transaction; at the newest, install the capture triggers too."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade, revision)


class ForeignDatabaseError(OSError):
    """The SQLite file is some other database."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is a database, but not this server's (a device's, perhaps); name another with ROADBOOK_DATABASE_URL"
        )
        self.path = path


def _require_ours(connection: Connection) -> None:
    """Refuse a file with tables that were not made by these migrations, before any is changed. Raises ForeignDatabaseError."""
    tables = sa.inspect(connection).get_table_names()
    if tables and "alembic_version" not in tables:
        raise ForeignDatabaseError(str(connection.engine.url.database))


def _upgrade(connection: Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        # Processes that start together migrate one after the other; on SQLite BEGIN IMMEDIATE sees to it.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    else:
        _require_ours(connection)
    command.upgrade(alembic_config(connection), revision)
    if revision == "head":
        install_capture(connection)
