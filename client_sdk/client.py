"""The front door: the only class that an application touches.

Everything but `enrol` and `sync` works with no network. Amounts are minor units, unit prices ten-thousandths of the
major unit, quantities base units, instants milliseconds since 1970-01-01 UTC.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from client_sdk import catalog, draft_view, drafts, health, journal, ordering, outbox, overlay, quoting, wipe
from client_sdk.catalog import OrderView
from client_sdk.clock import Clock, IdSource, Surroundings, SystemClock, SystemTimer, Timer
from client_sdk.draft_view import DraftView
from client_sdk.engine import Engine, take_identity
from client_sdk.entries import checked
from client_sdk.errors import DeviceWipedError, InvalidEntryError, RoadbookError, StoreError, SyncStalledError
from client_sdk.events import Listener, Listeners, ReplicaDamaged, SyncProgress, SyncReport, Verification
from client_sdk.follow import POLL_SECONDS, Follower, Ports, running
from client_sdk.journal import JournalEntry
from client_sdk.live import Hint, LiveEndpoint
from client_sdk.order_draft import OrderDraft
from client_sdk.ordering import NewCustomer
from client_sdk.outbox import OutboxEntry
from client_sdk.quotes import Quotes
from client_sdk.quoting import PriceQuote, StockView
from client_sdk.reading import open_store
from client_sdk.reporting import stall_report
from client_sdk.rows import fetch_rows
from client_sdk.state import Identity, Incarnation, checkpoint, require_identity
from client_sdk.status import DeviceStatus, device_status
from client_sdk.store import Store
from client_sdk.transport import HttpEndpoint
from client_sdk.wanted import WantedLine
from sync_protocol.entities.catalog import Pack, Product
from sync_protocol.entities.customers import Address, Contact, Customer, Territory
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.rules.pricing.explaining import Explained
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.table import Names
from sync_protocol.values import normal_text
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import PAGE_ROWS_MAX, EnrolRequest
from sync_protocol.wire.version import PROTOCOL_VERSION

EndpointFor = Callable[[str, str], SyncEndpoint]


class OrderClient:
    """A device: its replica, its outbox and the way to its server. Make it with `open`."""

    def __init__(
        self, store: Store, surroundings: Surroundings, endpoint_for: EndpointFor, page_rows: int, listeners: Listeners
    ) -> None:
        self._store = store
        self._surroundings = surroundings
        self._endpoint_for = endpoint_for
        self._endpoints: dict[tuple[str, str], SyncEndpoint] = {}
        self._listeners = listeners
        self._engine = Engine(store, self._endpoint, surroundings, listeners.tell, page_rows)
        self._follower: Follower | None = None

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        time_zone: str = "UTC",
        clock: Clock | None = None,
        ids: IdSource | None = None,
        endpoint_for: EndpointFor | None = None,
        page_rows: int = PAGE_ROWS_MAX,
        inline: bool = False,
        timer: Timer | None = None,
        reads_anyway: bool = False,
    ) -> Self:
        """Open the device's file, creating or migrating it.

        `time_zone` is the IANA zone that orders are captured in. The rest is for tests: another clock, other ids, an
        endpoint in place of the network, smaller pages, another timer, and `inline` to run SQLite in the caller's thread.
        A device that was told to erase itself goes on erasing first. With `reads_anyway` a disk without room, or one that
        fails to write, is no error: what is here can be read, and all that saves something raises it until this is opened anew.
        Such a client has the file for itself until it is closed: another program that opens it meanwhile is told StoreBusyError.
        Raises StoreError, and InvalidEntryError for an unknown zone.
        """
        _require_zone(time_zone)
        the_clock = clock or SystemClock()
        wipe.resume(str(path))
        listeners = Listeners()

        def make(kind: Callable[..., Store], at: Path | str) -> Store:
            return kind(at, inline=inline, mend=overlay.rebuild, on_damage=lambda cause: listeners.tell(ReplicaDamaged(cause)))

        store = await open_store(path, make, reads_anyway=reads_anyway)
        surroundings = Surroundings(the_clock, ids or IdSource(the_clock), time_zone, timer or SystemTimer())
        return cls(store, surroundings, endpoint_for or HttpEndpoint, page_rows, listeners)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the file and the connections. Nothing needs to be saved: everything is."""
        for endpoint in self._endpoints.values():
            if isinstance(endpoint, HttpEndpoint):
                await endpoint.close()
        self._store.close()

    def _endpoint(self, identity: Identity) -> SyncEndpoint:
        key = (identity.server_url, identity.token)
        if key not in self._endpoints:
            self._endpoints[key] = self._endpoint_for(*key)
        return self._endpoints[key]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be told of verdicts, new checkpoints and changes of scope; returns the way to stop it."""
        return self._listeners.subscribe(listener)

    async def enrol(self, server_url: str, code: str, device_name: str) -> Identity:
        """Make this a device of the user whom the code was made for.

        Raises EnrolmentRefusedError, ServerUnreachableError, BadReplyError, AppTooOldError, StoreTakenError, InvalidEntryError
        for an address, a code or a name that is none, and DeviceWipedError while the server has not heard yet that this device has
        erased itself.
        """
        _require_address(server_url)
        request = checked(EnrolRequest(protocol_version=PROTOCOL_VERSION, code=code, device_name=normal_text(device_name)))
        if not await wipe.confirm(self._store.path, self._endpoint_for):
            raise DeviceWipedError
        endpoint = self._endpoint_for(server_url.rstrip("/"), "")
        try:
            enrolment = await endpoint.enrol(request)
        finally:
            if isinstance(endpoint, HttpEndpoint):
                await endpoint.close()
        identity = Identity(
            server_url=server_url.rstrip("/"),
            device_id=enrolment.device_id,
            device_name=request.device_name,
            token=enrolment.token,
            user_id=enrolment.user_id,
            user_name=enrolment.user_name,
            role=enrolment.role,
            number_prefix=enrolment.number_prefix,
            rep_id=enrolment.rep_id,
            customer_id=enrolment.customer_id,
            wipe_lock=enrolment.wipe_lock,
        )
        await self._store.write(take_identity, identity, Incarnation(enrolment.incarnation, enrolment.incarnation))
        return identity

    async def sync(self, progress: Callable[[SyncProgress], None] | None = None) -> SyncReport:
        """Send what waits and fetch what is new.

        `progress` is called from a worker thread. Raises DeviceWipedError, NotEnrolledError, ServerError, ServerUnreachableError,
        BadReplyError, StoreError; whatever came through before stays.
        """
        try:
            report = await self._sync_or_erase(progress or (lambda _: None))
        except (StoreError, DeviceWipedError):
            raise
        except RoadbookError as error:
            await self._store.write(health.note_failure, error, self._surroundings.clock.now_ms(), None)
            raise
        if await self._store.read(health.current) is not None:
            await self._store.write(health.note_success)
        return report

    async def verify(self) -> Verification:
        """Sync, compare all that is here with the server's own rows, and repair what differs: some seconds on a large device.

        Raises what `sync` raises, ReplicaDiffersError and BeyondAppError.
        """
        await self.sync()
        return await self._engine.verify()

    async def _sync_or_erase(self, progress: Callable[[SyncProgress], None]) -> SyncReport:
        if wipe.pending(self._store.path) is not None:
            await wipe.confirm(self._store.path, self._endpoint_for)
            raise DeviceWipedError
        try:
            return await self._engine.sync(progress)
        except DeviceWipedError:
            await wipe.confirm(self._store.path, self._endpoint_for)
            raise

    def follower(self, *, poll_seconds: float = POLL_SECONDS) -> Follower:
        """What keeps this device synced while its `run` is awaited: sends what is submitted, fetches what the server hints at.

        Where hints are lost it asks every `poll_seconds` at the latest. What goes wrong is told as SyncFailed, SyncStalled and
        SyncResumed to those who `subscribe`, and never raised.
        """
        ports = Ports(
            sync=lambda: self._sync_or_erase(lambda _: None),
            listen=self._listen,
            is_news=self._is_news,
            note_stall=self._note_stall,
            tell=self._listeners.tell,
        )
        self._follower = Follower(ports, self._store, self._engine.flow, self._surroundings, poll_seconds)
        return self._follower

    @asynccontextmanager
    async def follow(self, *, poll_seconds: float = POLL_SECONDS) -> AsyncIterator[Follower]:
        """Keep this device synced for as long as the context is open, as `follower` says.

        Where that can go on no more the context ends. Raises DeviceWipedError.
        """
        follower = self.follower(poll_seconds=poll_seconds)
        try:
            async with running(follower):
                yield follower
        finally:
            self._follower = None

    def _nudge(self) -> None:
        if self._follower is not None:
            self._follower.nudge()

    async def _listen(self) -> AsyncIterator[bytes] | None:
        identity = await self._store.read(require_identity)
        endpoint = self._endpoint(identity)
        return endpoint.live(identity.device_id) if isinstance(endpoint, LiveEndpoint) else None

    async def _is_news(self, hint: Hint) -> bool:
        at = await self._store.read(checkpoint)
        return hint.epoch != at.epoch or hint.head > at.cursor

    def _note_stall(self, error: SyncStalledError) -> None:
        self._engine.problem = stall_report(error, error.since_ms)

    async def search(self, text: str, *, limit: int = 20) -> list[Product]:
        """Products whose SKU, name, variant or barcode have every word of `text` as a beginning; as you type."""
        return await self._store.read(catalog.search, text, limit)

    async def product(self, key: UUID | str) -> Product:
        """A product by id, SKU or barcode. Raises UnknownRowError."""
        return await self._store.read(catalog.product, key)

    async def packs(self, product_id: UUID) -> list[Pack]:
        """The pack sizes of a product, the smallest first."""
        return await self._store.read(fetch_rows, Pack, "product_id = ? ORDER BY quantity_in_base", product_id.bytes)

    async def customers(self, text: str = "", *, limit: int = 50) -> list[Customer]:
        """Customers whose name or code contains `text`."""
        return await self._store.read(catalog.customers, text, limit)

    async def customer(self, key: UUID | str) -> Customer:
        """A customer by id or code. Raises UnknownRowError."""
        return await self._store.read(catalog.customer, key)

    async def addresses(self, customer_id: UUID) -> list[Address]:
        """Where a customer takes goods and invoices."""
        return await self._store.read(fetch_rows, Address, "customer_id = ? ORDER BY label", customer_id.bytes)

    async def contacts(self, customer_id: UUID) -> list[Contact]:
        """The people at a customer."""
        return await self._store.read(fetch_rows, Contact, "customer_id = ? ORDER BY name", customer_id.bytes)

    async def territories(self) -> list[Territory]:
        """All territories of the company."""
        return await self._store.read(fetch_rows, Territory, "true ORDER BY code")

    async def price(self, customer_id: UUID, product_id: UUID, quantity: int = 1, *, pack_quantity: int = 1) -> PriceQuote | None:
        """The price for a customer as of the last sync, or None where it has none. Raises UnknownRowError, InvalidEntryError."""
        wanted = WantedLine(product_id, quantity, pack_quantity)
        return await self._store.read(quoting.quote, customer_id, wanted, self._surroundings)

    async def explain(self, customer_id: UUID, lines: Sequence[WantedLine], *, address_id: UUID | None = None) -> Explained:
        """What lines would cost a customer together, and why. Raises OrderingError."""
        return await self._store.read(quoting.explained, customer_id, list(lines), address_id, self._surroundings)

    async def names(self, price: BasketPrice) -> Names:
        """What the rows are called that an answer names, such as the price of a draft. Raises UnknownRowError."""
        return await self._store.read(quoting.names_of, price)

    async def stock(self, product_id: UUID) -> list[StockView]:
        """Stock as of the last sync, less what waits in this device's own orders."""
        return await self._store.read(quoting.stock_of, product_id)

    async def draft_order(self, customer_id: UUID, *, address_id: UUID | None = None) -> OrderDraft:
        """Begin an order. Raises UnknownRowError, NotEnrolledError."""
        order_id = await self._store.write(drafts.create, customer_id, address_id, self._surroundings)
        return OrderDraft(self._store, self._surroundings, order_id, self._nudge)

    async def drafts(self) -> list[DraftView]:
        """Drafts that can be edited, the latest edited first; those that the server returned among them."""
        return await self._store.read(ordering.all_drafts, self._surroundings)

    async def draft(self, order_id: UUID) -> OrderDraft:
        """Go on with a draft. Raises UnknownRowError."""
        await self._store.read(draft_view.view, order_id, self._surroundings)
        return OrderDraft(self._store, self._surroundings, order_id, self._nudge)

    @property
    def quotes(self) -> Quotes:
        """Negotiated quotes: ask for prices, answer offers, order what was agreed."""
        return Quotes(self._store, self._surroundings, self._nudge)

    async def orders(
        self, *, customer_id: UUID | None = None, status: OrderStatus | None = None, limit: int = 50
    ) -> list[OrderView]:
        """Orders as this device shows them, the latest first, its own unsent ones among them."""
        return await self._store.read(catalog.orders, customer_id, status, limit)

    async def order(self, key: UUID | str) -> OrderView:
        """An order by id or number. Raises UnknownRowError."""
        return await self._store.read(catalog.order, key)

    async def amend_order(
        self, order_id: UUID, lines: Sequence[WantedLine | tuple[UUID, int]], *, note: str | None = None
    ) -> OrderView:
        """Ask for other lines: products with base units, in packs or by hand where a line says so. Raises OrderingError."""
        await self._store.write(ordering.amend, order_id, [WantedLine(*line) for line in lines], note, self._surroundings)
        self._nudge()
        return await self.order(order_id)

    async def cancel_order(self, order_id: UUID, *, reason: str = "") -> OrderView:
        """Ask for an order to be cancelled. Raises OrderingError."""
        await self._store.write(ordering.cancel, order_id, reason, self._surroundings)
        self._nudge()
        return await self.order(order_id)

    async def create_customer(self, new: NewCustomer) -> Customer:
        """Take a prospect on the road; orders for it can be taken at once. Raises OrderingError."""
        customer_id = await self._store.write(ordering.create_customer, new, self._surroundings)
        self._nudge()
        return await self.customer(customer_id)

    async def outbox(self) -> list[OutboxEntry]:
        """What waits for a verdict, in the order in which it was made."""
        return await self._store.read(outbox.entries)

    async def journal(self, *, limit: int = 100, subject_id: UUID | None = None) -> list[JournalEntry]:
        """Verdicts, the newest first; of one order or customer where asked."""
        return await self._store.read(journal.entries, limit, subject_id)

    async def status(self) -> DeviceStatus:
        """How this device is."""
        return await self._store.read(device_status)


def _require_zone(time_zone: str) -> None:
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidEntryError(f"time_zone: {time_zone!r} is no IANA zone such as Europe/Amsterdam") from error


def _require_address(server_url: str) -> None:
    try:
        parts = urlsplit(server_url)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        is_address = False
    if not is_address:
        raise InvalidEntryError(f"server_url: {server_url!r} is no address such as https://orders.example.com")
