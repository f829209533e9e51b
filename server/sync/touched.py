"""What happened between two places of the log: which buckets were touched, and whose scope may be another now."""

from typing import Final
from uuid import UUID

import msgspec

from server.changelog.log import Head
from server.sync.reader import Reader
from server.sync.scope import SCOPE_ENTITIES, Scope
from sync_protocol.entities import BY_ROW
from sync_protocol.entities.customers import Customer

COMMITS_MAX: Final = 1_000
ROWS_MAX: Final = 20_000
"""Beyond so many commits or changed rows it is not looked which they were: everything may have been touched."""


class Touched(msgspec.Struct, frozen=True, kw_only=True):
    """The buckets that were touched. `scope_buckets` are those of rows that scopes are made of, `territories` those in which
    a customer was changed, which may be new there.
    """

    buckets: frozenset[str] = frozenset()
    scope_buckets: frozenset[str] = frozenset()
    territories: frozenset[bytes] = frozenset()
    is_everything: bool = False

    def concerns(self, scope: Scope) -> bool:
        """Whether there may be a row for who holds this."""
        return self.is_everything or not self.buckets.isdisjoint(scope.names)

    def may_change(self, scope: Scope) -> bool:
        """Whether the scope itself may be another one now."""
        if self.is_everything or not self.scope_buckets.isdisjoint(scope.names):
            return True
        return not self.territories.isdisjoint(scope.territories)


async def read_position(reader: Reader) -> tuple[Head, bool]:
    """The head of the reader's snapshot, and whether every commit that it shows has its place."""
    is_sealed = "NOT EXISTS (SELECT 1 FROM change_commit n WHERE n.change = h.head + 1)" if reader.is_sqlite else "true"
    sql = f"""
        SELECT {reader.identifier("h.epoch")}, h.head, h.floor, c.change, c.committed_at_ms, {is_sealed}
          FROM change_head h LEFT JOIN change_commit c ON c.commit_seq = h.head
    """  # noqa: S608  # no input in it
    ((epoch, head, floor, change, committed_at_ms, sealed),) = await reader.all(sql, [])
    mark = (change, committed_at_ms) if change is not None else None
    return Head(UUID(bytes=epoch), head, floor, mark), bool(sealed)


async def read_touched(reader: Reader, after: Head, up_to: Head) -> Touched:
    """What was touched in (after, up_to], the latter being the snapshot's head."""
    if after.epoch != up_to.epoch or not 0 <= up_to.head - after.head <= COMMITS_MAX:
        return Touched(is_everything=True)
    entities = ", ".join(map(str, SCOPE_ENTITIES))
    sql = f"""
        SELECT bucket, is_of_scope, count(*) FROM (
            SELECT l.bucket, l.entity IN ({entities}) AS is_of_scope
              FROM change_commit c JOIN change_log l ON l.change = c.change
             WHERE c.commit_seq > $1 AND c.commit_seq <= $2 LIMIT {ROWS_MAX}
        ) AS logged GROUP BY 1, 2
        UNION ALL
        SELECT bucket, is_of_scope, count(*) FROM (
            SELECT l.bucket, l.entity IN ({entities}) AS is_of_scope
              FROM change_commit c JOIN change_leave l ON l.change = c.change
             WHERE c.commit_seq > $1 AND c.commit_seq <= $2 LIMIT {ROWS_MAX}
        ) AS gone GROUP BY 1, 2
    """  # noqa: S608  # no input in it
    found = await reader.all(sql, [after.head, up_to.head])
    if sum(count for *_, count in found) >= ROWS_MAX:
        return Touched(is_everything=True)
    scope_buckets = frozenset(bucket for bucket, is_of_scope, _ in found if is_of_scope)
    territories = await _territories(reader, after, up_to) if scope_buckets else frozenset()
    buckets = frozenset(bucket for bucket, *_ in found)
    return Touched(buckets=buckets, scope_buckets=scope_buckets, territories=territories)


async def _territories(reader: Reader, after: Head, up_to: Head) -> frozenset[bytes]:
    """The territories of the customers that were changed."""
    sql = f"""
        SELECT DISTINCT {reader.identifier("t.territory_id")}
          FROM change_commit c JOIN change_log l ON l.change = c.change JOIN customer t ON t.id = l.row_id
         WHERE c.commit_seq > $1 AND c.commit_seq <= $2 AND l.entity = {BY_ROW[Customer].number}
    """  # noqa: S608  # no input in it
    return frozenset(territory for (territory,) in await reader.all(sql, [after.head, up_to.head]) if territory is not None)
