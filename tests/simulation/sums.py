"""The sums that both ends keep of their rows, worked out anew from the rows alone, as docs/PROTOCOL.md says; no code is shared.

A repair heals in silence whatever a defect does to a replica: so none may happen where nothing was damaged, and at the
end of every run the sums must be those of the rows.
"""

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.simulation.trace import require

if TYPE_CHECKING:
    from tests.simulation.handset import Handset
    from tests.simulation.world import SimulatedWorld

Place = tuple[str, int]
"""A bucket and a range of it."""
Sums = dict[Place, tuple[int, int]]
"""How many rows a place has, and the sum of their checksums."""


class _Kept(NamedTuple):
    """Where the rows of a table count: the table's number, the kind of bucket, the column that names the bucket."""

    number: int
    kind: str
    key: str = ""


_KEPT: Final = {
    "unit": _Kept(1, "catalog"),
    "category": _Kept(2, "catalog"),
    "product": _Kept(3, "catalog"),
    "pack": _Kept(4, "catalog"),
    "stock_location": _Kept(5, "catalog"),
    "price_list": _Kept(6, "pricelist", "id"),
    "price_entry": _Kept(7, "pricelist", "price_list_id"),
    "territory": _Kept(8, "catalog"),
    "rep": _Kept(9, "catalog"),
    "customer": _Kept(10, "account", "id"),
    "address": _Kept(11, "account", "customer_id"),
    "contact": _Kept(12, "account", "customer_id"),
    "stock_level": _Kept(13, "stock", "stock_location_id"),
    "sales_order": _Kept(14, "account", "customer_id"),
    "sales_order_line": _Kept(15, "account", "customer_id"),
    "number_series": _Kept(16, "rep", "holder_id"),
    "segment": _Kept(17, "catalog"),
    "segment_member": _Kept(18, "account", "customer_id"),
    "price_list_assignment": _Kept(19, "catalog"),
    "customer_price_list": _Kept(20, "account", "customer_id"),
    "agreed_price": _Kept(21, "account", "customer_id"),
    "product_quantity_rule": _Kept(22, "catalog"),
    "list_quantity_rule": _Kept(23, "pricelist", "price_list_id"),
    "discount_limit": _Kept(24, "limits"),
    "price_floor": _Kept(25, "limits"),
    "promotion": _Kept(26, "catalog"),
    "promotion_audience": _Kept(27, "catalog"),
    "promotion_target": _Kept(28, "catalog"),
    "promotion_tier": _Kept(29, "catalog"),
    "promotion_exclusion": _Kept(30, "catalog"),
    "promotion_customer": _Kept(31, "account", "customer_id"),
    "promotion_use": _Kept(32, "account", "customer_id"),
    "tax_rate": _Kept(33, "catalog"),
    "tax_exemption": _Kept(34, "account", "customer_id"),
    "sales_order_promotion": _Kept(35, "account", "customer_id"),
    "negotiated_quote": _Kept(36, "account", "customer_id"),
    "negotiated_quote_line": _Kept(37, "account", "customer_id"),
    "negotiated_quote_round": _Kept(38, "account", "customer_id"),
}
_PRIVATE: Final = frozenset({"account", "rep"})
_OF_DEVICE: Final = "SELECT bucket, range, rows, checksum FROM range_sum WHERE rows <> 0 OR checksum <> 0"
_OF_SERVER: Final = """
    SELECT bucket, range, sum(rows), sum(checksum) FROM bucket_sum
     GROUP BY 1, 2 HAVING sum(rows) <> 0 OR sum(checksum) <> 0
"""


def place_of(table: str, row_id: bytes, key: bytes | None) -> Place:
    """Where a row counts; `key` is its value of the column that names the bucket."""
    kept = _KEPT[table]
    bucket = f"{kept.kind}:{key.hex()}" if key is not None and kept.key else kept.kind
    return bucket, 0 if kept.kind in _PRIVATE else row_id[-1]


def key_of(table: str) -> str:
    """The column that names the bucket of a table's rows, empty where all are in one."""
    return _KEPT[table].key


def _checksum(number: int, row: Iterable[Any]) -> int:
    """Forty bits of the MD5 of the row's netstrings."""
    parts = [str(number).encode(), *(_text(value) for value in row)]
    netstrings = (b"-," if part is None else b"%d:%b," % (len(part), part) for part in parts)
    return int(hashlib.md5(b"".join(netstrings), usedforsecurity=False).hexdigest()[:10], 16)


def _text(value: Any) -> bytes | None:
    if value is None:
        return None
    return value.hex().encode() if isinstance(value, bytes) else str(value).encode()


def sums_of(names: dict[str, tuple[str, ...]], tables: dict[str, list[tuple[Any, ...]]]) -> Sums:
    """What these rows count for."""
    sums: Sums = {}
    for table, rows in tables.items():
        kept = _KEPT[table]
        key = names[table].index(kept.key) if kept.key else None
        for row in rows:
            place = place_of(table, row[0], None if key is None else row[key])
            count, summed = sums.get(place, (0, 0))
            sums[place] = count + 1, summed + _checksum(kept.number, row)
    return sums


def check_device_sums(world: "SimulatedWorld", handset: "Handset") -> None:
    """I-3: what a device keeps of its rows is what they are, so that its next comparison is one."""
    if handset.condition.is_older:
        return
    names = world.server.history.columns.names
    tables = {table: handset.query(f"SELECT {', '.join(columns)} FROM {table}") for table, columns in names.items()}
    kept = {(bucket, number): (rows, checksum) for bucket, number, rows, checksum in handset.query(_OF_DEVICE)}
    expected = sums_of(names, tables)
    if handset.condition.excused:  # what damage left of a bucket that is not its any more is put right when it comes again
        own = {bucket for bucket, _ in expected}
        kept = {place: held for place, held in kept.items() if place[0] in own}
    _require_same(expected, kept, "a device's sums are those of its rows")


def check_server_sums(world: "SimulatedWorld") -> None:
    """I-3: so are the server's. Where they were spoiled, those alone that some device has compared are mended by now."""
    latest = world.server.history.latest
    assert latest is not None
    expected = sums_of(world.server.history.columns.names, latest.tables)
    with closing(sqlite3.connect(world.server.path)) as connection:
        kept = {(bucket, number): (rows, checksum) for bucket, number, rows, checksum in connection.execute(_OF_SERVER)}
    if world.sums_are_spoiled:
        compared = {bucket for handset in world.handsets if handset.compares_sums for bucket in _buckets(handset)}
        expected = {place: held for place, held in expected.items() if place[0] in compared}
        kept = {place: held for place, held in kept.items() if place[0] in compared}
    _require_same(expected, kept, "the server's sums are those of its rows")


def _buckets(handset: "Handset") -> set[str]:
    return {bucket for (bucket,) in handset.query("SELECT DISTINCT bucket FROM range_sum WHERE rows <> 0")}


def _require_same(expected: Sums, kept: Sums, what: str) -> None:
    wrong = [(place, expected.get(place), kept.get(place)) for place in sorted({*expected, *kept})]
    wrong = [each for each in wrong if each[1] != each[2]]
    require(not wrong, "I-3", f"{what}: {wrong[:3]}")
