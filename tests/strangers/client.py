"""A device by somebody who has docs/PROTOCOL.md, a MessagePack codec, zstd and HTTP, and nothing of ours.

It keeps everything in dictionaries. Names and steps are those of the document, so that a reader can hold one beside the other.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from backports import zstd

PROTOCOL_VERSION = 3
RANGES_OF = ("catalog", "limits", "pricelist", "stock")

Row = dict[str, Any]

# The table of "Entities", as it stands there but for the words around it.
_TABLE = """
1 unit catalog: id code name
2 category catalog: id code name parent_id
3 product catalog: id sku name description unit_id status category_id variant_of_id variant_label barcode tax_code
4 pack catalog: id product_id unit_id quantity_in_base barcode
5 stock_location catalog: id code name
6 price_list pricelist:id id code name currency tax_treatment valid_from_ms valid_until_ms strength minimum_quantity \
multiple_quantity pack_quantity order_minimum_minor
7 price_entry pricelist:price_list_id id price_list_id product_id min_quantity unit_price per_quantity valid_from_ms \
valid_until_ms
8 territory catalog: id code name time_zone price_list_id stock_location_id
9 rep catalog: id code name
10 customer account:id id code name status territory_id price_list_id review_above_minor note tax_code
11 address account:customer_id id customer_id label street postal_code city country region
12 contact account:customer_id id customer_id name role email phone
13 stock_level stock:stock_location_id id product_id stock_location_id on_hand allocated as_of_ms
14 sales_order account:customer_id id number customer_id status channel currency captured_at_ms time_zone received_at_ms \
subtotal_minor tax_minor freight_minor total_minor revision rep_id address_id stock_location_id purchase_order_number \
note hold_code reason priced_at_ms
15 sales_order_line account:customer_id id order_id customer_id line_number product_id quantity unit_price \
discount_basis_points amount_minor allocated backordered per_quantity discount_minor order_discount_minor tax_minor \
tax_rate_ppm tax_code tax_jurisdiction price_source price_rule_id promotion_id quoted_unit_price quoted_amount_minor
16 number_series rep:holder_id id holder_id device_id prefix
17 segment catalog: id code name
18 segment_member account:customer_id id customer_id segment_id valid_from_ms valid_until_ms
19 price_list_assignment catalog: id price_list_id priority exclusivity segment_id channel territory_id valid_from_ms \
valid_until_ms
20 customer_price_list account:customer_id id customer_id price_list_id priority exclusivity address_id valid_from_ms \
valid_until_ms
21 agreed_price account:customer_id id customer_id product_id source reference currency min_quantity unit_price \
per_quantity tax_treatment address_id remaining_quantity valid_from_ms valid_until_ms
22 product_quantity_rule catalog: id product_id strength minimum_quantity multiple_quantity pack_quantity
23 list_quantity_rule pricelist:price_list_id id price_list_id product_id strength minimum_quantity multiple_quantity \
pack_quantity
24 discount_limit limits: id role discount_basis_points rep_id
25 price_floor limits: id product_id currency unit_price
26 promotion catalog: id code name phase kind status priority stacking audience reach exclusive_group currency \
valid_from_ms valid_until_ms value_basis_points value_unit_price value_minor buy_quantity get_quantity repeats_max \
min_amount_minor cap_minor budget_minor spent_minor uses_per_customer
27 promotion_audience catalog: id promotion_id segment_id territory_id channel
28 promotion_target catalog: id promotion_id role product_id category_id quantity
29 promotion_tier catalog: id promotion_id value_basis_points min_quantity min_amount_minor
30 promotion_exclusion catalog: id promotion_id other_id
31 promotion_customer account:customer_id id customer_id promotion_id
32 promotion_use account:customer_id id customer_id promotion_id uses
33 tax_rate catalog: id jurisdiction customer_tax_code product_tax_code name rate_ppm valid_from_ms valid_until_ms
34 tax_exemption account:customer_id id customer_id jurisdiction certificate valid_from_ms valid_until_ms
35 sales_order_promotion account:customer_id id order_id customer_id promotion_id amount_minor
36 negotiated_quote account:customer_id id number customer_id status channel currency requested_at_ms time_zone revision rep_id \
   address_id note answer valid_until_ms order_id
37 negotiated_quote_line account:customer_id id quote_id customer_id line_number product_id quantity per_quantity list_unit_price \
   wanted_unit_price offered_unit_price
38 negotiated_quote_round account:customer_id id quote_id customer_id revision status taken_at_ms taken_by said amount_minor
"""
ENTITIES: dict[str, tuple[int, str, str, list[str]]] = {
    name: (int(number), *bucket.partition(":")[::2], columns)
    for number, name, bucket, *columns in (line.split() for line in _TABLE.strip().splitlines())
}

# "Columns since version 3".
_LATER = """
product tax_code
price_list tax_treatment valid_from_ms valid_until_ms strength minimum_quantity multiple_quantity pack_quantity \
order_minimum_minor
price_entry per_quantity valid_from_ms valid_until_ms
customer tax_code
sales_order priced_at_ms
sales_order_line per_quantity discount_minor order_discount_minor tax_minor tax_rate_ppm tax_code tax_jurisdiction \
price_source price_rule_id promotion_id quoted_unit_price quoted_amount_minor
"""
LATER = {name: columns for name, *columns in (line.split() for line in _LATER.strip().splitlines())}
FIRST_LATER = 17


def is_whole(entity: str, version: int) -> bool:
    """Whether a reader of a version is told all of a row."""
    return version >= 3 or (ENTITIES[entity][0] < FIRST_LATER and entity not in LATER)


class RefusedError(Exception):
    """Problem details, by their code."""

    def __init__(self, code: str, fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def unpack(body: bytes) -> Any:
    return msgspec.msgpack.decode(body)


def digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def new_id(now_ms: int = 0) -> bytes:
    """A UUID of version 7."""
    made = bytearray(now_ms.to_bytes(6, "big") + os.urandom(10))
    made[6], made[8] = made[6] & 0x0F | 0x70, made[8] & 0x3F | 0x80
    return bytes(made)


def canonical_text(entity: str, row: Row) -> bytes:
    number, _, _, columns = ENTITIES[entity]
    parts = []
    for value in (number, *(row[column] for column in columns)):
        if value is None:
            parts.append(b"-,")
            continue
        text = value.hex().encode() if isinstance(value, bytes) else str(value).encode()
        parts.append(b"%d:%s," % (len(text), text))
    return b"".join(parts)


def checksum(entity: str, row: Row) -> int:
    return int.from_bytes(hashlib.md5(canonical_text(entity, row), usedforsecurity=False).digest()[:5], "big")


def bucket_of(entity: str, row: Row) -> str:
    _, kind, key, _ = ENTITIES[entity]
    return f"{kind}:{row[key].hex()}" if key else kind


def range_of(bucket: str, row: Row) -> int:
    return row["id"][15] if bucket.partition(":")[0] in RANGES_OF else 0


class Page:
    """A page, whole, or a ValueError."""

    def __init__(self, body: bytes, device_id: bytes) -> None:
        raw, summed, at = zstd.decompress(body), hashlib.blake2b(digest_size=16), 0
        frames: list[Any] = []
        while at < len(raw):
            end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
            frames.append(unpack(raw[at + 4 : end]))
            if frames[-1]["type"] != "trailer":
                summed.update(raw[at:end])
            at = end
        self.header, *self.chunks, self.trailer = frames
        if (self.header["type"], self.trailer["type"]) != ("header", "trailer") or self.trailer["digest"] != summed.digest():
            raise ValueError("the page is not whole")
        if {self.header["audience"], self.trailer["audience"]} != {device_id} or self.header["epoch"] != self.trailer["epoch"]:
            raise ValueError("the page is somebody else's")
        if sum(len(chunk["rows"]) for chunk in self.chunks if chunk["type"] in {"rows", "gone"}) != self.trailer["rows"]:
            raise ValueError("rows are missing")


class Device:
    """The algorithm of a device. Rows are kept as entity and id: version, checksum as sent, and the fields."""

    def __init__(self, http: httpx2.AsyncClient, now_ms: Callable[[], int], version: int = PROTOCOL_VERSION) -> None:
        self.http, self.now_ms, self.version = http, now_ms, version
        self.token = ""
        self.rows: dict[tuple[str, bytes], tuple[int, int, Row]] = {}
        self.epoch: bytes | None = None
        self.cursor = 0
        self.buckets: tuple[str, ...] = ()
        self.scope_digest: bytes | None = None
        self.place: Row | None = None
        self.decided_place: Row | None = None
        self.outbox: list[Row] = []
        self.journal: dict[bytes, bytes] = {}
        self.receipts: list[Row] = []
        self.proof_id: bytes | None = None
        self.checks: list[Row] = []
        self.next_incarnation = b""
        self.counter = 0

    async def ask(self, path: str, message: Row, media_type: str = "application/vnd.msgpack") -> bytes:
        body = pack(message)
        headers = {"content-type": "application/vnd.msgpack", "roadbook-digest": digest(body).hex()}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        answer = await self.http.post(path, content=body, headers=headers)
        if answer.status_code != 200:
            problem = json.loads(answer.content)
            raise RefusedError(problem["code"], problem.get("fields"))
        if answer.headers["content-type"] != media_type:
            raise ValueError("not a Roadbook server")
        if answer.headers.get("roadbook-digest", digest(answer.content).hex()) != digest(answer.content).hex():
            raise ValueError("the reply is garbled")
        return answer.content

    def who(self) -> Row:
        return {"protocol_version": self.version, "device_id": self.device_id, "incarnation": self.incarnation}

    async def enrol(self, code: str) -> None:
        asked = {"protocol_version": self.version, "code": code, "device_name": "a stranger"}
        self.take_identity(unpack(await self.ask("/sync/enrol", asked)))

    async def fork(self) -> None:
        self.take_identity(unpack(await self.ask("/sync/fork", {**self.who(), "device_name": "a stranger, again"})))

    def take_identity(self, enrolment: Row) -> None:
        self.device_id, self.token, self.incarnation = (enrolment[name] for name in ("device_id", "token", "incarnation"))
        self.prefix, self.rep_id = enrolment["number_prefix"], enrolment.get("rep_id")
        self.next_incarnation, self.counter = b"", 0

    async def hints(self) -> AsyncIterator[Row]:
        """The live stream: what its events say, one after the other."""
        asked = self.http.stream(
            "GET", f"/sync/live?device_id={self.device_id.hex()}", headers={"authorization": f"Bearer {self.token}"}
        )
        async with asked as answer:
            if answer.status_code != 200 or not answer.headers["content-type"].startswith("text/event-stream"):
                raise ValueError("no stream")
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(":")
                if line and name:
                    event[name] = value.strip()
                elif not line:
                    if event.get("event") == "changed":
                        yield json.loads(event["data"])
                    event = {}

    async def begin_with_image(self, image_format: bytes, folder: Path) -> int:
        """Take the image that is offered, in pieces of 5,000 bytes; how many rows it had."""
        offer = unpack(await self.ask("/sync/image", {**self.who(), "image_format": image_format}))["image"]
        file, name = b"", offer["digest"].hex()
        while len(file) < offer["size"]:
            wanted = {"range": f"bytes={len(file)}-{len(file) + 4_999}", "if-range": f'"{name}"'}
            asked = {"authorization": f"Bearer {self.token}", "roadbook-incarnation": self.incarnation.hex(), **wanted}
            path = f"/sync/images/{name}?device_id={self.device_id.hex()}"
            part = await self.http.get(path, headers=asked)
            assert (part.status_code, part.headers["content-type"]) == (206, "application/vnd.roadbook.image")
            file += part.content
        if hashlib.blake2b(file, digest_size=32).digest() != offer["digest"]:
            raise ValueError("the image is not whole")
        path = folder / "image.db"
        path.write_bytes(zstd.decompress(file))
        with closing(sqlite3.connect(path)) as opened:
            said = {key: unpack(value) for key, value in opened.execute("SELECT key, value FROM replica_state")}
            assert (said["epoch"], said["commit_seq"], said["buckets"]) == (offer["epoch"], offer["commit_seq"], offer["buckets"])
            for entity, (*_, columns) in ENTITIES.items():
                names = ["commit_seq", "checksum", *columns]
                for values in opened.execute(f"SELECT {', '.join(names)} FROM {entity}"):
                    self.put(self.rows, entity, dict(zip(names, values, strict=True)))
        self.epoch, self.cursor, self.buckets = offer["epoch"], offer["commit_seq"], tuple(offer["buckets"])
        self.scope_digest, self.place = digest("\n".join(self.buckets).encode()), offer["place"]
        return len(self.rows)

    # Pulling

    async def pull(self, page_rows: int = 50_000) -> int:
        """To the next checkpoint; how many pages it took."""
        self.begin_staging(self.epoch, self.cursor)
        for pages in range(1, 1_000):
            asked = {**self.who(), "epoch": self.staged_epoch, "cursor": self.staged_cursor, "scope_digest": self.staged_digest}
            gained = sorted(self.gained | self.gained_later)
            asked |= {"gained": gained, "position": self.position, "page_rows": page_rows}
            asked |= {"known": known_in(self.staged_epoch, self.staged_place, self.decided_place)}
            page = Page(await self.ask("/sync/pull", asked, "application/vnd.roadbook.page"), self.device_id)
            if self.take_page(page):
                return pages
        raise AssertionError("it does not end")

    def begin_staging(self, epoch: bytes | None, cursor: int) -> None:
        self.staged: dict[tuple[str, bytes], tuple[int, int, Row]] = {}
        self.gone: list[tuple[str, int, bytes]] = []
        self.lost: set[str] = set()
        self.gained: set[str] = set()
        self.gained_later: set[str] = set()
        self.staged_buckets = self.buckets
        self.staged_epoch, self.staged_cursor, self.staged_digest, self.position = epoch, cursor, self.scope_digest, None
        self.afresh = cursor == 0
        self.staged_place = None if self.afresh else self.place

    def take_page(self, page: Page) -> bool:
        """Steps 3 to 7; whether it brought a checkpoint."""
        if page.header.get("resync"):
            self.resync, self.decided_place = page.header["resync"], None
            self.begin_staging(None, 0)
            return False
        for chunk in page.chunks:
            if chunk["type"] == "scope":
                self.take_scope(chunk)
                return False
            self.stage(chunk)
        self.position, self.staged_epoch = page.trailer.get("position"), page.trailer["epoch"]
        self.staged_place = page.trailer.get("head") or self.staged_place
        if self.position is not None:
            return False
        self.staged_cursor = page.trailer["cursor"]
        self.gained, self.gained_later = self.gained_later, set()
        if not page.trailer["complete"] or self.gained:
            return False
        self.move(page.trailer)
        return True

    def take_scope(self, chunk: Row) -> None:
        new, known = set(chunk["buckets"]), set(self.staged_buckets)
        assert chunk["digest"] == digest("\n".join(chunk["buckets"]).encode())
        lost, gained = known - new, new - known
        self.staged = {key: row for key, row in self.staged.items() if bucket_of(key[0], row[2]) not in lost}
        self.lost |= lost
        if not (self.staged_cursor == 0 and self.position is None):
            if self.position is None:
                self.gained |= gained
            else:
                self.gained_later |= gained
        self.staged_buckets, self.staged_digest = tuple(chunk["buckets"]), chunk["digest"]

    def stage(self, chunk: Row) -> None:
        entity = chunk["entity"]
        if entity not in ENTITIES:
            return
        if chunk["type"] == "gone":
            for commit_seq, row_id in chunk["rows"]:
                self.gone.append((entity, commit_seq, row_id))
                if (entity, row_id) in self.staged and self.staged[entity, row_id][0] < commit_seq:
                    del self.staged[entity, row_id]
            return
        for values in chunk["rows"]:
            self.put(self.staged, entity, dict(zip(chunk["columns"], values, strict=True)))

    def move(self, trailer: Row) -> None:
        """Step 7: the checkpoint."""
        held = {} if self.afresh else dict(self.rows)
        for bucket in sorted(set(self.buckets) - set(self.staged_buckets)):
            self.receipts.append(self.receipt(bucket, trailer))
        held = {key: row for key, row in held.items() if bucket_of(key[0], row[2]) not in self.lost}
        for entity, commit_seq, row_id in self.gone:
            if (entity, row_id) in held and held[entity, row_id][0] < commit_seq:
                del held[entity, row_id]
        for key, row in self.staged.items():
            if key not in held or held[key][0] < row[0]:
                held[key] = row
        self.rows, self.epoch, self.cursor = held, trailer["epoch"], trailer["cursor"]
        self.buckets, self.scope_digest, self.place = self.staged_buckets, self.staged_digest, self.staged_place
        self.checks, self.proof_id = trailer.get("checks", []), trailer.get("proof_id")
        self.skew_ms = self.now_ms() - trailer["server_time_ms"]

    def receipt(self, bucket: str, trailer: Row) -> Row:
        sums = self.sums()
        mine = [each for (name, _), each in sums.items() if name == bucket]
        return {
            "id": new_id(),
            "bucket": bucket,
            "rows": sum(rows for rows, _ in mine),
            "checksum": sum(total for _, total in mine),
            "purged_at_cursor": trailer["cursor"],
            "purged_at_ms": trailer["server_time_ms"],
        }

    # Integrity

    def sums(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Of each range: how many rows, and the sum of their checksums, from the fields that are held."""
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for (entity, _), (_, _, row) in self.rows.items():
            bucket = bucket_of(entity, row)
            place = bucket, range_of(bucket, row)
            rows, total = found.get(place, (0, 0))
            found[place] = rows + 1, total + self.checksum(entity, row)
        return found

    def differing_buckets(self) -> list[str]:
        """Buckets that are not what the last checks say."""
        sums, differing = self.sums(), []
        for check in self.checks:
            mine = [each for (name, _), each in sums.items() if name == check["bucket"]]
            if (sum(rows for rows, _ in mine), sum(total for _, total in mine)) != (check["rows"], check["checksum"]):
                differing.append(check["bucket"])
        return differing

    async def differing_ranges(self, buckets: list[str], *, recount: bool = False) -> list[Row]:
        asked = {**self.who(), "epoch": self.epoch, "buckets": buckets, "recount": recount}
        reply = unpack(await self.ask("/sync/ranges", asked))
        assert (reply["audience"], reply["epoch"], reply["cursor"]) == (self.device_id, self.epoch, self.cursor)
        theirs = {(each["bucket"], each["range"]): (each["rows"], each["checksum"]) for each in reply["ranges"]}
        mine = {place: each for place, each in self.sums().items() if place[0] in buckets}
        return [{"bucket": b, "range": r} for b, r in sorted(theirs | mine) if theirs.get((b, r)) != mine.get((b, r))]

    async def repair(self, ranges: list[Row]) -> None:
        asked = {**self.who(), "epoch": self.epoch, "ranges": ranges}
        page = Page(await self.ask("/sync/repair", asked, "application/vnd.roadbook.page"), self.device_id)
        assert (page.trailer["cursor"], page.trailer["complete"]) == (self.cursor, False)
        wanted = {(each["bucket"], each["range"]) for each in ranges}
        for key, (_, _, row) in list(self.rows.items()):
            bucket = bucket_of(key[0], row)
            if (bucket, range_of(bucket, row)) in wanted:
                del self.rows[key]
        for chunk in page.chunks:
            for values in chunk["rows"]:
                self.put(self.rows, chunk["entity"], dict(zip(chunk["columns"], values, strict=True)))

    async def report(self, **said: Any) -> Row:
        message = {**self.who(), "epoch": self.epoch, "cursor": self.cursor, "outbox_count": len(self.outbox)}
        reply: Row = unpack(await self.ask("/sync/report", {**message, "receipts": self.receipts, **said}))
        assert (reply["audience"], reply["epoch"]) == (self.device_id, self.epoch)
        self.receipts = [each for each in self.receipts if each["id"] not in reply["receipt_ids"]]
        return reply

    def checksum(self, entity: str, row: Row) -> int:
        """That of a row which is told whole; another has none."""
        return checksum(entity, row) if is_whole(entity, self.version) else 0

    def put(self, held: dict[tuple[str, bytes], tuple[int, int, Row]], entity: str, row: Row) -> None:
        """A row replaces an older version of itself and no other."""
        version, told, key = row.pop("commit_seq"), row.pop("checksum"), (entity, row["id"])
        assert told == self.checksum(entity, row)
        if key not in held or held[key][0] < version:
            held[key] = version, told, row

    # Intents

    def save(self, kind: str, body: Row, lanes: list[bytes], schema_version: int = 1) -> bytes:
        encoded = pack({"intent": kind, **body})
        envelope = {
            "id": new_id(),
            "kind": kind,
            "schema_version": schema_version,
            "body": encoded,
            "digest": digest(encoded),
            "captured_at_ms": self.now_ms(),
            "time_zone": "Europe/Amsterdam",
            "clock_skew_ms": self.skew_ms,
            "decided_at_cursor": self.cursor,
            "rules_version": 2,
            "lanes": lanes,
        }
        self.outbox.append(envelope)
        return envelope["id"]

    def order(self, customer_id: bytes, product_id: bytes, quantity: int) -> tuple[bytes, bytes]:
        """An order of one line at the price that the rules find; the ids of the order and of its intent."""
        entry, currency = self.price(customer_id, product_id, quantity)
        self.counter += 1
        line = {"line_id": new_id(), "product_id": product_id, "quantity": quantity, "unit_price": entry["unit_price"]}
        order = {
            "order_id": new_id(),
            "number": f"{self.prefix}-{self.counter:06}",
            "customer_id": customer_id,
            "currency": currency,
            "lines": [line],
        }
        return order["order_id"], self.save("SubmitOrder", order, [order["order_id"], customer_id], 2 if self.version >= 3 else 1)

    def price(self, customer_id: bytes, product_id: bytes, quantity: int) -> tuple[Row, str]:
        """The entry of the nearest list with the deepest break, and the currency of the nearest list."""
        customer = self.rows["customer", customer_id][2]
        territory = self.rows["territory", customer["territory_id"]][2]
        lists = [each for each in (customer["price_list_id"], territory["price_list_id"]) if each is not None]
        entries = [row for (entity, _), (_, _, row) in self.rows.items() if entity == "price_entry"]
        fit = [row for row in entries if row["product_id"] == product_id and row["min_quantity"] <= quantity]
        chosen = [row for row in fit if row["price_list_id"] in lists]
        best = min(chosen, key=lambda row: (lists.index(row["price_list_id"]), -row["min_quantity"], row["id"]))
        return best, self.rows["price_list", lists[0]][2]["currency"]

    async def push(self) -> list[Row]:
        """Up to a hundred; the results."""
        batch = self.outbox[:100]
        self.next_incarnation = self.next_incarnation or os.urandom(16)
        asked = {**self.who(), "next_incarnation": self.next_incarnation, "epoch": self.epoch, "intents": batch}
        asked |= {"known": known_in(self.epoch, self.place, self.decided_place)}
        reply = unpack(await self.ask("/sync/push", asked))
        assert reply["audience"] == self.device_id
        assert [each["intent_id"] for each in reply["results"]] == [each["id"] for each in batch]
        self.incarnation, self.next_incarnation = self.next_incarnation, b""
        self.decided_place = reply.get("head") or self.decided_place
        for result in reply["results"]:
            if result["status"] == "decided":
                self.journal[result["intent_id"]] = result["verdict"]
                self.outbox = [each for each in self.outbox if each["id"] != result["intent_id"]]
            elif result["status"] == "conflict":
                next(each for each in self.outbox if each["id"] == result["intent_id"])["id"] = new_id()
        results: list[Row] = reply["results"]
        return results


def known_in(epoch: bytes | None, *places: Row | None) -> list[Row]:
    """The places that are of a log."""
    return [place for place in places if place and epoch in {None, place["epoch"]}]
