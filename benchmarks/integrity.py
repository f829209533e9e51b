"""What it costs a device to know that it equals its server: at each checkpoint, by a scrub, and for each row that changes.

A check must cost the same however many rows are held: its limit is the same check of a replica of 10,000 rows. The limits
of a scrub and of a recount are reading the same rows without computing anything, that of keeping the sums the same upserts
without the triggers that keep them.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from benchmarks.device import connect
from benchmarks.figures import Figure
from benchmarks.premises import Premises
from client_sdk import integrity
from client_sdk.integrity import Recount
from client_sdk.replica import _upsert_sql
from client_sdk.replica_file import create_tables
from client_sdk.state import Checkpoint, ScopeHeld, load, save
from sync_protocol.entities import BY_NAME, SYNCED
from sync_protocol.replica_schema import finish_sql
from sync_protocol.wire.codec import columns
from sync_protocol.wire.messages import BucketCheck
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.device_files import look_into

FEW_ROWS = 10_000
CHECKED = 16
CHECKS = 200
SCRUBBED_ROWS = 1_000
SCRUBS = 50
CHANGED_ROWS = 10_000
ROUNDS = 5


def run(place: Premises) -> list[Figure]:
    if "integrity" in place.kept:
        return []
    place.kept["integrity"] = True
    many = _copied(place, "many.db", None)
    few = _copied(place, "few.db", FEW_ROWS)
    rows = sum(many.execute(f"SELECT count(*) FROM {synced.name}").get for synced in SYNCED)
    figures = [_check(many, few, rows), _scrub(many), _recount(many, rows), _keep(many, rows)]
    for each in (many, few):
        each.close()
    return figures


def _copied(place: Premises, name: str, rows_max: int | None) -> apsw.Connection:
    """A replica with the device's rows, or so many of each entity, in a file of its own."""
    source = look_into(Path(place.synced_device()))
    target = connect(str(place.folder / name))
    target.execute("PRAGMA secure_delete=ON")
    target.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    target.execute("BEGIN")
    create_tables(target)
    for synced in SYNCED:
        names = ", ".join(columns(synced, PROTOCOL_VERSION))
        limit = "" if rows_max is None else f" LIMIT {rows_max}"
        held = source.execute(f"SELECT {names} FROM {synced.name}{limit}")
        marks = ", ".join("?" * (2 + len(synced.row.__struct_fields__)))
        target.executemany(f"INSERT INTO {synced.name} VALUES ({marks})", held)
    for statement in finish_sql():
        target.execute(statement)
    scope = load(source, ScopeHeld)
    assert scope is not None
    save(target, scope)
    target.execute("COMMIT")
    source.close()
    return target


def _seconds(act: Callable[[], Any], times: int) -> float:
    """The median of a few runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _check(many: apsw.Connection, few: apsw.Connection, rows: int) -> Figure:
    shared = [bucket for (bucket,) in few.execute("SELECT DISTINCT bucket FROM range_sum") if not bucket.startswith("account")]
    private = [bucket for (bucket,) in few.execute("SELECT DISTINCT bucket FROM range_sum") if bucket not in shared]
    checked = (shared + private)[:CHECKED]

    def look(connection: apsw.Connection) -> float:
        held = {bucket: integrity.total(connection, bucket) for bucket in checked}
        checks = [BucketCheck(bucket=bucket, rows=each.rows, checksum=each.checksum) for bucket, each in held.items()]
        assert not integrity.suspects(connection, Checkpoint(), checks)
        return _seconds(lambda: integrity.suspects(connection, Checkpoint(), checks), CHECKS) * 1000

    return Figure(
        budget="integrity",
        what=f"check of {len(checked)} buckets at a checkpoint, {rows:,} rows held",
        engine="device",
        value=look(many),
        unit="ms",
        aim=2.0,
        limit=look(few),
        limit_what=f"the same, at most {FEW_ROWS:,} of each entity held",
        limit_unit="ms",
        cost_max=1.5,
    )


def _scrub(many: apsw.Connection) -> Figure:
    names = ", ".join(BY_NAME["price_entry"].row.__struct_fields__)
    read = f"SELECT rowid, checksum, {names} FROM price_entry WHERE rowid > ? ORDER BY rowid LIMIT {SCRUBBED_ROWS}"
    many.execute("BEGIN")
    seconds = _seconds(lambda: integrity.scrub(many, SCRUBBED_ROWS), SCRUBS)
    many.execute("ROLLBACK")
    return Figure(
        budget="integrity",
        what=f"scrub of {SCRUBBED_ROWS:,} rows",
        engine="device",
        value=seconds * 1000,
        unit="ms",
        aim=10.0,
        limit=_seconds(lambda: many.execute(read, (SCRUBBED_ROWS,)).fetchall(), SCRUBS) * 1000,
        limit_what="reading as many",
        limit_unit="ms",
        cost_max=15,
        note=f"a sync scrubs {integrity.SCRUBBED_ROWS:,} rows, once a minute at most",
    )


def _recount(many: apsw.Connection, rows: int) -> Figure:
    recount = Recount()
    began = time.perf_counter()
    while recount.count_on(many):
        pass
    seconds = time.perf_counter() - began
    assert (recount.rows, recount.places, recount.strays) == (rows, set(), [])
    began = time.perf_counter()
    for synced in SYNCED:
        for _ in many.execute(f"SELECT * FROM {synced.name}"):
            pass
    return Figure(
        budget="integrity",
        what=f"all of {rows:,} rows computed anew, as `verify` does",
        engine="device",
        value=seconds,
        unit="s",
        aim=6.0,
        limit=time.perf_counter() - began,
        limit_what="reading them",
        limit_unit="s",
        cost_max=15,
    )


def _keep(many: apsw.Connection, rows: int) -> Figure:
    """10,000 prices that changed, with the triggers that keep the sums and without them."""
    price = BY_NAME["price_entry"]
    held = many.execute(f"SELECT * FROM price_entry ORDER BY id LIMIT {CHANGED_ROWS}").fetchall()
    triggers = many.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE 'price_entry_sum_%'").fetchall()
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(ROUNDS):
        for is_kept in (True, False):
            changed = [(1_000_000_000 + 2 * number + is_kept, *row[1:]) for row in held]
            many.execute("BEGIN")
            for name, _ in () if is_kept else triggers:
                many.execute(f"DROP TRIGGER {name}")
            began = time.perf_counter()
            many.executemany(_upsert_sql(price, price.name), changed)
            taken[is_kept].append(time.perf_counter() - began)
            many.execute("ROLLBACK")
    return Figure(
        budget="integrity",
        what=f"{len(held):,} changed prices upserted, {rows:,} rows held, their sums kept",
        engine="device",
        value=min(taken[True]) * 1000,
        unit="ms",
        aim=400.0,
        limit=min(taken[False]) * 1000,
        limit_what="the same without sums",
        limit_unit="ms",
        cost_max=1.75,
    )
