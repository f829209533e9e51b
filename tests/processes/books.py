"""The books: what must hold of a server and its devices once faults have ended, asked in plain SQL (I-1, I-2, I-3, I-7)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from client_sdk.replica_file import shown_path
from server.runtime.database import Database
from sync_protocol.entities import SYNCED, Synced
from sync_protocol.wire.codec import decode, intent_of
from sync_protocol.wire.messages import IntentEnvelope
from tests.processes.taking_orders import Saved
from tests.support.change_log import literal
from tests.support.device_files import look_into


def plain(value: Any) -> Any:
    """An id as its sixteen bytes, whatever the engine; anything else as it is."""
    return value.bytes if isinstance(value, UUID) else value


def plain_url(database: Database) -> str:
    """The URL of a database as a setting of the server."""
    return database.url.set(drivername=database.url.get_backend_name()).render_as_string(hide_password=False)


async def ask(database: Database, question: str) -> list[tuple[Any, ...]]:
    """The answer to SQL."""
    async with database.read() as session:
        return [tuple(plain(value) for value in record) for record in await session.execute(sa.text(question))]


def ask_device(path: Path, question: str) -> list[tuple[Any, ...]]:
    """The answer to SQL in a device's file, read as another program would. Opening it recovers what a kill left."""
    connection = look_into(path)
    try:
        return list(connection.execute(question))
    finally:
        connection.close()


async def check_log(database: Database) -> None:
    """The log is dense, everything in it is sealed, and it has exactly the rows that there are."""
    ((head,),) = await ask(database, "SELECT head FROM change_head")
    ((count, first, last),) = await ask(database, "SELECT count(commit_seq), min(commit_seq), max(commit_seq) FROM change_commit")
    assert (count, first, last) == (head, 1, head), "the log has holes"
    assert await ask(database, "SELECT change FROM change_commit WHERE commit_seq IS NULL") == []
    for synced in SYNCED:
        rows = await ask(database, f"SELECT id FROM {synced.name}")
        logged = await ask(database, f"SELECT row_id FROM change_log WHERE entity = {synced.number} AND deleted = 0")
        assert sorted(rows) == sorted(logged), f"the log has other rows of {synced.name} than there are"


async def check_verdicts(database: Database, saved: Sequence[Saved], devices: Iterable[Path]) -> None:
    """Every saved act has exactly one verdict (I-1, I-2); an accepted submission is one order, with a number of its own."""
    records = await ask(database, "SELECT id, kind, subject_id, outcome, length(verdict), commit_seq FROM intent_record")
    ((head,),) = await ask(database, "SELECT head FROM change_head")
    assert all(outcome and size and 0 < seq <= head for _, _, _, outcome, size, seq in records), "a record without its verdict"
    asked = Counter((kind, subject) for _, kind, subject, *_ in records)
    wanted = Counter((each.kind, each.order_id.bytes) for each in saved)
    assert not wanted - asked, f"saved but never decided: {wanted - asked}"
    submitted = {key: count for key, count in asked.items() if key[0] == "SubmitOrder"}
    assert set(submitted.values()) <= {1}, "an order was submitted twice"
    orders = [row for (row,) in await ask(database, "SELECT id FROM sales_order")]
    accepted = {subject for _, kind, subject, outcome, *_ in records if kind == "SubmitOrder" and outcome != "rejected"}
    assert sorted(orders) == sorted(accepted)
    assert await ask(database, "SELECT number FROM sales_order GROUP BY number HAVING count(*) > 1") == []
    known = {intent: outcome for intent, _, _, outcome, *_ in records}
    for path in devices:
        assert ask_device(path, "SELECT count(*) FROM outbox") == [(0,)]
        for intent, outcome in ask_device(path, "SELECT intent_id, outcome FROM journal"):
            assert known[intent] == outcome, "the device was told another verdict than the server holds"


async def check_money_and_stock(database: Database) -> None:
    """Lines add up to their orders; what is allocated is what open lines have promised, and never more than there is (I-7)."""
    torn = """
        SELECT o.number FROM sales_order o LEFT JOIN sales_order_line l ON l.order_id = o.id
         GROUP BY o.id, o.number, o.subtotal_minor, o.total_minor
        HAVING count(l.id) = 0 OR sum(l.amount_minor) <> o.subtotal_minor OR o.subtotal_minor <> o.total_minor
    """
    assert await ask(database, torn) == [], "an order is torn"
    unpromised = """
        SELECT o.number FROM sales_order o JOIN sales_order_line l ON l.order_id = o.id
         WHERE (o.status IN ('held', 'confirmed') AND l.allocated + l.backordered <> l.quantity)
            OR (o.status = 'cancelled' AND l.allocated + l.backordered <> 0)
    """
    assert await ask(database, unpromised) == []
    levels = """
        SELECT s.id, s.allocated, s.on_hand, coalesce((
            SELECT sum(l.allocated) FROM sales_order_line l JOIN sales_order o ON o.id = l.order_id
             WHERE l.product_id = s.product_id AND o.stock_location_id = s.stock_location_id), 0)
          FROM stock_level s
    """
    for _, allocated, on_hand, promised in await ask(database, levels):
        assert allocated == promised
        assert 0 <= allocated <= on_hand


def check_device(path: Path) -> None:
    """The file is whole, and every order in it has all its lines, whatever moment the process was killed at."""
    assert ask_device(path, "PRAGMA integrity_check") == [("ok",)]
    if shown_path(path) is None:
        return
    assert ask_device(path, "PRAGMA replica.integrity_check") == [("ok",)]
    torn = """
        SELECT o.number FROM current_sales_order o LEFT JOIN current_sales_order_line l ON l.order_id = o.id
         GROUP BY o.id HAVING count(l.id) = 0 OR sum(l.amount_minor) <> o.subtotal_minor
    """
    assert ask_device(path, torn) == [], "the device shows a torn order"


def kept_on_device(path: Path) -> Counter[tuple[str, bytes]]:
    """The acts that a device holds, in its outbox or with a verdict, by kind and order; their bytes are whole."""
    held: Counter[tuple[str, bytes]] = Counter()
    for kind, subject, envelope in ask_device(
        path, "SELECT kind, subject_id, envelope FROM outbox UNION ALL SELECT kind, subject_id, envelope FROM journal"
    ):
        intent = intent_of(decode(envelope, IntentEnvelope))
        assert type(intent).__name__ == kind
        held[kind, subject] += 1
    return held


def check_nothing_lost(path: Path, saved: Sequence[Saved]) -> None:
    """Every act that the user saw as saved is in the outbox or has a verdict, whole (I-1)."""
    held = kept_on_device(path)
    lost = Counter((each.kind, each.order_id.bytes) for each in saved) - held
    assert not lost, f"saved and lost: {lost}"
    sizes = {}
    for (envelope,) in ask_device(path, "SELECT envelope FROM outbox UNION ALL SELECT envelope FROM journal"):
        intent = intent_of(decode(envelope, IntentEnvelope))
        if type(intent).__name__ == "SubmitOrder":
            sizes[intent.order_id] = (intent.number, len(intent.lines))
    for each in saved:
        if each.kind == "SubmitOrder":
            assert sizes[each.order_id] == (each.number, each.lines), "a saved order is torn"


async def replica_differences(database: Database, path: Path, rep_id: UUID) -> list[str]:
    """Where a rep's replica is not what SQL finds in the scope, row by row, column by column, version by version (I-3)."""
    found = []
    for synced in SYNCED:
        columns = synced.row.__struct_fields__
        wanted = await ask(database, _scope_sql(database, synced, rep_id))
        held = ask_device(path, f"SELECT commit_seq, {', '.join(columns)} FROM {synced.name}")
        only_server, only_device = Counter(wanted) - Counter(held), Counter(held) - Counter(wanted)
        found += [f"{synced.name}: the server has {row}" for row in only_server]
        found += [f"{synced.name}: the device has {row}" for row in only_device]
    return found


def _scope_sql(database: Database, synced: Synced, rep_id: UUID) -> str:
    """The rows of an entity that a rep may hold: the predicate, written down once more and by hand."""
    rep = literal(database, rep_id)
    territories = f"SELECT territory_id FROM rep_territory WHERE rep_id = {rep}"
    accounts = f"SELECT id FROM customer WHERE territory_id IN ({territories})"
    grouped = f"""
        SELECT 1 FROM segment_member m JOIN customer c ON c.id = m.customer_id
         WHERE m.segment_id = a.segment_id AND c.territory_id IN ({territories})
           AND (a.territory_id IS NULL OR a.territory_id = c.territory_id)
    """
    holdings = {
        "catalog": "",
        "limits": "",
        "account": accounts,
        "pricelist": f"""
            SELECT price_list_id FROM territory WHERE id IN ({territories})
            UNION SELECT price_list_id FROM customer WHERE territory_id IN ({territories})
            UNION SELECT price_list_id FROM customer_price_list WHERE customer_id IN ({accounts})
            UNION SELECT a.price_list_id FROM price_list_assignment a
             WHERE (a.channel IS NULL OR a.channel = 'rep')
               AND (EXISTS ({grouped}) OR a.segment_id IS NULL AND (a.territory_id IS NULL OR a.territory_id IN ({territories})))
        """,
        "stock": f"SELECT stock_location_id FROM territory WHERE id IN ({territories})",
        "rep": rep,
    }
    holding = holdings[synced.bucket.kind]
    where = f"t.{synced.bucket.key} IN ({holding})" if holding else "true"
    return f"""
        SELECT c.commit_seq, {", ".join(f"t.{column}" for column in synced.row.__struct_fields__)} FROM {synced.name} t
          LEFT JOIN change_log l ON l.entity = {synced.number} AND l.row_id = t.id AND l.deleted = 0
          LEFT JOIN change_commit c ON c.change = l.change
         WHERE {where}
    """


class Figures(msgspec.Struct):
    """What a run did, for its one line of report."""

    engine: str
    kills: int
    acts: int
    orders: int
    seconds: float
    seed: int

    def __str__(self) -> str:
        done = f"{self.kills} kills in {self.seconds:.0f} s, {self.acts} acts saved, {self.orders} orders"
        return f"{self.engine}: {done}, seed {self.seed}"
