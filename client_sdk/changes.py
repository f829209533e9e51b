"""Which rows a move to a checkpoint changes: counted by entity, and named where they are few."""

from collections import Counter, defaultdict
from typing import Any, Final
from uuid import UUID

import apsw

from sync_protocol.entities import Synced

NAMED_MAX: Final = 100
"""Where one statement changes more rows of an entity than this, they are counted only: an application looks at all of it anew."""


class Changes:
    """What changes in one act. `counts` is by the name of the entity."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self._ids = defaultdict[str, set[UUID]](set)
        self._unnamed: set[str] = set()

    def make(
        self, connection: apsw.Connection, synced: Synced, statement: str, source: str, bindings: tuple[Any, ...] = ()
    ) -> None:
        """Run a statement that changes rows of an entity, at most as many as `source` has, which takes the same bindings."""
        probe = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {NAMED_MAX + 1})"  # noqa: S608  # names of the registry
        found = connection.execute(probe, bindings).get
        if found > NAMED_MAX:
            connection.execute(statement, bindings)
            self.add_unnamed(synced.name, connection.changes())
        elif found:
            ids: list[Any] = connection.execute(f"{statement} RETURNING id", bindings).fetchall()
            self.counts[synced.name] += len(ids)
            self._ids[synced.name].update(UUID(bytes=row_id) for (row_id,) in ids)

    def add_unnamed(self, entity: str, count: int) -> None:
        """So many rows of an entity changed, too many to be named."""
        self.counts[entity] += count
        self._unnamed.add(entity)

    def ids(self) -> dict[str, frozenset[UUID]]:
        """Which rows changed, for the entities of which few did."""
        return {entity: frozenset(ids) for entity, ids in self._ids.items() if ids and entity not in self._unnamed}
