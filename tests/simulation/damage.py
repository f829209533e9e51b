"""What a disk, a defect or another program does to a replica and to the server's sums, and what may follow of it.

Where nothing was damaged no device may ever ask for ranges: what a repair would heal is a defect. Where something was, one
range of each is fetched, and nothing beside it.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from client_sdk.replica_file import SCHEMA
from tests.simulation.device import open_as_another
from tests.simulation.plan import Step
from tests.simulation.sums import Place, key_of, place_of
from tests.simulation.trace import ViolationError, require

if TYPE_CHECKING:
    from tests.simulation.handset import Handset
    from tests.simulation.world import SimulatedWorld

_CHANGED: Final = {
    "product": "name = 'Prxduct'",
    "price_entry": "unit_price = unit_price + 7",
    "stock_level": "on_hand = on_hand + 1",
    "contact": "name = 'Nxme'",
    "address": "city = 'Cxty'",
}
"""What becomes of a row of each table that is damaged here."""
KINDS: Final = ("changed", "lost", "extra", "sum")
_COMPARING: Final = frozenset({"/sync/ranges", "/sync/repair"})


class Condition:
    """What is known to be wrong with a device's replica: `places`, in `file`.

    It is `excused` where its sums may differ from the server's for another reason than damage, from then on; `is_older` where
    it has rows that came without checksums.
    """

    def __init__(self, places: Iterable[Place] = (), file: str = "", *, excused: bool = False, is_older: bool = False) -> None:
        self.places, self.file, self.excused, self.is_older = set(places), file, excused, is_older

    def copy(self) -> "Condition":
        """The same, for a copy of the device's files."""
        return Condition(self.places, self.file, excused=self.excused, is_older=self.is_older)

    def asked(self, path: str) -> None:
        """I-3: the device asks the server for this. Raises ViolationError."""
        require(self.excused or self.is_older or path not in _COMPARING, "I-3", "sums differ only where something was damaged")

    def repaired(self, places: set[Place], *, sums_are_spoiled: bool) -> None:
        """I-3: these ranges were replaced. Raises ViolationError."""
        is_only_damage = sums_are_spoiled or places <= self.places
        require(
            self.is_older or (self.excused and is_only_damage),
            "I-3",
            f"only what was damaged is repaired, not {sorted(places - self.places)}",
        )
        self.places -= places


async def damage(world: "SimulatedWorld", handset: "Handset", step: Step) -> None:
    """A row of a replica is changed, lost or made up, or a sum of its is; where its triggers were on, the sums show it."""
    if handset.client is None or handset.is_revoked or not handset.cursor or handset.is_doubtful or handset.condition.is_older:
        return
    ((file,),) = handset.query("SELECT file FROM pragma_database_list WHERE name = ?", SCHEMA)
    kind, is_seen = KINDS[step.pick(0, 4)], step.pick(1, 3) > 0
    with closing(open_as_another(Path(file))) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            place = _damage(connection, kind, step, is_seen=is_seen)
            connection.execute("COMMIT")
        except apsw.BusyError:
            return
    if place is not None:
        condition = handset.condition
        condition.places = {*(condition.places if condition.file == Path(file).name else ()), place}
        condition.file, condition.excused = Path(file).name, True
        world.trace.note("damage", handset.place, kind, is_seen, *place)
        world.trace.saw(f"device: {kind} row" if kind != "sum" else "device: wrong sum")


def _damage(connection: apsw.Connection, kind: str, step: Step, *, is_seen: bool) -> Place | None:
    """Do it in the transaction that is open; the range that it is in, None where the table has no row."""
    table = list(_CHANGED)[step.pick(2, len(_CHANGED))]
    ids = [row_id for (row_id,) in connection.execute(f"SELECT id FROM {table} ORDER BY id")]
    if not ids:
        return None
    row_id = ids[step.pick(3, len(ids))]
    key = connection.execute(f"SELECT {key_of(table)} FROM {table} WHERE id = ?", (row_id,)).get if key_of(table) else None
    place = place_of(table, row_id, key)
    if kind == "sum":
        connection.execute("UPDATE range_sum SET checksum = checksum + 1 WHERE bucket = ? AND range = ?", place)
        return place
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    triggers = [] if is_seen else found
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    if kind == "lost":
        connection.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,))
    elif kind == "changed":
        wrong = ", checksum = checksum + 5" if is_seen else ""
        connection.execute(f"UPDATE {table} SET {_CHANGED[table]}{wrong} WHERE id = ?", (row_id,))
    else:
        new = step.numbers[4].to_bytes(16, "big")
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        selected = ", ".join("?" if column == "id" else column for column in columns)
        into = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected} FROM {table} WHERE id = ?"
        connection.execute(into, (new, row_id))
        place = place_of(table, new, key)
    for _, sql in triggers:
        connection.execute(sql)
    return place


async def spoil_sum(world: "SimulatedWorld", _handset: "Handset", step: Step) -> None:
    """A sum that the server keeps is not that of its rows."""
    with closing(sqlite3.connect(world.server.path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            held = connection.execute("SELECT bucket, range, change FROM bucket_sum WHERE rows > 0 ORDER BY 1, 2, 3").fetchall()
            which = held[step.pick(0, len(held))]
            connection.execute("UPDATE bucket_sum SET checksum = checksum + 1 WHERE bucket = ? AND range = ? AND change = ?", which)
            connection.execute("COMMIT")
        except sqlite3.OperationalError:
            return
    world.sums_are_spoiled = True
    for handset in world.handsets:
        handset.condition.excused = True
    world.trace.saw("server: wrong sum")


async def mend_all(world: "SimulatedWorld") -> None:
    """With faults off: what was damaged is found by a verification at the latest, and the server's sums at a checkpoint."""
    for handset in world.handsets:
        if not handset.is_at_rest or handset.protocol_version == 1:
            continue
        condition = handset.condition
        if condition.places or condition.is_older:
            await handset.verify(is_equal=None)
            condition.places.clear()
            condition.is_older = False
            handset.check_replica()
            for sku, row_id in handset.query("SELECT sku, id FROM product"):
                found = handset.look(handset.client.search(sku)) if handset.client is not None else []
                require(row_id in {each.id.bytes for each in found}, "I-3", "what was repaired is found by its words")
        elif not condition.excused and world.plan.verifies:
            await handset.verify(is_equal=True)


def note_violation(world: "SimulatedWorld", error: ViolationError) -> None:
    """Keep it aside: in the midst of a request the SDK could take it for a failure of the network."""
    world.trace.violation = world.trace.violation or error
