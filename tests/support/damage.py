"""Damage done to a device's replica, and a wire that notes what is asked to repair it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from client_sdk import OrderClient
from client_sdk.errors import RequestTooLargeError
from client_sdk.events import Event
from server.sync.errors import RangeTooLargeError
from sync_protocol.entities import SYNCED
from sync_protocol.entities.catalog import Product
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import DeviceReport, RangesReply, RangesRequest, RepairRequest, ReportReply
from tests.support.device_files import look_into
from tests.support.faults import FaultyEndpoint, UnreportedEndpoint
from tests.support.world import World, make_id

PRODUCT = make_id(102)
ENTRY = make_id(10_004)
FAKE = make_id(99_999)


FAKED_PRICE = "price_list_id, product_id, 500, 1, 1, 0, NULL"
WRITTEN = {
    "a lost row": (f"DELETE FROM price_entry WHERE id = x'{ENTRY.hex}'", ENTRY, "price_entry"),
    "an extra row": (
        f"INSERT INTO price_entry SELECT 3, 77, x'{FAKE.hex}', {FAKED_PRICE} FROM price_entry LIMIT 1",
        FAKE,
        "price_entry",
    ),
    "a corrupted row": (f"UPDATE price_entry SET unit_price = 7, checksum = 5 WHERE id = x'{ENTRY.hex}'", ENTRY, "price_entry"),
}
"""What whoever wrote it wrote through the triggers, so that the sums show it."""

PRODUCT_FIELDS = ", ".join(Product.__struct_fields__[2:])
FAKED = f"SELECT commit_seq, checksum, x'{FAKE.hex}', 'FAKE', {PRODUCT_FIELDS}"
UNSEEN = {
    "a corrupted row": (f"UPDATE product SET name = 'Prxduct' WHERE id = x'{PRODUCT.hex}'",),
    "a lost row": (f"DELETE FROM product WHERE id = x'{PRODUCT.hex}'",),
    "an extra row": (f"INSERT INTO product (commit_seq, checksum, id, sku, {PRODUCT_FIELDS}) {FAKED} FROM product LIMIT 1",),
}
"""What a disk does, so that only the rows themselves show it."""


class Wire(UnreportedEndpoint):
    """A wire that notes what is asked over it; `before` is called before each request for ranges or a repair."""

    def __init__(self, inner: SyncEndpoint, log: "Log") -> None:
        super().__init__(inner)
        self._log = log

    async def ranges(self, request: RangesRequest) -> RangesReply:
        self._log.ranges.append(request)
        await self._log.before("ranges")
        return self._log.spoil_ranges(await super().ranges(request))

    async def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        self._log.repairs.append(request)
        await self._log.before("repair")
        try:
            body = b"".join([piece async for piece in super(UnreportedEndpoint, self).repair(request)])
        except RangeTooLargeError as error:
            raise RequestTooLargeError(error.status, error.code, str(error)) from error  # as it comes over HTTP
        yield self._log.spoil_page(body)

    async def report(self, report: DeviceReport) -> ReportReply:
        self._log.reports.append(report)
        return await FaultyEndpoint.report(self, report)


class Log:
    """What went over a device's wires, and what is done to it."""

    def __init__(self) -> None:
        self.ranges: list[RangesRequest] = []
        self.repairs: list[RepairRequest] = []
        self.reports: list[DeviceReport] = []
        self.events: list[Event] = []
        self.before: Callable[[str], Any] = self._nothing
        self.spoil_page: Callable[[bytes], bytes] = lambda body: body
        self.spoil_ranges: Callable[[RangesReply], RangesReply] = lambda reply: reply

    async def _nothing(self, _what: str) -> None:
        return

    def repaired(self) -> list[tuple[str, int]]:
        """The ranges that travelled."""
        return [(each.bucket, each.range) for request in self.repairs for each in request.ranges]

    def told(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def enrolled(world: World, path: Path, log: Log) -> OrderClient:
    client = await world.enrolled_device("rep0", path, wrap=lambda endpoint: Wire(endpoint, log))
    client.subscribe(log.events.append)
    await client.sync()
    assert (log.ranges, log.repairs) == ([], []), "nothing differs after a first sync"
    return client


async def reopened(world: World, path: Path, log: Log) -> OrderClient:
    client = await world.open_device(path, wrap=lambda endpoint: Wire(endpoint, log))
    client.subscribe(log.events.append)
    return client


def damage(path: Path, *statements: str, unseen: bool = False) -> None:
    """Do something to the replica as no sync would; `unseen` keeps the triggers from it, as a disk does."""
    connection = look_into(path)
    try:
        triggers = connection.execute("SELECT name, sql FROM replica.sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers if unseen else ():
            connection.execute(f"DROP TRIGGER replica.{name}")
        for statement in statements:
            connection.execute(statement)
            assert connection.changes(), statement
        for name, sql in triggers if unseen else ():
            connection.execute(str(sql).replace(f"CREATE TRIGGER {name}", f"CREATE TRIGGER replica.{name}", 1))
    finally:
        connection.close()


def rows_of(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Every row of the replica with its checksum, and what is kept of them."""
    connection = look_into(path)
    try:
        held: dict[str, set[tuple[Any, ...]]] = {}
        for synced in SYNCED:
            names = ", ".join(("checksum", *synced.row.__struct_fields__))
            held[synced.name] = set(connection.execute(f"SELECT {names} FROM {synced.name}").fetchall())
        held["range_sum"] = set(connection.execute("SELECT * FROM range_sum WHERE rows <> 0").fetchall())
        return held
    finally:
        connection.close()


def file_of(device: OrderClient) -> Path:
    return Path(device._store.path)


def pricelist(world: World) -> str:
    return f"pricelist:{world.company.price_lists[0].id.hex}"
