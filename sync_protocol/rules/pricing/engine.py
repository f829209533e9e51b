"""The price of a basket (docs/PRICING.md). The same basket and facts give the same answer, whatever the order of either."""

import hashlib
from collections.abc import Generator, Sequence
from typing import Any
from uuid import UUID

import msgspec

from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import DiscountLimit, PriceList, Strength, TaxTreatment
from sync_protocol.entities.promotions import PromotionPhase
from sync_protocol.rules.pricing.amounts import gross_amount
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explanation import BasketPrice, Gap, LinePrice, Obstacle, PriceHold, Step, StepKind
from sync_protocol.rules.pricing.facts import Facts, gather_facts
from sync_protocol.rules.pricing.lines import LineState, opened, put_price_by_hand, take_discount_by_hand
from sync_protocol.rules.pricing.offer_kinds import Gift
from sync_protocol.rules.pricing.offers import Offers
from sync_protocol.rules.pricing.taxes import TaxPlace, taxed
from sync_protocol.rules.pricing.terms import Lookup, gather_terms
from sync_protocol.values import minor_digits

_encoder = msgspec.json.Encoder()


def price_basket(basket: Basket, facts: Facts) -> BasketPrice:
    """What a basket costs at its instant, and why."""
    digits = minor_digits(facts.chain.currency)
    asked: dict[UUID, int] = {}
    for line in basket.lines:
        asked[line.product_id] = asked.get(line.product_id, 0) + line.quantity
    ordered = sorted(basket.lines, key=lambda line: line.line_id.bytes)
    states = [opened(line, basket, facts, asked, digits) for line in ordered]
    limit = _limit_by_hand(facts.limits, basket)
    offers = Offers(basket, facts, states)
    for state in states:
        put_price_by_hand(state, limit, digits)
    offers.give(PromotionPhase.LINE)
    for state in states:
        take_discount_by_hand(state, limit, digits)
    offers.give(PromotionPhase.ORDER)
    offers.give(PromotionPhase.FREIGHT)
    place = TaxPlace(facts.terms, basket)
    priced = {state.line.line_id: _line_price(state, facts, place, digits) for state in states}
    lines = tuple(priced[line.line_id] for line in basket.lines)
    goods, tax = sum(line.amount_minor for line in lines), sum(line.tax_minor for line in lines)
    gap = _order_minimum_gap(facts, goods) if any(state.is_priced for state in states) else None
    return BasketPrice(
        customer_id=basket.customer_id,
        address_id=basket.address_id,
        currency=facts.chain.currency,
        nearest_currency=facts.chain.nearest_currency,
        instant_ms=basket.instant_ms,
        lists=facts.chain.standings,
        lines=lines,
        gifts=tuple(_gift_price(gift) for gift in offers.gifts),
        offers=tuple(offers.standings),
        obstacle=_obstacle(facts, gap),
        order_minimum_gap=gap,
        goods_minor=goods,
        tax_minor=tax,
        freight_minor=offers.freight_minor,
        total_minor=goods + tax + offers.freight_minor,
    )


def price_for(customer: Customer, basket: Basket) -> Generator[Lookup, Sequence[Any], BasketPrice]:
    """What a basket of a customer costs, with all that is looked up for it."""
    terms = yield from gather_terms(customer)
    return price_basket(basket, (yield from gather_facts(terms, basket)))


def explanation_bytes(price: BasketPrice | LinePrice) -> bytes:
    """An explanation as canonical JSON: the fields in the order in which they are declared."""
    return _encoder.encode(price)


def line_digest(price: LinePrice) -> str:
    """What stands for a line's price with all that it is made of: BLAKE2b-128 of its explanation, in hexadecimal."""
    return hashlib.blake2b(_encoder.encode(price), digest_size=16).hexdigest()


def _limit_by_hand(limits: Sequence[DiscountLimit], basket: Basket) -> int:
    own = [each.discount_basis_points for each in limits if each.rep_id is not None and each.rep_id == basket.rep_id]
    of_role = [each.discount_basis_points for each in limits if each.rep_id is None and each.role == basket.role]
    return max(own or of_role, default=0)


def _obstacle(facts: Facts, order_minimum_gap: Gap | None) -> Obstacle | None:
    if facts.chain.nearest_currency and facts.chain.nearest_currency != facts.chain.currency:
        return Obstacle.CURRENCY_DIFFERS
    return Obstacle.ORDER_BELOW_MINIMUM if order_minimum_gap is not None else None


def _order_minimum_gap(facts: Facts, goods_minor: int) -> Gap | None:
    """What is missing to the order minimum of the nearest list that has one (P-43)."""
    for used in facts.chain.used:
        each: PriceList = used.price_list
        if each.strength is Strength.REQUIRED and each.order_minimum_minor is not None:
            missing = each.order_minimum_minor - goods_minor
            return Gap(rule_id=each.id, missing_minor=missing) if missing > 0 else None
    return None


def _line_price(state: LineState, facts: Facts, place: TaxPlace, digits: int) -> LinePrice:
    line, winner = state.line, state.found.winner
    tax_code = state.product.tax_code if state.product is not None else ""
    jurisdiction, rates = place.rates(tax_code) if state.is_priced else ("", ())
    net = taxed(state.running, state.tax_treatment, rates)
    _hold_below_floor(state, facts, net.amount_minor, digits)
    by_hand = state.price_by_hand if state.is_priced else None
    return LinePrice(
        line_id=line.line_id,
        product_id=line.product_id,
        quantity=line.quantity,
        pack_quantity=line.pack_quantity,
        obstacle=state.obstacle,
        source=PriceSource.MANUAL if by_hand is not None else winner.source if winner is not None else None,
        rule_id=winner.price.id if winner is not None and by_hand is None else None,
        unit_price=by_hand if by_hand is not None else winner.price.unit_price if winner is not None else None,
        per_quantity=state.per_quantity,
        tax_treatment=state.tax_treatment,
        candidates=state.found.candidates(),
        gross_minor=state.gross,
        steps=tuple(state.steps),
        missed=tuple(state.missed),
        discount_minor=state.discount,
        order_discount_minor=state.order_discount,
        amount_minor=net.amount_minor,
        tax_code=tax_code,
        tax_jurisdiction=jurisdiction,
        tax_exemption_id=place.exemption_id if state.is_priced else None,
        taxes=net.parts,
        tax_minor=net.tax_minor,
        total_minor=net.amount_minor + net.tax_minor,
        quantities=state.quantities,
        gap=state.gap,
        holds=tuple(hold for hold in PriceHold if hold in state.holds),
    )


def _hold_below_floor(state: LineState, facts: Facts, amount_minor: int, digits: int) -> None:
    """Hold a price that was given by hand and is below the floor (P-68)."""
    if not state.is_changed_by_hand or not state.is_priced:
        return
    floors = [each.unit_price for each in facts.floors.get(state.line.product_id, ()) if each.currency == facts.chain.currency]
    if floors and amount_minor < gross_amount(max(floors), 1, state.line.quantity, digits):
        state.holds.add(PriceHold.BELOW_FLOOR)


def _gift_price(gift: Gift) -> LinePrice:
    step = Step(kind=StepKind.PROMOTION, rule_id=gift.promotion.id, code=gift.promotion.code, amount_minor=0, after_minor=0)
    return LinePrice(
        line_id=gift.line_id,
        product_id=gift.product.id,
        quantity=gift.quantity,
        pack_quantity=1,
        obstacle=None,
        source=PriceSource.GIFT,
        rule_id=gift.promotion.id,
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
        tax_code=gift.product.tax_code,
        tax_jurisdiction="",
        tax_exemption_id=None,
        taxes=(),
        tax_minor=0,
        total_minor=0,
        quantities=(),
        gap=None,
        holds=(),
    )
