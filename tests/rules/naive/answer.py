"""A second, naive implementation of docs/PRICING.md, written from that page alone.

It imports none of the rules of `sync_protocol`, asks every row for everything, and reckons in fractions; it is as slow as it
is plain. What it answers is what the engine must answer, to the byte.
"""

from fractions import Fraction
from uuid import UUID

import msgspec

from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address, Customer
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import AgreedPrice, DiscountLimit, PriceFloor, Strength, TaxTreatment
from sync_protocol.entities.promotions import PromotionPhase
from sync_protocol.entities.taxes import TaxExemption, TaxRate
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explanation import (
    BasketPrice,
    Gap,
    LinePrice,
    Obstacle,
    OfferStanding,
    PriceHold,
    QuantityAnswer,
    Step,
    StepKind,
    TaxPart,
)
from tests.rules.naive.effects import Effect, Offer
from tests.rules.naive.facts import Book, Question, Working, rounded, share
from tests.rules.naive.lists import Chain, candidates_of, chain_of, gap_of, judged, obstacle_of, quantities_of, winner_at
from tests.rules.naive.offers import apply, considered, gift_line_id, judge, standing


def naive_price(book: Book, basket: Basket) -> BasketPrice:
    """What the basket costs by the book."""
    customer = next(row for row in book[Customer] if row.id == basket.customer_id)
    assert isinstance(customer, Customer)
    question = Question(book=book, basket=basket, customer=customer)
    chain = chain_of(question)
    question.currency = chain.currency
    question.lines = [Working(line=line, product=question.row(Product, line.product_id)) for line in basket.lines]
    for working in question.lines:
        find_price(question, chain, working)
    offers, freight = take_offers(question)
    lines = [line_price(question, chain, working) for working in question.lines]
    goods, tax = sum(line.amount_minor for line in lines), sum(line.tax_minor for line in lines)
    minimum_gap = order_minimum_gap(question, chain, goods)
    obstacle = Obstacle.ORDER_BELOW_MINIMUM if minimum_gap else None
    if chain.currency_differs:
        obstacle = Obstacle.CURRENCY_DIFFERS
    return BasketPrice(
        customer_id=customer.id,
        address_id=basket.address_id,
        currency=question.currency,
        nearest_currency=chain.nearest_currency,
        instant_ms=basket.instant_ms,
        lists=tuple(chain.standings),
        lines=tuple(lines),
        gifts=tuple(question.gifts),
        offers=tuple(offers),
        obstacle=obstacle,
        order_minimum_gap=minimum_gap,
        goods_minor=goods,
        tax_minor=tax,
        freight_minor=freight,
        total_minor=goods + tax + freight,
    )


def naive_json(book: Book, basket: Basket) -> bytes:
    """The answer as it is compared."""
    return msgspec.json.encode(naive_price(book, basket))


def find_price(question: Question, chain: Chain, working: Working) -> None:
    """The price of a line, its gross, and what a unit price by hand makes of it (P-20 to P-31, P-65)."""
    line = working.line
    if obstacle_of(question, chain, working) not in {Obstacle.UNKNOWN_PRODUCT, Obstacle.PRODUCT_DISCONTINUED}:
        working.candidates = candidates_of(question, chain, line.product_id)
        working.winner = winner_at(question, working, line.quantity)
    working.obstacle = obstacle_of(question, chain, working)
    if not working.is_priced:
        return
    if working.winner:
        row = working.winner.row
        working.gross = working.amount = question.gross(row.unit_price, line.quantity, row.per_quantity)
    if line.manual and working.price_by_hand is not None:
        by_hand = question.gross(working.price_by_hand, line.quantity, per_quantity_of(working))
        working.move(StepKind.MANUAL, None, line.manual.reason, by_hand - working.gross)


def per_quantity_of(working: Working) -> int:
    return working.winner.row.per_quantity if working.winner else 1


def take_offers(question: Question) -> tuple[list[OfferStanding], int]:
    """All offers, phase by phase, with the discounts by hand after the line phase; and what is left of the freight."""
    standings, freight = [], question.basket.freight_minor
    offers = considered(question)
    for phase in PromotionPhase:
        for offer in [each for each in offers if each.promotion.phase == phase]:
            offer.freight = freight
            effect = judge(question, offer)
            apply(offer, effect)
            freight -= effect.off_freight
            standings.append(standing(offer, effect))
            question.gifts += [gift_price(offer, effect, product_id, quantity) for product_id, quantity in effect.gifts]
        if phase == PromotionPhase.LINE:
            discount_by_hand(question)
    return standings, freight


def discount_by_hand(question: Question) -> None:
    """P-66."""
    for working in question.lines:
        if working.is_priced and working.line.manual and working.discount_by_hand is not None:
            off = question.percent_off(working, working.discount_by_hand)
            working.move(StepKind.MANUAL, None, working.line.manual.reason, -off)


def line_price(question: Question, chain: Chain, working: Working) -> LinePrice:
    """A line from top to bottom (P-30, P-68, P-72, P-73)."""
    line, steps, exemption = working.line, working.steps, exemption_of(question)
    quantities = quantities_of(question, chain, working)
    taxes = taxes_of(question, working)
    tax = sum(part.amount_minor for part in taxes)
    inclusive = treatment_of(working) == TaxTreatment.INCLUSIVE
    amount = working.amount - tax if inclusive else working.amount
    is_by_hand = working.is_priced and working.price_by_hand is not None
    winner = working.winner
    source = PriceSource(winner.source) if winner else None
    return LinePrice(
        line_id=line.line_id,
        product_id=line.product_id,
        quantity=line.quantity,
        pack_quantity=line.pack_quantity,
        obstacle=working.obstacle or quantity_obstacle(working, quantities),
        source=PriceSource.MANUAL if is_by_hand else source,
        rule_id=winner.row.id if winner and not is_by_hand else None,
        unit_price=working.price_by_hand if is_by_hand else winner.row.unit_price if winner else None,
        per_quantity=per_quantity_of(working),
        tax_treatment=treatment_of(working),
        candidates=tuple(judged(question, working)),
        gross_minor=working.gross,
        steps=tuple(steps),
        missed=tuple(working.missed),
        discount_minor=-sum(step.amount_minor for step in steps if step.kind != StepKind.ORDER_SHARE),
        order_discount_minor=-sum(step.amount_minor for step in steps if step.kind == StepKind.ORDER_SHARE),
        amount_minor=amount,
        tax_code=working.product.tax_code if working.product else "",
        tax_jurisdiction=rates_of(question, working)[0] if working.is_priced else "",
        tax_exemption_id=exemption.id if exemption and working.is_priced else None,
        taxes=tuple(taxes),
        tax_minor=tax,
        total_minor=amount + tax,
        quantities=tuple(quantities),
        gap=gap_of(question, working),
        holds=tuple(holds_of(question, working, amount)),
    )


def gift_price(offer: Offer, effect: Effect, product_id: UUID, quantity: int) -> LinePrice:
    """The line of a gift (P-59)."""
    promotion = offer.promotion
    product = offer.question.row(Product, product_id)
    assert product
    step = Step(kind=StepKind.PROMOTION, rule_id=promotion.id, code=promotion.code, amount_minor=0, after_minor=0)
    return LinePrice(
        line_id=gift_line_id(promotion.id, product_id, effect.anchors[0].line.line_id),
        product_id=product_id,
        quantity=quantity,
        pack_quantity=1,
        obstacle=None,
        source=PriceSource.GIFT,
        rule_id=promotion.id,
        unit_price=0,
        per_quantity=1,
        tax_treatment=TaxTreatment.EXCLUSIVE,
        candidates=(),
        gross_minor=0,
        steps=(step,),
        missed=(),
        discount_minor=0,
        order_discount_minor=0,
        amount_minor=0,
        tax_code=product.tax_code,
        tax_jurisdiction="",
        tax_exemption_id=None,
        taxes=(),
        tax_minor=0,
        total_minor=0,
        quantities=(),
        gap=None,
        holds=(),
    )


def quantity_obstacle(working: Working, quantities: list[QuantityAnswer]) -> Obstacle | None:
    """The last two obstacles (P-30, P-42)."""
    if working.line.quantity % working.line.pack_quantity != 0:
        return Obstacle.NOT_IN_PACKS
    if any(each.strength == Strength.REQUIRED and not each.is_kept for each in quantities):
        return Obstacle.QUANTITY_NOT_SOLD
    return None


def treatment_of(working: Working) -> TaxTreatment:
    """P-72."""
    if working.winner is None:
        return TaxTreatment.EXCLUSIVE
    if isinstance(working.winner.row, AgreedPrice):
        return working.winner.row.tax_treatment
    assert working.winner.price_list
    return working.winner.price_list.tax_treatment


def order_minimum_gap(question: Question, chain: Chain, goods: int) -> Gap | None:
    """P-43."""
    for price_list, _ in chain.used:
        least = price_list.order_minimum_minor
        if price_list.strength == Strength.REQUIRED and least is not None:
            is_short = goods < least and any(working.is_priced for working in question.lines)
            return Gap(rule_id=price_list.id, missing_minor=least - goods) if is_short else None
    return None


def holds_of(question: Question, working: Working, amount: int) -> list[PriceHold]:
    """P-67 and P-68."""
    if not working.is_priced:
        return []
    by_hand, discount, holds = working.price_by_hand, working.discount_by_hand, []
    if by_hand is None and discount is None:
        return []
    limit = limit_of(question)
    found = working.winner.row.unit_price if working.winner else None
    is_above = discount is not None and discount > limit
    if by_hand is not None:
        is_above = found is None or (found - by_hand) * 10_000 > limit * found
    if is_above:
        holds.append(PriceHold.MANUAL_PRICE_ABOVE_LIMIT)
    floors = [
        question.gross(row.unit_price, working.line.quantity)
        for row in question.rows(PriceFloor)
        if row.product_id == working.line.product_id and row.currency == question.currency
    ]
    if any(amount < floor for floor in floors):
        holds.append(PriceHold.BELOW_FLOOR)
    return holds


def limit_of(question: Question) -> int:
    """Whose limit holds, and what it is (P-67)."""
    basket, limits = question.basket, question.rows(DiscountLimit)
    of_rep = [row for row in limits if row.rep_id is not None and row.rep_id == basket.rep_id]
    of_role = [row for row in limits if row.rep_id is None and row.role == basket.role]
    return max((row.discount_basis_points for row in of_rep or of_role), default=0)


def jurisdictions_of(question: Question) -> list[str]:
    """Narrowest first (P-70)."""
    addresses = [row for row in question.rows(Address) if row.customer_id == question.customer.id]
    named = [row for row in addresses if row.id == question.basket.address_id]
    for address in named or addresses[:1]:
        return [f"{address.country}-{address.region}", address.country] if address.region else [address.country]
    return []


def exemption_of(question: Question) -> TaxExemption | None:
    """P-71."""
    for row in question.rows(TaxExemption):
        if row.customer_id == question.customer.id and row.jurisdiction in jurisdictions_of(question) and question.is_valid(row):
            return row
    return None


def rates_of(question: Question, working: Working) -> tuple[str, list[TaxRate]]:
    """The jurisdiction that taxes a line, and its rates (P-71)."""
    assert working.product
    codes = (question.customer.tax_code, working.product.tax_code)
    for jurisdiction in jurisdictions_of(question):
        rates: dict[str, TaxRate] = {}
        for row in sorted(question.rows(TaxRate), key=lambda each: (-each.valid_from_ms, each.id.bytes)):
            is_due = row.jurisdiction == jurisdiction and (row.customer_tax_code, row.product_tax_code) == codes
            if is_due and question.is_valid(row):
                rates.setdefault(row.name, row)
        if rates:
            return jurisdiction, [rates[name] for name in sorted(rates)]
    return "", []


def taxes_of(question: Question, working: Working) -> list[TaxPart]:
    """P-72."""
    if not working.is_priced or exemption_of(question):
        return []
    _, rates = rates_of(question, working)
    ppm = [rate.rate_ppm for rate in rates]
    if treatment_of(working) == TaxTreatment.INCLUSIVE and sum(ppm) > 0:
        amounts = share(rounded(Fraction(working.amount * sum(ppm), 1_000_000 + sum(ppm))), ppm)
    else:
        amounts = [rounded(Fraction(working.amount * each, 1_000_000)) for each in ppm]
    return [
        TaxPart(rule_id=rate.id, name=rate.name, rate_ppm=rate.rate_ppm, amount_minor=amount)
        for rate, amount in zip(rates, amounts, strict=True)
    ]
