"""A device's files on a disk without room, or one that fails to write: what is here can be read, and nothing can be saved.

SQLite writes beside a database even to read it. Where it has the database for itself it does not, and what a write-ahead log
still holds is read all the same.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw

from client_sdk import replica_file
from client_sdk.connection import APPLICATION_ID, connect
from client_sdk.errors import StoreError, StoreFailedError, StoreFullError
from client_sdk.schema import MIGRATIONS, migrate
from client_sdk.state import ReplicaFiles, load
from client_sdk.store import Store

T = TypeVar("T")


class ReadingStore(Store):
    """A store that reads with one connection. Everything else raises `cause`, for which the files were not opened to be written."""

    def __init__(self, cause: StoreError, path: Path | str, **options: Any) -> None:
        self.cause = cause
        super().__init__(path, **options)

    def _connect(self) -> tuple[apsw.Connection, apsw.Connection]:
        if not Path(self.path).exists():
            raise self.cause
        connection = connect(self.path, APPLICATION_ID, read_only=True, alone=True)
        return connection, connection

    async def begin(self) -> None:
        """Look whether this app can read what is here as it is. Raises StoreError."""
        is_readable = await self.read(_is_of_today)
        self._is_prepared = True
        if not (is_readable and await self.read(replica_file.is_of_today)):
            raise self.cause

    async def _run_in(self, thread: str, run: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        if thread != "read":
            raise self.cause
        return await super()._run_in(thread, run, *args, **kwargs)


def _is_of_today(connection: apsw.Connection) -> bool:
    """Whether the device's own tables need no migration, and name a replica."""
    return bool(connection.pragma("user_version") == len(MIGRATIONS)) and load(connection, ReplicaFiles) is not None


Make = Callable[[Callable[..., Store], Path | str], Store]
"""Makes a store of a kind, at a path, as a client wants it."""


async def open_store(path: Path | str, make: Make, *, reads_anyway: bool) -> Store:
    """Open and prepare a device's files; where the disk is in the way of it, for reading alone if that is asked for."""
    try:
        async with _closed_on_failure(make(Store, path)) as store:
            await store.prepare(migrate)
    except (StoreFullError, StoreFailedError) as cause:
        if not reads_anyway:
            raise
        try:
            async with _closed_on_failure(make(partial(ReadingStore, cause), path)) as store:
                assert isinstance(store, ReadingStore)
                await store.begin()
        except StoreError:
            raise cause from None
    return store


@asynccontextmanager
async def _closed_on_failure(store: Store) -> AsyncIterator[Store]:
    try:
        yield store
    except BaseException:
        store.close()
        raise
