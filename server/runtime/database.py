"""The authoritative store: one engine, read sessions on a snapshot, write sessions that commit once, at the edge.

PostgreSQL and SQLite behave alike here: a read session sees one snapshot and cannot write; a write session is a
transaction whose last statement, before the commit, is what `before_commit` adds (the change log seals there).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import BigInteger, Dialect, LargeBinary, MetaData, Text, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from server.runtime.outages import as_database_error
from server.settings import DATABASE_URLS, InvalidSettingError, variable_of
from sync_protocol.checksums import checksum_of

SQLITE_BUSY_MS: Final = 10_000
PORT_MAX: Final = 65_535
READ_ONLY: Final = "roadbook_read_only"
CHECKSUM_FUNCTION: Final = "roadbook_checksum"
"""The name under which SQLite connections have `checksum_of`; other programs' connections have it not."""


class Identifier(TypeDecorator[UUID]):
    """A UUID: `uuid` on PostgreSQL, sixteen bytes on SQLite, as it is on the wire and on the device."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(LargeBinary(16))

    def process_bind_param(self, value: UUID | bytes | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        identifier = value if isinstance(value, UUID) else UUID(bytes=value)
        return identifier if dialect.name == "postgresql" else identifier.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:  # noqa: ARG002  # SQLAlchemy's signature
        if value is None or isinstance(value, UUID):
            return value
        return UUID(bytes=value)


class Base(DeclarativeBase):
    """All tables. A synced table is checked, column by column, against its row in `sync_protocol.entities`."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {UUID: Identifier, int: BigInteger, str: Text, bytes: LargeBinary}  # noqa: RUF012  # SQLAlchemy's own form


class ReadSession(AsyncSession):
    """A session on one snapshot that cannot write."""


class WriteSession(ReadSession):
    """A session in a transaction that its opener commits. Nothing below the edge does."""


BeforeCommit = Callable[[WriteSession], Awaitable[None]]


_POSTGRES_QUERY: Final[Mapping[str, Sequence[str] | None]] = {
    "host": None,
    "port": (),
    "passfile": None,
    "ssl": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    "prepared_statement_cache_size": (),
}
"""What asyncpg takes of a query: one of these, any text (None), or a number (none named). It falls over all else."""


class DatabaseUrlError(InvalidSettingError):
    """`database_url` names no database that is served. It is not repeated: it may hold a password."""

    def __init__(self, fault: str) -> None:
        super().__init__(variable_of("database_url"), fault, DATABASE_URLS)


def engine_url(database_url: str) -> URL:
    """The engine's URL for a setting such as `sqlite:///path` or `postgresql://…`. Raises DatabaseUrlError."""
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise DatabaseUrlError("is no URL") from error
    except ValueError as error:
        raise DatabaseUrlError("has a port that is no number, or an IPv6 address without both brackets") from error
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
    name = url.get_backend_name() if url.drivername != "postgres" else "postgres"
    if name not in drivers:
        raise DatabaseUrlError(f"is of {name!r}, which is not served")
    (_check_file if name == "sqlite" else _check_address)(url)
    return url.set(drivername=drivers[name])


def _check_file(url: URL) -> None:
    """A database in memory would end with each command; SQLite's own addresses of files and a query can ask for one."""
    if url.host or url.database in {None, "", ":memory:"} or str(url.database).startswith("file:"):
        raise DatabaseUrlError("names no file: a path comes after three slashes")
    if url.query:
        raise DatabaseUrlError("has a query, which a file has not: leave out the question mark and what follows it")


def _check_address(url: URL) -> None:
    """What the driver would fall over rather than refuse."""
    if url.port is not None and not 1 <= url.port <= PORT_MAX:
        raise DatabaseUrlError(f"has a port that is not from 1 to {PORT_MAX}")
    try:
        (url.host or "").encode("idna")
    except UnicodeError as error:
        raise DatabaseUrlError("has a host that is no name and no address") from error
    for name, given in url.query.items():
        _check_part(name, given)


def _check_part(name: str, given: str | Sequence[str]) -> None:
    """One part of a query. Several hosts may be given, and nothing else twice."""
    if name not in _POSTGRES_QUERY:
        listed = ", ".join(_POSTGRES_QUERY)
        raise DatabaseUrlError(f"takes in its query only {listed}; what others call sslmode is ssl, a password is before the @")
    choices = _POSTGRES_QUERY[name]
    if choices is None and not isinstance(given, str) and name != "host":
        raise DatabaseUrlError(f"has {name} twice")
    if choices and given not in choices:
        raise DatabaseUrlError(f"is to have as {name} {', '.join(choices[:-1])} or {choices[-1]}, once")
    if choices == () and not (isinstance(given, str) and given.isdecimal() and int(given) <= PORT_MAX):
        raise DatabaseUrlError(f"is to have as {name} a whole number up to {PORT_MAX}, once")


class Database:
    """The store behind a URL. Make it in the event loop that uses it, and `close` it.

    `engine` replaces the engine for that URL: the simulation hands in one whose connections run in its own thread.
    """

    def __init__(
        self,
        database_url: str,
        *,
        before_commit: BeforeCommit | None = None,
        pool_size: int = 10,
        engine: AsyncEngine | None = None,
    ) -> None:
        self.url = engine_url(database_url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._before_commit = before_commit
        self.commit_listeners: list[Callable[[], None]] = []
        """Called after each commit of a write session of this process."""
        self._writing = asyncio.Lock()
        self.engine = engine or (sqlite_engine if self.is_sqlite else _postgres_engine)(self.url, pool_size)

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """A read-only session on one snapshot, taken by its first statement."""
        options: dict[str, Any] = {READ_ONLY: True}
        if not self.is_sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        async with self.engine.connect() as connection:
            await connection.execution_options(**options)
            async with ReadSession(bind=connection, expire_on_commit=False) as session:
                yield session

    @asynccontextmanager
    async def snapshot(self, postgres_settings: Sequence[str] = ()) -> AsyncIterator[Any]:
        """The driver's own connection (asyncpg's or aiosqlite's) in a read-only transaction on one snapshot.

        `postgres_settings` are settings of PostgreSQL, each `name = value`, for this transaction.

        For reads that are made so often that a session of SQLAlchemy would cost more than the reading. A failure of the
        driver is raised as a DBAPIError.
        """
        with as_database_error("a snapshot"):
            async with self.engine.connect() as connection:
                driver = cast("Any", (await connection.get_raw_connection()).driver_connection)
                if self.is_sqlite:
                    kept = (await connection.get_raw_connection()).info
                    if kept.get(READ_ONLY, False) is not True:
                        await driver.execute_fetchall("PRAGMA query_only=ON")
                        kept[READ_ONLY] = True
                    await driver.execute_fetchall("BEGIN")
                    yield driver  # the pool ends the transaction of a connection that comes back
                    return
                settings = (f"SET LOCAL {setting}" for setting in postgres_settings)
                await driver.execute("; ".join(("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", *settings)))
                try:
                    yield driver
                finally:
                    await _end_transaction(driver)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """A transaction: committed where the block ends, rolled back where it raises.

        On SQLite writers of this process wait in line here rather than in SQLite's busy handler, which is unfair.
        """
        async with AsyncExitStack() as stack:
            if self.is_sqlite:
                await stack.enter_async_context(self._writing)
            session = await stack.enter_async_context(WriteSession(bind=self.engine, expire_on_commit=False))
            yield session
            await session.flush()
            if self._before_commit is not None:
                await self._before_commit(session)
            await session.commit()
        for tell in self.commit_listeners:
            tell()


async def _end_transaction(driver: Any) -> None:
    """Or end the connection, which the pool then replaces: none may come back to it within a transaction."""
    try:
        await driver.execute("ROLLBACK")
    except BaseException:
        driver.terminate()
        raise


def _postgres_engine(url: URL, pool_size: int) -> AsyncEngine:
    settings = {"application_name": "roadbook", "idle_in_transaction_session_timeout": "60000"}
    return create_async_engine(
        url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, connect_args={"server_settings": settings}
    )


def sqlite_engine(url: URL, pool_size: int, **further: Any) -> AsyncEngine:
    """An engine for a SQLite file; `further` is for SQLAlchemy, an `async_creator` of driver connections for one."""
    connect_args = {"timeout": SQLITE_BUSY_MS / 1000}
    engine = create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, connect_args=connect_args, **further)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _SQLITE_PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function(CHECKSUM_FUNCTION, -1, checksum_of, deterministic=True)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        if connection.info.get(READ_ONLY, False) is not read_only:
            connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
            connection.info[READ_ONLY] = read_only
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


_SQLITE_PRAGMAS: Final = (
    f"busy_timeout={SQLITE_BUSY_MS}",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "recursive_triggers=ON",
    "secure_delete=ON",
    "cache_size=-16384",
)


async def driver_connection(session: ReadSession) -> Any:
    """The driver's own connection (asyncpg's or aiosqlite's), inside the session's transaction, for bulk work.

    SQLAlchemy begins asyncpg's transaction with its first statement, so there is one here.
    """
    connection = await session.connection()
    await connection.execute(text("SELECT 1"))
    raw = await connection.get_raw_connection()
    return cast("Any", raw.driver_connection)
