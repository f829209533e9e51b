"""The front door to negotiated quotes: asked for, countered, accepted and ordered, all of it without a network."""

from collections.abc import Callable, Sequence
from uuid import UUID

from client_sdk import negotiating, quote_views
from client_sdk.clock import Surroundings
from client_sdk.negotiating import QuoteRequest, WantedQuote
from client_sdk.order_draft import OrderDraft
from client_sdk.quote_views import QuoteView
from client_sdk.store import Store
from sync_protocol.entities.quotes import QuoteStatus


class Quotes:
    """The quotes of this device. Every method saves before it returns; a quote is named by id or number."""

    def __init__(self, store: Store, surroundings: Surroundings, submitted: Callable[[], None]) -> None:
        self._store = store
        self._surroundings = surroundings
        self._submitted = submitted

    async def list(
        self, *, customer_id: UUID | None = None, standing: QuoteStatus | None = None, limit: int = 50
    ) -> Sequence[QuoteView]:
        """Quotes as they stand now, the latest asked for first, those that the server does not know yet among them."""
        return await self._store.read(quote_views.views, customer_id, standing, limit, self._surroundings)

    async def open(self, key: UUID | str) -> QuoteView:
        """A quote with its lines and rounds. Raises UnknownRowError."""
        return await self._store.read(quote_views.view, key, self._surroundings)

    async def request(
        self, customer_id: UUID, lines: Sequence[WantedQuote], *, address_id: UUID | None = None, note: str = ""
    ) -> QuoteView:
        """Ask the office for prices, or for those that are wanted. Raises OrderingError."""
        wanted = QuoteRequest(customer_id, lines, address_id, note)
        return await self._shown(await self._store.write(negotiating.request, wanted, self._surroundings))

    async def counter(self, key: UUID | str, lines: Sequence[WantedQuote], *, note: str = "") -> QuoteView:
        """Ask for other goods or prices, in place of all lines. Raises OrderingError."""
        return await self._shown(await self._store.write(negotiating.counter, key, lines, note, self._surroundings))

    async def accept(self, key: UUID | str) -> QuoteView:
        """Take what is offered: from here on it can be ordered. Raises QuoteRanOutError, OrderingError."""
        return await self._shown(await self._store.write(negotiating.accept, key, self._surroundings))

    async def withdraw(self, key: UUID | str, *, reason: str = "") -> QuoteView:
        """Give up what is not accepted yet. Raises OrderingError."""
        return await self._shown(await self._store.write(negotiating.withdraw, key, reason, self._surroundings))

    async def order(self, key: UUID | str) -> OrderDraft:
        """A draft of an accepted quote at its prices, or the one that was begun; to be submitted as any other.

        A line whose quantity or product is changed may not reach the agreed price any more: the draft says what it costs.
        Raises QuoteRanOutError, QuoteUsedUpError, OrderingError.
        """
        order_id = await self._store.write(negotiating.order, key, self._surroundings)
        return OrderDraft(self._store, self._surroundings, order_id, self._submitted)

    async def _shown(self, quote_id: UUID) -> QuoteView:
        self._submitted()
        return await self.open(quote_id)
