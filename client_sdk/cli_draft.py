"""How a draft is shown: what each line comes to and why, what offers give, and what is missing to more."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from rich.text import Text

from client_sdk.cli_screen import Screen, by_hand_text, packs_text, without_empty
from client_sdk.cli_text import joined, words
from client_sdk.draft_view import DraftLine, DraftView
from sync_protocol.entities.catalog import Product
from sync_protocol.rules.pricing.explanation import BasketPrice, Fate
from sync_protocol.rules.pricing.sentences import (
    HOLDS,
    minimum_text,
    money_text,
    offer_gap_text,
    per_text,
    price_gap_text,
    refusal_text,
)


def show_draft(screen: Screen, view: DraftView, customer: str, products: Mapping[UUID, Product]) -> None:
    """A draft as it stands now. `products` are those of its gifts."""
    screen.console.print(Text.assemble((view.number or "Not submitted", "bold"), f" for {customer}: {words(view.state)}"))
    rows = [_line(line, view.currency) for line in view.lines]
    columns = ("SKU", "Product", ">Quantity", ">Price", ">Off", ">Amount", ">Tax", "")
    screen.table(*without_empty(columns, rows), "It has no lines.")
    for line in view.lines:
        for text, style in _remarks(line, view.currency):
            screen.say(f"{line.sku}: {text}", style)
    if view.price is not None:
        _show_offers(screen, view.price, products)
        screen.total(view.price.tax_minor, view.price.total_minor, view.currency)
        minimum = minimum_text(view.price)
        if minimum:
            screen.say(f"It cannot be ordered so: {minimum}", "red")


def _line(line: DraftLine, currency: str) -> tuple[str, ...]:
    price = line.explanation
    off = price.discount_minor + price.order_discount_minor if price is not None else 0
    return (
        line.sku,
        line.name,
        f"{line.quantity:,}",
        per_text(line.unit_price, line.per_quantity, currency) if line.unit_price is not None else "none",
        money_text(off, currency) if off else "",
        money_text(line.amount_minor, currency) if line.amount_minor is not None else "",
        money_text(price.tax_minor, currency) if price is not None and price.tax_minor else "",
        joined((packs_text(line.pack_quantity), by_hand_text(line.manual))),
    )


def _remarks(line: DraftLine, currency: str) -> Iterator[tuple[str, str]]:
    """What stands in the way of a line, who must agree to it, and what is missing to a better price, each with its style."""
    price = line.explanation
    if price is None:
        return
    refusal, gap = refusal_text(price), price_gap_text(price, currency)
    if refusal:
        yield f"cannot be bought so: {refusal}", "red"
    for hold in price.holds:
        yield f"will be held: {HOLDS[hold]}", "magenta"
    if gap and not refusal:
        yield gap, "green"


def _show_offers(screen: Screen, price: BasketPrice, products: Mapping[UUID, Product]) -> None:
    for offer in price.offers:
        gap = offer_gap_text(offer.gap, price.currency)
        off = f"{money_text(offer.amount_minor, price.currency)} off" if offer.amount_minor else ""
        if offer.fate is Fate.GIVEN:
            screen.say(f"Offer {offer.code}: {joined((off or 'given', gap))}", "green")
        elif gap:
            screen.say(f"Offer {offer.code}: {gap}", "dim")
    for gift in price.gifts:
        product = products.get(gift.product_id)
        named = f"{product.sku} {product.name}" if product is not None else str(gift.product_id)
        screen.say(f"For nothing: {gift.quantity:,} of {named}, by {gift.steps[0].code}", "green")
