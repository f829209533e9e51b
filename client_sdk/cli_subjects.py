"""What verdicts are about, in words: as the device shows it, or as far as it is still known.

A verdict may come in the sync that takes its customer from this device, and the name of that customer may not stay on it: who
syncs is told it once more, from memory. Later the order's number and its products are what is left.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final
from uuid import UUID

from client_sdk.cli_screen import Screen, Subject
from client_sdk.client import OrderClient
from client_sdk.errors import StoreError, UnknownRowError
from client_sdk.journal import JournalEntry
from client_sdk.outbox import OutboxEntry
from sync_protocol.intents import CreateCustomer
from sync_protocol.values import amount_text
from sync_protocol.verdicts import Outcome

GONE_CUSTOMER = "a customer that is not on this device any more"
_ACCEPTED_MAX: Final = 10_000
_GONE_PRODUCT = "a product that is not on this device any more"


def _is_rejected(entry: JournalEntry) -> bool:
    """Whether it had no effect."""
    return entry.verdict.outcome is Outcome.REJECTED


class Subjects:
    """Of one device, while one command runs."""

    def __init__(self, client: OrderClient) -> None:
        self._client = client
        self._customers: dict[UUID, str] = {}
        self._orders: dict[UUID, tuple[str, UUID]] = {}

    async def remember(self) -> None:
        """Take down, in memory, whom each act is for, as far as that can be read: what is damaged is for the sync to mend.

        After a restore of the server what was accepted is decided anew, too, with customers gone that it was for.
        """
        with suppress(StoreError):
            acts: list[OutboxEntry | JournalEntry] = [*await self._client.outbox()]
            acts += (each for each in await self._client.journal(limit=_ACCEPTED_MAX) if not _is_rejected(each))
            for entry in acts:
                customer_id = entry.customer_id or await self._customer_of_order(entry.subject_id)
                if customer_id is not None and customer_id not in self._customers:
                    await self._name(customer_id)

    async def _customer_of_order(self, order_id: UUID) -> UUID | None:
        """Of an order or a quote."""
        with suppress(UnknownRowError):
            order = (await self._client.order(order_id)).order
            self._orders[order_id] = (order.number, order.customer_id)
            return order.customer_id
        with suppress(UnknownRowError):
            quote = (await self._client.quotes.open(order_id)).quote
            self._orders[order_id] = (quote.number, quote.customer_id)
            return quote.customer_id
        return None

    async def show(self, screen: Screen, entries: Iterable[JournalEntry]) -> None:
        """Each verdict under what it is about."""
        for entry in entries:
            screen.verdict(entry, await self.of(entry))

    async def show_with_lines(self, screen: Screen, entries: Iterable[JournalEntry]) -> None:
        """As `show`, and what each asked for as it was captured: it is passed on, or entered again, from here."""
        for entry in entries:
            subject = await self.of(entry)
            screen.verdict(entry, subject)
            products = {}
            for line in entry.asked:
                with suppress(UnknownRowError):
                    products[line.product_id] = await self._client.product(line.product_id)
            if entry.lines:
                screen.requested(entry, subject.currency, products)

    async def of(self, entry: JournalEntry) -> Subject:
        """An order, one that came back as a draft, a customer, or what the intent itself says."""
        if entry.kind == CreateCustomer.__name__:
            return await self._of_customer(entry)
        with suppress(UnknownRowError):
            return await self._of_order(entry)
        with suppress(UnknownRowError):
            return await self._of_quote(entry)
        return await self._of_intent(entry)

    async def _of_customer(self, entry: JournalEntry) -> Subject:
        try:
            customer = await self._client.customer(entry.subject_id)
        except UnknownRowError:
            # A name stays no longer than the command, but for what may have to be entered again.
            entered = entry.customer_name if _is_rejected(entry) else ""
            return Subject(self._customers.get(entry.subject_id) or entered or GONE_CUSTOMER)
        return Subject(f"{customer.name} ({customer.code})")

    async def _of_order(self, entry: JournalEntry) -> Subject:
        view = await self._client.order(entry.subject_id)
        buyer = await self._name(view.order.customer_id)
        lines = {line.id: await self._product(line.product_id) for line in view.lines}
        total = amount_text(view.order.total_minor, view.order.currency)
        return Subject(f"{view.order.number} for {buyer}, {total}", view.order.currency, lines)

    async def _of_quote(self, entry: JournalEntry) -> Subject:
        view = await self._client.quotes.open(entry.subject_id)
        buyer = await self._name(view.quote.customer_id)
        lines = {line.line_id: await self._product(line.product_id) for line in entry.asked}
        lines |= {line.id: await self._product(line.product_id) for line in view.lines}
        return Subject(f"{view.quote.number} for {buyer}", view.quote.currency, lines)

    async def _of_intent(self, entry: JournalEntry) -> Subject:
        number, customer_id = self._orders.get(
            entry.subject_id, (entry.order_number or entry.quote_number or "", entry.customer_id)
        )
        buyer = await self._name(customer_id) if customer_id is not None else GONE_CUSTOMER
        lines = {line.line_id: await self._product(line.product_id) for line in entry.asked}
        return Subject(f"{number} for {buyer}".strip(), entry.currency, lines)

    async def _name(self, customer_id: UUID) -> str:
        if customer_id not in self._customers:
            try:
                self._customers[customer_id] = (await self._client.customer(customer_id)).name
            except UnknownRowError:
                return GONE_CUSTOMER
        return self._customers[customer_id]

    async def _product(self, product_id: UUID) -> str:
        try:
            product = await self._client.product(product_id)
        except UnknownRowError:
            return _GONE_PRODUCT
        return f"{product.sku} {product.name}"
