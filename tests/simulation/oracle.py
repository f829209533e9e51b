"""What must be, worked out from the authoritative tables by plain SQL and plain Python; it shares no code with the product.

After every commit of the server the oracle reads all tables through a connection of its own and keeps them, so that a
replica can be compared with the server at the replica's cursor, however long ago that was.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from tests.simulation.quotes_oracle import check_quotes
from tests.simulation.trace import require

Row = tuple[Any, ...]
Tables = dict[str, list[Row]]

SYNCED_TABLES = (
    *("unit", "category", "product", "pack", "stock_location", "price_list", "price_entry", "territory", "rep"),
    *("customer", "address", "contact", "stock_level", "sales_order", "sales_order_line", "number_series"),
    *("segment", "segment_member", "price_list_assignment", "customer_price_list", "agreed_price", "product_quantity_rule"),
    *("list_quantity_rule", "discount_limit", "price_floor", "promotion", "promotion_audience", "promotion_target"),
    *("promotion_tier", "promotion_exclusion", "promotion_customer", "promotion_use", "tax_rate", "tax_exemption"),
    *("sales_order_promotion", "negotiated_quote", "negotiated_quote_line", "negotiated_quote_round"),
)
VERSIONS = ("commit_seq", "checksum")
"""What a device's table has beside the columns that travel."""


_TOO_LATE = """
    SELECT 1 FROM intent_record r JOIN device d ON d.id = r.device_id
     WHERE r.received_at_ms > d.revoked_at_ms AND NOT EXISTS (SELECT 1 FROM quarantined_intent q WHERE q.id = r.id)
"""


class Columns:
    """The columns that travel, as an empty device has them, and where each stands."""

    def __init__(self, names: dict[str, tuple[str, ...]]) -> None:
        self.names = names
        self.place = {table: {name: place for place, name in enumerate(columns)} for table, columns in names.items()}

    def of(self, table: str, row: Row, column: str) -> Any:
        return row[self.place[table][column]]


class Snapshot:
    """The server's tables right after one commit."""

    def __init__(self, columns: Columns, connection: sqlite3.Connection, epoch: bytes, head: int) -> None:
        self.columns, self.epoch, self.head = columns, epoch, head
        self.tables: Tables = {
            table: connection.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY id").fetchall()
            for table, names in columns.names.items()
        }
        self.assignments: list[Row] = connection.execute("SELECT rep_id, territory_id FROM rep_territory").fetchall()
        self.handed_over: list[Row] = connection.execute("SELECT customer_id, from_territory_id FROM handover_customer").fetchall()
        self.hands_over = bool(connection.execute("SELECT 1 FROM handover LIMIT 1").fetchall())
        self._by_id: dict[str, dict[bytes, Row]] = {}

    def by_id(self, table: str) -> dict[bytes, Row]:
        if table not in self._by_id:
            self._by_id[table] = {row[0]: row for row in self.tables[table]}
        return self._by_id[table]

    def value(self, table: str, row_id: bytes | None, column: str) -> Any:
        """A column of a row, None where there is no such row."""
        row = self.by_id(table).get(row_id) if row_id is not None else None
        return self.columns.of(table, row, column) if row is not None else None

    def column(self, table: str, name: str) -> list[Any]:
        place = self.columns.place[table][name]
        return [row[place] for row in self.tables[table]]

    def among(self, table: str, name: str, allowed: Iterable[Any]) -> list[Row]:
        """The rows whose column is one of these."""
        place, wanted = self.columns.place[table][name], set(allowed)
        return [row for row in self.tables[table] if row[place] in wanted]

    def view(self, rep_id: bytes) -> Tables:
        """All that a rep's replica holds at this moment, in order of id (I-3)."""
        territories = {territory for rep, territory in self.assignments if rep == rep_id}
        customers = self.among("customer", "territory_id", territories)
        accounts = {row[0] for row in customers}
        worked = self.among("territory", "id", territories)
        lists = {self.columns.of("territory", row, "price_list_id") for row in worked}
        lists |= {self.columns.of("customer", row, "price_list_id") for row in customers}
        own_lists = self.among("customer_price_list", "customer_id", accounts)
        lists |= {self.columns.of("customer_price_list", row, "price_list_id") for row in own_lists}
        lists |= self.assigned(territories, accounts)
        places = {self.columns.of("territory", row, "stock_location_id") for row in worked}
        by_list = ("price_entry", "list_quantity_rule")
        special = {"customer", "price_list", "stock_level", "number_series", *by_list}
        own = {table for table in self.tables if table not in special and "customer_id" in self.columns.place[table]}
        return {
            **{table: rows for table, rows in self.tables.items() if table not in special | own},
            **{table: self.among(table, "customer_id", accounts) for table in own},
            **{table: self.among(table, "price_list_id", lists) for table in by_list},
            "customer": customers,
            "price_list": self.among("price_list", "id", lists),
            "stock_level": self.among("stock_level", "stock_location_id", places),
            "number_series": self.among("number_series", "holder_id", {rep_id}),
        }

    def assigned(self, territories: set[bytes], accounts: set[bytes]) -> set[bytes]:
        """The lists of assignments that may some day concern a rep who works these territories and has these accounts."""
        lists = set()
        for row in self.tables["price_list_assignment"]:
            names = ("price_list_id", "segment_id", "channel", "territory_id")
            price_list, segment, channel, only = (self.columns.of("price_list_assignment", row, name) for name in names)
            where = territories if only is None else territories & {only}
            if segment is not None:
                grouped = self.among("segment_member", "segment_id", [segment])
                members = {self.columns.of("segment_member", each, "customer_id") for each in grouped}
                fits = any(self.value("customer", each, "territory_id") in where for each in members & accounts)
            else:
                fits = only is None or bool(where)
            if fits and channel in {None, "rep"}:
                lists.add(price_list)
        return lists

    def terms(self, customer_id: bytes, rep_id: bytes | None) -> set[bytes | None]:
        """Whose terms hold for an order of a rep: the territory's; where that is no longer the rep's, also one it came from."""
        territory = self.value("customer", customer_id, "territory_id")
        if (rep_id, territory) in set(self.assignments):
            return {territory}
        return {territory, *(before for customer, before in self.handed_over if customer == customer_id)}

    def agreed(self, customer_id: bytes, product_id: bytes, quantity: int) -> set[int]:
        """What accepted quotes promise a customer for so many, used up or not."""
        of_product = self.among("agreed_price", "product_id", [product_id])
        names = ("customer_id", "min_quantity", "unit_price")
        promised = [tuple(self.columns.of("agreed_price", row, name) for name in names) for row in of_product]
        return {price for customer, least, price in promised if customer == customer_id and least <= quantity}

    def price(self, customer_id: bytes, territory: bytes | None, product_id: bytes, quantity: int) -> int | None:
        """What a customer pays for one in a territory, in ten-thousandths of the major unit; None where it has no price (I-8)."""
        candidates = (
            self.value("customer", customer_id, "price_list_id"),
            self.value("territory", territory, "price_list_id"),
        )
        lists = [each for each in candidates if each is not None]
        currency = self.value("price_list", lists[0], "currency") if lists else ""
        of_product = self.among("price_entry", "product_id", [product_id])
        for each in lists:
            if self.value("price_list", each, "currency") != currency:
                continue
            names = ("price_list_id", "min_quantity", "unit_price")
            entries = [tuple(self.columns.of("price_entry", row, name) for name in names) for row in of_product]
            reached = [(least, price) for place, least, price in entries if place == each and least <= quantity]
            if reached:
                return max(reached, key=lambda entry: entry[0])[1]
        return None


class Record(tuple[bytes, str, bytes, str, int, bytes]):
    """An intent that was decided: verdict, kind, subject, outcome, place in the log, body."""

    __slots__ = ()
    verdict = property(lambda self: self[0])
    kind = property(lambda self: self[1])
    subject = property(lambda self: self[2])
    outcome = property(lambda self: self[3])
    commit_seq = property(lambda self: self[4])
    body = property(lambda self: self[5])


class History:
    """The server's past, commit by commit, and what no commit may do."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.snapshots: dict[tuple[bytes, int], list[Snapshot]] = {}
        self.latest: Snapshot | None = None
        self.records: dict[bytes, Record] = {}
        self.forgotten: dict[bytes, Record] = {}
        self.is_forgetting = False
        self.ever: dict[bytes, set[bytes]] = {}
        self.commits = 0
        self._decided_now: set[bytes] = set()

    def at(self, epoch: bytes, cursor: int) -> list[Snapshot]:
        """What was ever at a place, the latest last: a server that is restored by hand writes into places that were lost."""
        return self.snapshots.get((epoch, cursor), [])

    def note_commit(self, connection: sqlite3.Connection) -> None:
        """Read what the commit left and check it against what was before."""
        self.commits += 1
        epoch, head = connection.execute("SELECT epoch, head FROM change_head").fetchone()
        before = self.latest
        self._take_records(connection, head if before is not None else None)
        if before is not None and (before.epoch, before.head) == (epoch, head):
            self._check_orders(before, before)
            return
        self.latest = now = Snapshot(self.columns, connection, epoch, head)
        self.snapshots.setdefault((epoch, head), []).append(now)
        if before is not None:
            require(now.epoch != before.epoch or now.head > before.head, "I-4", "the log went back")
            self._check_stock(before, now)
            self._check_orders(before, now)
            check_quotes(now)

    def restart_from(self, connection: sqlite3.Connection) -> None:
        """The server was restored: what it has now is what it knows, whatever was before."""
        before, self.latest, self.records, self.forgotten = self.forgotten, None, {}, {}
        self.note_commit(connection)
        assert self.latest is not None
        orders = self.latest.by_id("sales_order")
        self.forgotten = {key: each for key, each in before.items() if key not in self.records and each.subject in orders}

    def _take_records(self, connection: sqlite3.Connection, head: int | None) -> None:
        sql = "SELECT id, verdict, kind, subject_id, outcome, commit_seq, body FROM intent_record WHERE verdict <> x''"
        self._decided_now.clear()
        found = {row[0]: Record(row[1:]) for row in connection.execute(sql)}
        for intent_id, record in self.records.items():
            if self.is_forgetting and intent_id not in found:
                self.forgotten[intent_id] = record
                continue
            require(found.get(intent_id, ("",))[0] == record.verdict, "I-2", "a verdict never changes, and is not forgotten before")
        for intent_id in self.forgotten.keys() & found.keys():
            require(found[intent_id].outcome == "rejected", "I-2", "what was decided and forgotten is not decided a second time")
        for intent_id, record in found.items():
            is_placed = head is None or intent_id in self.records or record.commit_seq == head
            require(is_placed, "I-4", "an intent has its place in the log where its effect has")
            if intent_id not in self.records:
                self._decided_now.add(record.subject)
            self.ever.setdefault(intent_id, set()).add(record.verdict)
        self.records = found
        require(not connection.execute(_TOO_LATE).fetchall(), "I-5", "what a revoked device sends has no effect")

    def _check_stock(self, before: Snapshot, now: Snapshot) -> None:
        """I-7: what levels have allocated is what the lines of orders have; an order never promises what is not there."""
        promised: dict[tuple[bytes, bytes], int] = {}
        place = now.columns.place["sales_order_line"]
        for line in now.tables["sales_order_line"]:
            location = now.value("sales_order", line[place["order_id"]], "stock_location_id")
            key = (location, line[place["product_id"]])
            promised[key] = promised.get(key, 0) + line[place["allocated"]]
        place = now.columns.place["stock_level"]
        for level in now.tables["stock_level"]:
            key = (level[place["stock_location_id"]], level[place["product_id"]])
            on_hand, allocated = level[place["on_hand"]], level[place["allocated"]]
            require(allocated == promised.get(key, 0), "I-7", "what levels have allocated is what lines have")
            earlier = before.value("stock_level", level[0], "allocated") or 0
            require(allocated <= max(on_hand, earlier), "I-7", "no order promises more than there is")

    def _check_orders(self, before: Snapshot, now: Snapshot) -> None:
        lines: dict[bytes, list[Row]] = {}
        place = now.columns.place["sales_order_line"]
        for line in now.tables["sales_order_line"]:
            lines.setdefault(line[place["order_id"]], []).append(line)
        known = before.by_id("sales_order")
        for order in now.tables["sales_order"]:
            if known.get(order[0]) != order or order[0] in self._decided_now:
                self._check_order(now, order, lines.get(order[0], []))
            if self._decided(before, order):
                self._check_prices(now, order, lines.get(order[0], []))

    def _check_order(self, now: Snapshot, order: Row, lines: list[Row]) -> None:
        """I-2: an order is what exactly its accepted intents made of it; I-8: at the prices of the moment."""
        known = self.records | self.forgotten
        taken = [record for record in known.values() if record.subject == order[0] and record.outcome != "rejected"]
        submitted = sum(record.kind == "SubmitOrder" for record in taken)
        bodies = [msgspec.msgpack.decode(record.body) for record in taken if record.kind in {"SubmitOrder", "AmendOrder"}]
        bodies.sort(key=lambda body: body.get("revision", -1))
        amended = len(bodies) - submitted
        cancels = [record.outcome for record in taken if record.kind == "CancelOrder"]
        cancelled = len(cancels) - cancels.count("held")  # a former rep's is held: the order is the new one's to cancel
        require(cancelled == len(cancels) or now.hands_over, "I-2", "a cancellation is held for a new rep, and there is none")
        require(submitted == 1, "I-2", f"an order has one submission that was taken, this has {submitted}")
        revision = now.columns.of("sales_order", order, "revision")
        require(revision == amended, "I-2", f"{amended} amendments were taken, the order is at revision {revision}")
        seen = [body["revision"] for body in bodies[1:]]
        require(seen == list(range(amended)), "I-2", f"amendments are of what their users saw, these of revisions {seen}")
        require(cancelled <= 1, "I-2", "an order is cancelled once")
        status = now.columns.of("sales_order", order, "status")
        require((status == "cancelled") == (cancelled == 1), "I-2", f"{cancelled} cancellations were taken, the order is {status}")
        place = now.columns.place["sales_order_line"]
        require(lines, "I-2", "an order is never without its lines")
        named = ("id", "product_id", "quantity")
        asked = {(line["line_id"], line["product_id"], line["quantity"]) for line in bodies[-1]["lines"]}
        has = {tuple(line[place[name]] for name in named) for line in lines}
        require(asked == has, "I-2", "an order has the lines that were asked for last")
        total = sum(line[place["amount_minor"]] for line in lines)
        require(total == now.columns.of("sales_order", order, "subtotal_minor"), "I-2", "an order's lines add up to its total")
        for line in lines:
            exact = line[place["unit_price"]] * line[place["quantity"]]
            require(line[place["amount_minor"]] == (exact + 50) // 100, "I-8", "an amount is price times quantity, rounded once")
            ended = status in {"cancelled", "refused"}
            require(not ended or line[place["allocated"]] == 0, "I-7", "an order that has ended promises nothing")
            missing = line[place["quantity"]] - line[place["allocated"]] - line[place["backordered"]]
            require(ended or missing == 0, "I-7", "what is not promised is backordered")

    def _decided(self, before: Snapshot, order: Row) -> bool:
        """Whether it was decided in this very commit: it is new, or it was amended."""
        return before.value("sales_order", order[0], "revision") != self.columns.of("sales_order", order, "revision")

    def _check_prices(self, now: Snapshot, order: Row, lines: list[Row]) -> None:
        """I-8, for an order that was decided in this very commit."""
        place = now.columns.place["sales_order_line"]
        customer = now.columns.of("sales_order", order, "customer_id")
        territories = now.terms(customer, now.columns.of("sales_order", order, "rep_id"))
        for line in lines:
            wanted = (line[place["product_id"]], line[place["quantity"]])
            due = {now.price(customer, each, *wanted) for each in territories}
            due |= now.agreed(customer, *wanted)  # that no more is bought so than was agreed is asked of quotes
            require(line[place["unit_price"]] in due, "I-8", f"the price is {due}, the order has {line[place['unit_price']]}")
