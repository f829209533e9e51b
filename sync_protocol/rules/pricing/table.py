"""An explanation as plain text, the same on both ends: what was considered, what came of it, and what is missing to more."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sync_protocol.entities.pricing import TaxTreatment
from sync_protocol.rules.pricing.explanation import BasketPrice, LinePrice, Obstacle, OfferStanding, QuantityAnswer, StepKind
from sync_protocol.rules.pricing.sentences import (
    FATES,
    HOLDS,
    OBSTACLES,
    minimum_text,
    money_text,
    offer_gap_text,
    per_text,
    percent_text,
    price_gap_text,
    refusal_text,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INDENT: Final = "  "


class Names(NamedTuple):
    """What the rows of an explanation are called: the customer, products by id, and the codes of lists and agreements."""

    customer: str
    products: Mapping[UUID, str]
    codes: Mapping[UUID, str]


def price_table(price: BasketPrice, names: Names) -> tuple[str, ...]:
    """The lines of the text."""
    at = (_EPOCH + timedelta(milliseconds=price.instant_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    codes = {offer.promotion_id: offer.code for offer in price.offers}
    text = [f"{names.customer} at {at}", "Lists"]
    standings = [(str(each.source), _named(names.codes, each.price_list_id), FATES[each.fate]) for each in price.lists]
    text += _aligned(standings, "") or [f"{_INDENT}none"]
    for line in price.lines:
        text += ("", *_line(line, price.currency, names, codes))
    if price.offers:
        text += ("", "Offers", *_aligned([_offer(each, price.currency) for each in price.offers], "   >"))
    if price.gifts:
        gifts = [
            (f"{gift.quantity:,}", _named(names.products, gift.product_id), f"by {gift.steps[0].code}") for gift in price.gifts
        ]
        text += ("", "Gifts", *_aligned(gifts, ">"))
    return (*text, "", *_totals(price))


def _named(names: Mapping[UUID, str], key: UUID | None) -> str:
    return names.get(key, str(key)) if key is not None else ""


def _aligned(rows: Sequence[Sequence[str]], columns: str) -> list[str]:
    """Rows with their cells below each other, to the right where `columns` has a `>`."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    rights = [place < len(columns) and columns[place] == ">" for place in range(len(widths))]
    laid = (
        [f"{cell:{'>' if right else '<'}{width}}" for cell, width, right in zip(row, widths, rights, strict=True)] for row in rows
    )
    return [f"{_INDENT}{_INDENT.join(row)}".rstrip() for row in laid]


def _line(line: LinePrice, currency: str, names: Names, codes: Mapping[UUID, str]) -> Iterator[str]:
    packs = f" in packs of {line.pack_quantity:,}" if line.pack_quantity > 1 else ""
    price = f" at {per_text(line.unit_price, line.per_quantity, currency)} ({line.source})" if line.unit_price is not None else ""
    yield f"{_named(names.products, line.product_id)}: {line.quantity:,}{packs}{price}"
    candidates = [
        (
            str(each.source),
            _named(names.codes, each.price_list_id or each.rule_id),
            f"from {each.min_quantity:,}",
            per_text(each.unit_price, each.per_quantity, currency),
            FATES[each.fate],
        )
        for each in line.candidates
    ]
    yield from _aligned(candidates, "  >>")
    if line.unit_price is not None:
        yield from _aligned(list(_amounts(line, currency)), " >>")
    yield from _remarks(line, currency, codes)


def _amounts(line: LinePrice, currency: str) -> Iterator[tuple[str, str, str]]:
    """What was added or taken off, and what is left each time."""
    yield "price times quantity", "", money_text(line.gross_minor, currency)
    for step in line.steps:
        what = {StepKind.PROMOTION: "offer", StepKind.MANUAL: "by hand:", StepKind.ORDER_SHARE: "share of the order's offer"}
        yield f"{what[step.kind]} {step.code}", money_text(step.amount_minor, currency), money_text(step.after_minor, currency)
    is_inclusive = line.tax_treatment is TaxTreatment.INCLUSIVE
    yield "net, without the tax in it" if is_inclusive else "net", "", money_text(line.amount_minor, currency)
    for tax in line.taxes:
        what_tax = f"{tax.name} {percent_text(tax.rate_ppm, 4)} of {line.tax_jurisdiction}"
        yield what_tax, money_text(tax.amount_minor, currency), ""
    if line.tax_exemption_id is not None:
        yield "exempt from tax", "", ""
    yield "total", "", money_text(line.total_minor, currency)


def _remarks(line: LinePrice, currency: str, codes: Mapping[UUID, str]) -> Iterator[str]:
    for answer in line.quantities:
        yield f"{_INDENT}{_quantity(answer)}"
    gap = price_gap_text(line, currency)
    if gap:
        yield f"{_INDENT}{gap}"
    for each in line.missed:
        yield f"{_INDENT}missed: {_named(codes, each.promotion_id)} {FATES[each.fate]}"
    for hold in line.holds:
        yield f"{_INDENT}will be held: {HOLDS[hold]}"
    refusal = refusal_text(line)
    if refusal:
        yield f"{_INDENT}cannot be bought: {refusal}"


def _quantity(answer: QuantityAnswer) -> str:
    rules = (
        f"at least {answer.minimum:,}" if answer.minimum is not None else "",
        f"multiples of {answer.multiple:,}" if answer.multiple is not None else "",
        f"unopened packs of {answer.pack:,}" if answer.pack is not None else "",
    )
    nearest = " or ".join(f"{each:,}" for each in (answer.below, answer.above) if each is not None) or "none"
    return (
        f"{answer.strength}: {', '.join(filter(None, rules))}; {'kept' if answer.is_kept else f'not kept, the nearest: {nearest}'}"
    )


def _offer(offer: OfferStanding, currency: str) -> tuple[str, ...]:
    off = money_text(-offer.amount_minor, currency) if offer.amount_minor else ""
    return offer.code, str(offer.phase), FATES[offer.fate], off, offer_gap_text(offer.gap, currency)


def _totals(price: BasketPrice) -> Iterable[str]:
    parts = (("Net", price.goods_minor), ("Tax", price.tax_minor), ("Freight", price.freight_minor), ("Total", price.total_minor))
    yield from (
        line.removeprefix(_INDENT)
        for line in _aligned([(what, money_text(amount, price.currency)) for what, amount in parts], " >")
    )
    if price.obstacle is Obstacle.CURRENCY_DIFFERS:
        yield f"cannot be ordered: {OBSTACLES[price.obstacle]}"
    minimum = minimum_text(price)
    if minimum:
        yield f"cannot be ordered: {minimum}"
