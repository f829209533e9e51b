"""The front door to one draft."""

from collections.abc import Callable
from uuid import UUID

from client_sdk import catalog, draft_view, drafts, submitting
from client_sdk.catalog import OrderView
from client_sdk.clock import Surroundings
from client_sdk.draft_view import DraftLine, DraftView
from client_sdk.store import Store
from client_sdk.wanted import WantedLine
from sync_protocol.intents import ManualPrice
from sync_protocol.rules.order_review import OrderDecision


class OrderDraft:
    """An order in the making. Every method saves before it returns."""

    def __init__(self, store: Store, surroundings: Surroundings, order_id: UUID, submitted: Callable[[], None]) -> None:
        self._store = store
        self._surroundings = surroundings
        self._submitted = submitted
        self.order_id = order_id

    async def add_line(
        self, product_id: UUID, quantity: int, *, pack_quantity: int = 1, manual: ManualPrice | None = None
    ) -> DraftLine:
        """Add `quantity` base units of a product, in packs of so many, and return the line, priced. Raises OrderingError."""
        wanted = WantedLine(product_id, quantity, pack_quantity, manual)
        return await self._store.write(drafts.add_line, self.order_id, wanted, self._surroundings)

    async def set_quantity(self, line_id: UUID, quantity: int) -> None:
        """Raises OrderingError."""
        await self._store.write(drafts.set_quantity, self.order_id, line_id, quantity, self._surroundings)

    async def set_pack(self, line_id: UUID, pack_quantity: int) -> None:
        """Say in which pack a line is handled, 1 for none. Raises OrderingError."""
        await self._store.write(drafts.set_pack, self.order_id, line_id, pack_quantity, self._surroundings)

    async def set_manual(self, line_id: UUID, manual: ManualPrice | None) -> None:
        """Give a line a discount or a unit price by hand, or take that back; a rep may. Raises OrderingError."""
        await self._store.write(drafts.set_manual, self.order_id, line_id, manual, self._surroundings)

    async def remove_line(self, line_id: UUID) -> None:
        """Raises OrderingError."""
        await self._store.write(drafts.remove_line, self.order_id, line_id, self._surroundings)

    async def set_note(self, note: str) -> None:
        """A note to the office. Raises OrderingError."""
        await self._store.write(drafts.set_text, self.order_id, "note", note, self._surroundings)

    async def set_purchase_order_number(self, number: str) -> None:
        """The customer's own number for this order. Raises OrderingError."""
        await self._store.write(drafts.set_text, self.order_id, "purchase_order_number", number, self._surroundings)

    async def view(self) -> DraftView:
        """The draft with its lines, priced now. Raises UnknownRowError."""
        return await self._store.read(draft_view.view, self.order_id, self._surroundings)

    async def preview(self) -> OrderDecision:
        """What the server would decide if it knew just what this device knows. Raises OrderingError."""
        return await self._store.read(submitting.preview, self.order_id, self._surroundings)

    async def submit(self) -> OrderView:
        """Number it and put it into the outbox; from here on it cannot be lost. Raises OrderingError, StoreError."""
        await self._store.write(submitting.submit, self.order_id, self._surroundings)
        self._submitted()
        return await self._store.read(catalog.order, self.order_id)

    async def discard(self) -> None:
        """Throw it away. Raises DraftClosedError where it was submitted."""
        await self._store.write(drafts.discard, self.order_id)
