"""Synced rows in memory while something is decided: read once, written at the end in few statements.

What a decision needs can be loaded for many decisions at once; what nobody loaded is read when it is asked for. A row that
is changed here is seen by every later look here, and by the database when `flush` writes the difference to what was read.
A unit of work that is dropped instead of flushed changes nothing: it holds no half of a decision.

Only rows that are locked, or made here, may be changed, so that nothing written meanwhile is overwritten.
"""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.runtime.bulk_statements import BulkStatements, Record
from server.runtime.database import ReadSession
from server.runtime.rows import table_of
from sync_protocol.entities import SYNCED
from sync_protocol.values import Row

R = TypeVar("R", bound=Row)
Key = tuple[Any, ...]
_ID = ("id",)


class IdInUseError(Exception):
    """A row was to be made under an id that another row has."""

    def __init__(self, kind: type[Row], identifier: UUID) -> None:
        super().__init__(f"{kind.__name__} {identifier} is there already")
        self.identifier = identifier


class UnitOfWork:
    """The rows of one or many decisions, inside the transaction of `session`."""

    def __init__(self, session: ReadSession, statements: BulkStatements) -> None:
        self.session = session
        self.statements = statements
        self._shelves: dict[type[Row], _Shelf[Any]] = {}

    @classmethod
    async def of(cls, session: ReadSession) -> "UnitOfWork":
        return cls(session, await BulkStatements.of(session))

    async def get(self, kind: type[R], identifier: UUID, *, lock: bool = False) -> R | None:
        """The row as it stands here, or None."""
        shelf = self._shelf(kind)
        if not shelf.has(identifier, lock=lock):
            await self.load(kind, [identifier], lock=lock)
        return shelf.current(identifier)

    async def load(self, kind: type[R], identifiers: Iterable[UUID], *, lock: bool = False) -> None:
        """Read the rows with these ids that are not here yet, in one statement; locked in the order of their ids."""
        shelf = self._shelf(kind)
        missing = [(identifier,) for identifier in dict.fromkeys(identifiers) if not shelf.has(identifier, lock=lock)]
        records = await self.statements.select(shelf.table, kind.__struct_fields__, _ID, missing, lock=lock)
        for (identifier,) in missing:
            shelf.stored.setdefault(identifier, None)
        for record in records:
            shelf.keep(self._row(kind, record), lock=lock)

    async def find(self, kind: type[R], *, lock: bool = False, **values: Any) -> list[R]:
        """The rows whose columns have these values, as they stand here."""
        columns, key = tuple(values), tuple(values.values())
        shelf = self._shelf(kind)
        if key not in shelf.loaded.get((columns, lock), ()):
            await self.load_by(kind, columns, [key], lock=lock)
        return shelf.matching(columns, key)

    async def find_all(self, kind: type[R], columns: tuple[str, ...], keys: Iterable[Key], *, lock: bool = False) -> list[R]:
        """The rows whose columns are one of the keys, as they stand here, in the order of the keys.

        No columns and one empty key are all rows, of which nothing is read again.
        """
        wanted = list(dict.fromkeys(keys))
        await self.load_by(kind, columns, wanted, lock=lock)
        shelf = self._shelf(kind)
        return [row for key in wanted for row in shelf.matching(columns, key)]

    async def load_by(self, kind: type[R], columns: tuple[str, ...], keys: Iterable[Key], *, lock: bool = False) -> None:
        """Read all rows whose columns are one of the keys, in one statement; locked in the order of these columns.

        No columns and one empty key are the whole table, which must be small; locked in the order of the ids.
        """
        shelf = self._shelf(kind)
        known = shelf.loaded.setdefault((columns, lock), set())
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if not missing:
            return
        shelf.index_by(columns)
        if not shelf.is_whole(lock=lock):
            for record in await self.statements.select(shelf.table, kind.__struct_fields__, columns, missing, lock=lock):
                shelf.keep(self._row(kind, record), lock=lock)
        known.update(missing)
        shelf.loaded.setdefault((columns, False), set()).update(missing)

    def insert(self, *rows: Row) -> None:
        """Make rows. Each is held to its limits: no device could read one beyond them. Raises IdInUseError."""
        for row in rows:
            shelf = self._shelf(type(row))
            if shelf.current(row.id) is not None:
                raise IdInUseError(type(row), row.id)
            shelf.put(_within_limits(row))

    def replace(self, row: Row) -> None:
        """Change a row, which must be locked or made here."""
        shelf = self._shelf(type(row))
        assert row.id in shelf.locked or shelf.stored.get(row.id) is None, "what is not locked may change under our hands"
        assert shelf.current(row.id) is not None
        shelf.put(_within_limits(row))

    def remove(self, row: Row) -> None:
        """Delete a row, which must be locked or made here."""
        shelf = self._shelf(type(row))
        assert row.id in shelf.locked or shelf.stored.get(row.id) is None, "what is not locked may change under our hands"
        shelf.changed[row.id] = None

    async def flush(self) -> None:
        """Write what differs from what was read: deletions first, then rows in an order in which each finds what it refers to.

        Raises DBAPIError. Nothing may be asked of this unit of work afterwards.
        """
        used = [shelf for synced in SYNCED if (shelf := self._shelves.get(synced.row)) is not None and shelf.changed]
        for shelf in reversed(used):
            await self.statements.delete(shelf.table, shelf.removed())
        for shelf in used:
            await self.statements.insert(shelf.table, shelf.fields, [msgspec.structs.astuple(row) for row in shelf.made()])
            columns, records = shelf.differences()
            await self.statements.update(shelf.table, _ID, columns, records)

    def _shelf(self, kind: type[R]) -> "_Shelf[R]":
        shelf = self._shelves.get(kind)
        if shelf is None:
            shelf = self._shelves[kind] = _Shelf(kind)
        return cast("_Shelf[R]", shelf)

    def _row(self, kind: type[R], record: Record) -> R:
        """A row from its record, its enums and limits checked."""
        values = dict(zip(kind.__struct_fields__, record, strict=True))
        return msgspec.convert(values, kind, builtin_types=(bytes,) if self.statements.is_sqlite else None)


class _Shelf(Generic[R]):
    """The rows of one kind: as they are stored, and as they were changed here."""

    def __init__(self, kind: type[R]) -> None:
        self.fields = kind.__struct_fields__
        self.table: sa.Table = table_of(kind)
        self.stored: dict[UUID, R | None] = {}
        self.changed: dict[UUID, R | None] = {}
        self.locked: set[UUID] = set()
        self.loaded: dict[tuple[tuple[str, ...], bool], set[Key]] = {}
        self._places: dict[tuple[str, ...], dict[Key, dict[UUID, None]]] = {}

    def has(self, identifier: UUID, *, lock: bool) -> bool:
        known = self.stored.get(identifier)
        is_read = identifier in self.stored or self.is_whole(lock=False)
        return identifier in self.changed or (is_read and (not lock or known is None or identifier in self.locked))

    def is_whole(self, *, lock: bool) -> bool:
        """Whether all rows of the table were read, and locked where asked."""
        return () in self.loaded.get(((), lock), ())

    def current(self, identifier: UUID) -> R | None:
        return self.changed[identifier] if identifier in self.changed else self.stored.get(identifier)

    def keep(self, row: R, *, lock: bool) -> None:
        """A row as it was read. Locked it cannot change any more; so the later look is the better one until then."""
        if row.id in self.locked:
            return
        self.stored[row.id] = row
        if lock:
            self.locked.add(row.id)
        self._place(row)

    def put(self, row: R) -> None:
        self.changed[row.id] = row
        self._place(row)

    def index_by(self, columns: tuple[str, ...]) -> None:
        if columns in self._places:
            return
        self._places[columns] = {}
        for row in (*self.stored.values(), *self.changed.values()):
            if row is not None:
                self._place(row)

    def matching(self, columns: tuple[str, ...], key: Key) -> list[R]:
        places = self._places.get(columns, {}).get(key, {})
        found = [row for identifier in places if (row := self.current(identifier)) is not None]
        return [row for row in found if _key(row, columns) == key]

    def removed(self) -> list[UUID]:
        gone = (identifier for identifier, row in self.changed.items() if row is None)
        return [identifier for identifier in gone if self.stored.get(identifier) is not None]

    def made(self) -> list[R]:
        return [row for row in self.changed.values() if row is not None and self.stored.get(row.id) is None]

    def differences(self) -> tuple[tuple[str, ...], list[Record]]:
        """The columns in which any row differs from what is stored, and of each such row its id and these columns."""
        pairs = [(self.stored.get(row.id), row) for row in self.changed.values() if row is not None]
        updated = [(old, new) for old, new in pairs if old is not None and old != new]
        columns = tuple(name for name in self.fields if any(getattr(old, name) != getattr(new, name) for old, new in updated))
        return columns, [(new.id, *(getattr(new, name) for name in columns)) for _, new in updated]

    def _place(self, row: R) -> None:
        for columns, places in self._places.items():
            places.setdefault(_key(row, columns), {})[row.id] = None


def _key(row: Row, columns: tuple[str, ...]) -> Key:
    return tuple([getattr(row, name) for name in columns])


def _within_limits(row: R) -> R:
    return msgspec.convert(msgspec.structs.asdict(row), type(row))
