"""Which buckets a principal may hold now: a function of the authoritative tables, read in the same snapshot as the rows.

It is kept in memory from one pull to the next. What it is made of is in the log, so that a kept scope is known to hold
where no commit since has touched that: the answer is the one that the tables of the snapshot would give.
"""

from collections import OrderedDict
from functools import cached_property
from sys import intern
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from server.changelog.assignments import ASSIGNMENT_ENTITY
from server.changelog.log import Head
from server.customers.price_lists import CHANNELS_OF_BUYERS, CHANNELS_OF_REPS, lists_sql
from server.runtime.database import Database, ReadSession
from server.sync.reader import Reader
from sync_protocol.entities import BY_ROW, CATALOG, LIMITS
from sync_protocol.entities.customers import Customer, SegmentMember, Territory
from sync_protocol.entities.pricing import CustomerPriceList, PriceListAssignment
from sync_protocol.wire.codec import scope_digest

KEPT_BUCKETS_MAX: Final = 250_000
"""How many names all kept scopes may have together: some 40 MB."""
COMMITS_LOOKED_THROUGH_MAX: Final = 1_000
SCOPE_ENTITIES: Final = (
    ASSIGNMENT_ENTITY,
    *(BY_ROW[row].number for row in (Territory, Customer, SegmentMember, PriceListAssignment, CustomerPriceList)),
)
"""The entities that scopes are made of."""


class Scope:
    """The buckets, sorted, and their digest. Two scopes are the same exactly where their digests are."""

    def __init__(self, buckets: set[str], territories: frozenset[bytes] = frozenset()) -> None:
        self.buckets = tuple(intern(bucket) for bucket in sorted(buckets))
        self.names = frozenset(self.buckets)
        self.territories = territories
        self.digest = scope_digest(self.buckets)

    def of_kind(self, kind: str) -> list[str]:
        """The buckets of one kind."""
        return self._kinds.get(kind, [])

    @cached_property
    def _kinds(self) -> dict[str, list[str]]:
        kinds: dict[str, list[str]] = {}
        for bucket in self.buckets:
            kinds.setdefault(bucket.partition(":")[0], []).append(bucket)
        return kinds


class Holder(msgspec.Struct, frozen=True):
    """Whose scope it is: a rep's or a buyer's; `holder_id` is whose number series they use."""

    rep_id: UUID | None
    customer_id: UUID | None
    holder_id: UUID


async def scope_of(session: ReadSession, *, rep_id: UUID | None, customer_id: UUID | None, holder_id: UUID) -> Scope:
    """The scope by the tables of the session's snapshot."""
    return await read_scope(await Reader.of(session), Holder(rep_id, customer_id, holder_id))


async def read_scope(reader: Reader, holder: Holder) -> Scope:
    """A rep holds the catalogue, the lists and stock of its territories and their accounts; a buyer its company's."""
    buckets = {CATALOG.kind, f"rep:{holder.holder_id.hex}"}
    if holder.rep_id is not None:
        works = "(SELECT territory_id FROM rep_territory WHERE rep_id = $1)"
        key, accounts, territories = holder.rep_id, f"c.territory_id IN {works}", f"t.id IN {works}"
        channels = CHANNELS_OF_REPS
        buckets.add(LIMITS.kind)
    else:
        key, accounts = holder.customer_id or holder.holder_id, "c.id = $1"
        territories, channels = "t.id IN (SELECT territory_id FROM customer WHERE id = $1)", CHANNELS_OF_BUYERS
    identifier = reader.identifier
    held = await reader.all(f"SELECT {identifier('c.id')} FROM customer c WHERE {accounts}", [key])  # noqa: S608  # no input in it
    columns = f"{identifier('t.id')}, {identifier('t.stock_location_id')}"
    worked = await reader.all(f"SELECT {columns} FROM territory t WHERE {territories}", [key])  # noqa: S608  # no input in it
    lists = f"SELECT {identifier('price_list_id')} FROM ({lists_sql(accounts, territories, channels)}) AS lists"  # noqa: S608  # as above
    buckets.update(f"account:{account.hex()}" for (account,) in held)
    buckets.update(f"stock:{location.hex()}" for _, location in worked if location is not None)
    buckets.update(f"pricelist:{price_list.hex()}" for (price_list,) in await reader.all(lists, [key]))
    return Scope(buckets, frozenset(territory for territory, _ in worked))


class _Kept(msgspec.Struct, frozen=True):
    """A scope and the place in the log that it was read at."""

    scope: Scope
    epoch: UUID
    head: int
    mark: tuple[int, int]


class ScopeCache:
    """The scopes of those who pulled lately, the least recent of which are forgotten."""

    def __init__(self, buckets_max: int = KEPT_BUCKETS_MAX) -> None:
        self._buckets_max = buckets_max
        self._buckets = 0
        self._kept: OrderedDict[Holder, _Kept] = OrderedDict()

    async def scope(self, reader: Reader, holder: Holder, head: Head) -> Scope:
        """What `read_scope` would say on the reader's snapshot, whose head is given."""
        kept = self._kept.get(holder)
        if kept is not None and await _still_holds(reader, kept, head):
            scope = kept.scope
        else:
            scope = await read_scope(reader, holder)
        self._keep(holder, scope, head)
        return scope

    def _keep(self, holder: Holder, scope: Scope, head: Head) -> None:
        known = self._kept.get(holder)
        if head.mark is None or (known is not None and known.epoch == head.epoch and known.head > head.head):
            return
        if known is not None:
            self._buckets -= len(known.scope.buckets)
        self._kept[holder] = _Kept(scope, head.epoch, head.head, head.mark)
        self._kept.move_to_end(holder)
        self._buckets += len(scope.buckets)
        while self._buckets > self._buckets_max:
            _, oldest = self._kept.popitem(last=False)
            self._buckets -= len(oldest.scope.buckets)


async def _still_holds(reader: Reader, kept: _Kept, head: Head) -> bool:
    """Whether this is the same log, and nothing in it since has touched what scopes are made of."""
    if kept.epoch != head.epoch or not max(head.floor, head.head - COMMITS_LOOKED_THROUGH_MAX) <= kept.head <= head.head:
        return False
    if kept.head == head.head:
        return kept.mark == head.mark
    touched = " OR ".join(
        f"EXISTS (SELECT 1 FROM change_log l WHERE l.entity = {entity} AND l.change = c.change)"  # noqa: S608  # no input in it
        for entity in SCOPE_ENTITIES
    )
    # A log that was restored by hand to before `kept.head` and grew again has another commit there.
    sql = f"""
        SELECT 1 FROM change_commit k WHERE k.commit_seq = $1 AND k.change = $3 AND k.committed_at_ms = $4
           AND NOT EXISTS (SELECT 1 FROM change_commit c WHERE c.commit_seq > $1 AND c.commit_seq <= $2 AND ({touched}))
    """  # noqa: S608  # no input in it
    return bool(await reader.all(sql, [kept.head, head.head, *kept.mark]))


_caches: WeakKeyDictionary[Database, ScopeCache] = WeakKeyDictionary()


def cache_of(database: Database) -> ScopeCache:
    """The one cache of a database in this process."""
    return _caches.setdefault(database, ScopeCache())
