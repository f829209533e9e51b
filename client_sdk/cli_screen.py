"""What the command line shows: tables for people, JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client_sdk.catalog import OrderView
from client_sdk.cli_text import counted, instant_text, joined, skew_text, words
from client_sdk.draft_view import DraftState, DraftView
from client_sdk.journal import JournalEntry
from client_sdk.outbox import OutboxEntry
from client_sdk.quoting import PriceQuote, StockView
from client_sdk.status import DeviceStatus
from sync_protocol.entities.catalog import Product, ProductStatus
from sync_protocol.entities.customers import Customer, CustomerStatus
from sync_protocol.entities.orders import OrderLine, OrderStatus, PriceSource
from sync_protocol.intents import ManualPrice, QuotedGift, RequestedLine
from sync_protocol.rules.documents import quoted_amount, quoted_totals
from sync_protocol.rules.order_review import OrderDecision
from sync_protocol.rules.pricing.explanation import Obstacle
from sync_protocol.rules.pricing.sentences import OBSTACLES, money_text, per_text, percent_text, price_gap_text, refusal_text
from sync_protocol.values import amount_text
from sync_protocol.verdicts import Change, Code, Outcome, remedy

_PLAIN_WIDTH: Final = 120
_SKEW_MS_MAX: Final = 5 * 60_000
"""How far a clock may be off before its user is told."""

_OUTCOMES: Final = {
    Outcome.ACCEPTED: ("bold green", "ACCEPTED"),
    Outcome.ACCEPTED_WITH_CHANGES: ("bold yellow", "ACCEPTED WITH CHANGES"),
    Outcome.HELD: ("bold magenta", "HELD"),
    Outcome.REJECTED: ("bold red", "REJECTED"),
}

_STATUSES: Final = {
    OrderStatus.DRAFT: "dim",
    OrderStatus.SUBMITTED: "cyan",
    OrderStatus.HELD: "magenta",
    OrderStatus.CONFIRMED: "green",
    OrderStatus.COMPLETED: "default",
    OrderStatus.REFUSED: "red",
    OrderStatus.CANCELLED: "red",
}


class Subject(NamedTuple):
    """What a verdict is about: its title, the currency of its prices, and the product of each line by the line's id."""

    title: str
    currency: str = ""
    lines: Mapping[UUID, str] = MappingProxyType({})


class Screen:
    """Where a command answers. With `as_json` only `data` says something, and all it says is one JSON value."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            # A pipe has no width; a fixed one keeps tables whole and lines the same everywhere.
            self.console = Console(highlight=False, width=_PLAIN_WIDTH)

    def data(self, value: Any) -> None:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], empty: str) -> None:
        """Rows under headings; a heading that starts with `>` is over numbers. `empty` is said where there are no rows."""
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            right = column.startswith(">")
            table.add_column(column.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        if table.row_count:
            self.console.print(table)
        else:
            self.say(empty, "dim")

    def products(self, products: Iterable[Product]) -> None:
        rows = [(product.sku, product.name, _product_state(product)) for product in products]
        self.table(("SKU", "Product", ""), rows, "Nothing found. Try fewer letters, or sync first.")

    def customers(self, customers: Iterable[Customer]) -> None:
        rows = [(customer.code, customer.name, _customer_state(customer), customer.note) for customer in customers]
        self.table(("Code", "Customer", "State", "Note"), rows, "No such customer here. Try fewer letters, or sync first.")

    def price(self, product: Product, customer: Customer, quote: PriceQuote) -> None:
        self.say(f"{product.name} ({product.sku}) for {customer.name}")
        unit_price = per_text(quote.unit_price, quote.per_quantity, quote.currency)
        self.console.print(
            Text.assemble(f"{quote.quantity:,} at {unit_price} = ", (amount_text(quote.amount_minor, quote.currency), "bold"))
        )
        self.say(
            f"from price list {quote.price_list}, for {quote.min_quantity:,} or more, as of {instant_text(quote.as_of_ms)}", "dim"
        )
        gap, refusal = price_gap_text(quote.explanation, quote.currency), refusal_text(quote.explanation)
        if gap:
            self.say(gap, "green")
        if refusal:
            self.say(f"It cannot be bought so: {refusal}", "red")

    def stock(self, product: Product, views: Iterable[StockView]) -> None:
        self.say(f"{product.name} ({product.sku})")
        rows = [
            (
                f"{view.location_name} ({view.location_code})",
                f"{view.on_hand:,}",
                f"{view.allocated:,}",
                f"{view.pending:,}",
                f"{view.available:,}",
                instant_text(view.as_of_ms),
            )
            for view in views
        ]
        self.table(
            ("Location", ">There", ">Promised", ">In my orders", ">Free", "As of"), rows, "No stock location of yours has it."
        )

    def order(self, view: OrderView, customer: str, products: Mapping[UUID, Product]) -> None:
        order = view.order
        state = Text(words(order.status), _STATUSES.get(order.status, "default"))
        waiting = ", waiting to be sent" if view.is_unsent else ", decided: see the journal" if view.pending else ""
        hold = f" ({words(order.hold_code)})" if order.hold_code else ""
        self.console.print(Text.assemble((order.number, "bold"), f" for {customer}: ", state, hold, waiting))
        rows = [_order_line(line, order.currency, products) for line in view.lines]
        columns = ("SKU", "Product", ">Quantity", ">Price", ">Off", ">Amount", ">Tax", "")
        self.table(*without_empty(columns, rows), "It has no lines.")
        self.total(order.tax_minor, order.total_minor, order.currency)
        remark = joined((order.purchase_order_number and f"PO {order.purchase_order_number}", order.note, order.reason))
        if remark:
            self.say(remark, "dim")

    def total(self, tax_minor: int, total_minor: int, currency: str) -> None:
        """What something comes to in all, and how much of it is tax."""
        tax = f", {amount_text(tax_minor, currency)} of it tax" if tax_minor else ""
        self.console.print(Text.assemble("Total ", (amount_text(total_minor, currency), "bold"), tax))

    def foretold(self, decision: OrderDecision) -> None:
        """What the device expects the server to decide; nothing where it expects no more than a plain yes."""
        if decision.outcome is not Outcome.ACCEPTED:
            style, label = _OUTCOMES[decision.outcome]
            self.console.print(Text.assemble("As far as this device knows it will be ", (label.lower(), style), "."))
            for code in decision.codes:
                self.say(f"    {remedy(code)}", "italic")

    def orders(self, views: Iterable[OrderView], customers: Mapping[UUID, Customer]) -> None:
        rows = [
            (
                view.order.number,
                instant_text(view.order.captured_at_ms),
                customers[view.order.customer_id].name if view.order.customer_id in customers else "",
                Text(words(view.order.status), _STATUSES.get(view.order.status, "default")),
                amount_text(view.order.total_minor, view.order.currency),
                "to send" if view.is_unsent else "decided" if view.pending else view.order.reason,
            )
            for view in views
        ]
        self.table(("Number", "Captured", "Customer", "Status", ">Total", ""), rows, "No orders.")

    def verdict(self, entry: JournalEntry, subject: Subject) -> None:
        """What the server decided, then each change of a line, before and after, then what to do about it."""
        style, label = _OUTCOMES[entry.verdict.outcome]
        self.console.print(Text.assemble((label, style), f"  {_act(entry.kind)} ", (subject.title, "bold")))
        for change in entry.verdict.changes:
            self.console.print(Text.assemble("    ", *change_text(change, subject)))
        if entry.verdict.detail:
            self.say(f"    {entry.verdict.detail}", "dim")
        for said in entry.verdict.remedies():
            self.say(f"    {said}", "italic")

    def requested(self, entry: JournalEntry, currency: str, products: Mapping[UUID, Product]) -> None:
        """What an intent asked for; without prices where the currency went with its order."""
        rows = [_requested_line(line, currency, products) for line in entry.lines]
        rows += [_gift(gift, products) for gift in entry.gifts]
        columns = ("SKU", "Product", ">Quantity", ">Price", ">Amount", ">Tax", "")
        self.table(*without_empty(columns, rows), "It has no lines.")
        if currency:
            totals = quoted_totals(entry.lines, currency)
            self.total(totals.tax_minor, totals.total_minor, currency)

    def drafts(self, drafts: Iterable[DraftView], whose: Mapping[UUID, str]) -> None:
        rows = [
            (
                draft.number or "",
                instant_text(draft.updated_at_ms),
                whose[draft.order_id],
                Text("returned by the server", "red") if draft.state is DraftState.RETURNED else Text(draft.state.value),
                counted(len(draft.lines), "line"),
                amount_text(draft.total_minor, draft.currency),
            )
            for draft in drafts
        ]
        self.table(("Number", "Edited", "Customer", "State", ">Lines", ">Total"), rows, "No drafts.")

    def outbox(self, entries: Iterable[OutboxEntry]) -> None:
        rows = [
            (
                instant_text(entry.captured_at_ms),
                _act(entry.kind),
                entry.summary.removeprefix(entry.kind).strip(),
                f"{counted(entry.attempts, 'attempt')}: {entry.problem}" if entry.problem else "",
            )
            for entry in entries
        ]
        self.table(("Captured", "Act", "Of", "Problem"), rows, "Nothing waits to be sent.")

    def status(self, status: DeviceStatus, store: str) -> None:
        identity = status.identity
        who = (
            f"{identity.user_name} ({identity.role}), numbers {identity.number_prefix}-…" if identity else "nobody yet: enrol first"
        )
        unsent = counted(status.outbox_count, "act")
        oldest = f", the oldest of {instant_text(status.oldest_unsent_ms)}" if status.oldest_unsent_ms else ""
        rows = [
            ("Device of", who),
            ("Server", identity.server_url if identity else "none yet"),
            ("As of", instant_text(status.as_of_ms)),
            ("Holds", f"{counted(status.products, 'product')}, {counted(status.customers, 'customer')}"),
            ("Unsent", f"{unsent}{oldest}"),
            ("File", store),
        ]
        if abs(status.clock_skew_ms or 0) > _SKEW_MS_MAX:
            rows.append(("Clock", f"{skew_text(status.clock_skew_ms or 0)} the server's: set it right, orders carry its time"))
        if status.trouble is not None:
            trouble = status.trouble
            when = f"; next try {instant_text(trouble.next_try_ms)}" if trouble.next_try_ms is not None else ""
            failed = f"{counted(trouble.failures, 'try', 'tries')} failed since {instant_text(trouble.since_ms)}"
            rows.append(("Sync", f"{failed}: {trouble.detail}{when}"))
        for name, value in rows:
            self.console.print(Text.assemble((f"{name:<10}", "bold"), value))


def change_text(change: Change, subject: Subject) -> list[str | tuple[str, str]]:
    """One change as pieces of text: the line's product, what it is about, and before → after."""
    product = subject.lines.get(change.line_id) if change.line_id else None
    place = f"{product}: " if product else ""
    if change.code is Code.NO_PRICE and change.after in OBSTACLES:
        return [place, (OBSTACLES[Obstacle(str(change.after))], "bold")]
    if change.before is None and change.after is None:
        return [place, (words(change.code), "bold")]
    before, after = (_value(change.code, value, subject.currency) for value in (change.before, change.after))
    if change.before is None:
        return [place, f"{words(change.code)} → ", (after, "bold")]
    said = _CHANGES.get(change.code, f"{words(change.code)} {{}} → ").format(before)
    if change.after is None:
        return [place, (said.partition(",")[0].removesuffix(" → "), "bold")]
    return [place, said, (after + _AFTERWARDS.get(change.code, ""), "bold")]


_CHANGES: Final = {
    Code.BACKORDERED: "{} ordered → ",
    Code.GIFTS_CHANGED: "{} given for nothing → ",
    Code.PRICE_HONOURED: "would come to {} now, and stays at → ",
    Code.QUANTITY_NOT_SOLD: "{} cannot be bought, the nearest that can → ",
    Code.ORDER_BELOW_MINIMUM: "the goods come to {}, and must come to → ",
}
"""How a change begins whose code in words would not say what its values are."""
_AFTERWARDS: Final = {Code.BACKORDERED: " follow later"}
_AMOUNTS: Final = {Code.AMOUNT_CHANGED, Code.TAX_CHANGED, Code.PRICE_HONOURED, Code.ORDER_BELOW_MINIMUM}


def _value(code: Code, value: int | str | None, currency: str) -> str:
    """A value of a change, in the unit that its code says."""
    if isinstance(value, int) and code is Code.PRICE_CHANGED:
        return per_text(value, 1, currency)
    return money_text(value, currency) if isinstance(value, int) and code in _AMOUNTS else str(value)


def without_empty(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """A table without those columns that say nothing in any row."""
    kept = [place for place, title in enumerate(columns) if not title or not rows or any(row[place] for row in rows)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _order_line(line: OrderLine, currency: str, products: Mapping[UUID, Product]) -> tuple[str, ...]:
    off = line.discount_minor + line.order_discount_minor
    return (
        *_product(line.product_id, products),
        f"{line.quantity:,}",
        per_text(line.unit_price, line.per_quantity, currency),
        amount_text(off, currency) if off else "",
        amount_text(line.amount_minor, currency),
        amount_text(line.tax_minor, currency) if line.tax_minor else "",
        joined(
            (
                "for nothing" if line.price_source is PriceSource.GIFT else "",
                "by hand" if line.price_source is PriceSource.MANUAL else "",
                f"{line.backordered:,} follow later" if line.backordered else "",
            )
        ),
    )


def _requested_line(line: RequestedLine, currency: str, products: Mapping[UUID, Product]) -> tuple[str, ...]:
    return (
        *_product(line.product_id, products),
        f"{line.quantity:,}",
        per_text(line.unit_price, line.per_quantity, currency) if currency else "",
        amount_text(quoted_amount(line, currency), currency) if currency else "",
        amount_text(line.tax_minor, currency) if currency and line.tax_minor else "",
        joined((packs_text(line.pack_quantity), by_hand_text(line.manual))),
    )


def _gift(gift: QuotedGift, products: Mapping[UUID, Product]) -> tuple[str, ...]:
    return (*_product(gift.product_id, products), f"{gift.quantity:,}", "", "", "", "for nothing")


def packs_text(pack_quantity: int) -> str:
    """In which packs a line is handled, if in any."""
    return f"in packs of {pack_quantity:,}" if pack_quantity > 1 else ""


def by_hand_text(manual: ManualPrice | None) -> str:
    """What was given by hand, and why."""
    if manual is None:
        return ""
    discount = manual.discount_basis_points if manual.unit_price is None else None
    return f"by hand{f', {percent_text(discount, 2)} off' if discount is not None else ''}: {manual.reason}"


def _act(kind: str) -> str:
    """The name of an intent as words: `SubmitOrder` is «submit order»."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()


def _product(product_id: UUID, products: Mapping[UUID, Product]) -> tuple[str, str]:
    """Its SKU and its name."""
    product = products.get(product_id)
    return (product.sku, product.name) if product is not None else ("", "not on this device")


def _product_state(product: Product) -> Text:
    return Text("discontinued", "red") if product.status is ProductStatus.DISCONTINUED else Text("")


def _customer_state(customer: Customer) -> Text:
    return Text(words(customer.status), "" if customer.status is CustomerStatus.ACTIVE else "magenta")
