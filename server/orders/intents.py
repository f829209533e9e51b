"""What a device may ask about orders. Each is executed anew with the server's rules and data; the device only quoted."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from server.customers.late_orders import REFUSED_FOOTINGS, Footing, Standing, standing_of, told_of_handover
from server.identity.numbers import free_number, is_leased_to, prefix_of
from server.inventory.levels import change_allocated
from server.orders.allocations import allocated_by_product, release, release_stock
from server.orders.facts import Selling, available_for, selling_to
from server.orders.settling import Settled, settle
from server.pricing.consumption import give_back, use_up
from server.quotes.ordering import note_ordered, order_refusal
from server.quotes.steps import taker_of
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Address, Customer, CustomerStatus
from sync_protocol.entities.orders import Order, OrderLine, OrderStatus
from sync_protocol.intents import AmendOrder, CancelOrder, SubmitOrder
from sync_protocol.rules.documents import decided_status, decided_totals, order_line_rows, order_row
from sync_protocol.rules.order_review import OrderDecision, OrderFacts, basket_lines, in_precedence, review_order, routed
from sync_protocol.rules.order_states import Actor, may_amend, may_move
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.values import normal_text
from sync_protocol.verdicts import Change, Code, Outcome, Verdict

NOTE_CHARACTERS_MAX: Final = 4_000


async def submit_order(work: UnitOfWork, intent: SubmitOrder, context: IntentContext) -> Verdict:
    """Decide a new order, promise stock for it and write it down."""
    customer = await work.get(Customer, intent.customer_id)
    if customer is None:
        return context.rejected(Code.UNKNOWN_CUSTOMER)
    standing = await standing_of(work.session, customer, context)
    refusal = await _submission_refusal(work, intent, standing, customer)
    if refusal is not None:
        return context.rejected(refusal, await told_of_handover(work, customer, standing) if refusal is Code.HANDED_OVER else "")
    if intent.quote_id is not None:
        of_quote = await order_refusal(work, intent.quote_id, customer.id, context.now_ms)
        if of_quote is not None:
            return context.rejected(*of_quote)
    selling = await selling_to(work, standing.on_its_terms(customer))
    basket = _basket(intent, selling.customer.id, context, currency=intent.currency, address_id=intent.address_id)
    settled = await settle(work, selling, basket, intent, context)
    decision = _routed(await _reviewed(work, selling, settled, intent), standing)
    if decision.outcome is Outcome.REJECTED:
        return _verdict(context, decision)
    own = prefix_of(intent.number) == context.number_prefix or await is_leased_to(work, intent.number, context.holder_id)
    number = await free_number(work, Order, intent.number if own else f"{context.number_prefix}-{intent.number}")
    await _write_order(work, intent, context, _Decided(decision, number, selling, standing.rep_id))
    verdict = _verdict(context, decision, _number_change(intent.number, number))
    return msgspec.structs.replace(verdict, detail=await told_of_handover(work, customer, standing))


def _basket(
    intent: SubmitOrder | AmendOrder, customer_id: UUID, context: IntentContext, *, currency: str, address_id: UUID | None
) -> Basket:
    """What is asked for, as it is priced now."""
    return Basket(
        customer_id=customer_id,
        channel=context.channel,
        instant_ms=context.now_ms,
        currency=currency,
        address_id=address_id,
        role=context.role,
        rep_id=context.rep_id,
        lines=basket_lines(intent.lines),
    )


async def _reviewed(
    work: UnitOfWork,
    selling: Selling,
    settled: Settled,
    intent: SubmitOrder | AmendOrder,
    own: Mapping[UUID, int] = MappingProxyType({}),
) -> OrderDecision:
    """What the rules say. `own` is what the order has promised already."""
    price = settled.price
    wanted = {line.product_id for line in (*price.lines, *price.gifts)} | own.keys()
    available = await available_for(work, selling.stock_location_id, wanted, own)
    facts = OrderFacts(customer=selling.customer, available=available, honoured=settled.honoured, to_approve=settled.to_approve)
    return review_order(intent.lines, intent.gifts, price, facts)


def _routed(decision: OrderDecision, standing: Standing) -> OrderDecision:
    """An order that is for the new rep to decide is held besides."""
    return routed(decision) if standing.footing is Footing.ROUTED else decision


async def _submission_refusal(work: UnitOfWork, intent: SubmitOrder, standing: Standing, customer: Customer) -> Code | None:
    if standing.footing in REFUSED_FOOTINGS:
        return REFUSED_FOOTINGS[standing.footing]
    if customer.status is CustomerStatus.CLOSED:
        return Code.CUSTOMER_CLOSED
    if await work.get(Order, intent.order_id) is not None:
        return Code.ORDER_EXISTS
    if intent.address_id is not None:
        address = await work.get(Address, intent.address_id)
        if address is None or address.customer_id != customer.id:
            return Code.UNKNOWN_ADDRESS
    return None


class _Decided(NamedTuple):
    decision: OrderDecision
    number: str
    selling: Selling
    rep_id: UUID | None


async def _write_order(work: UnitOfWork, intent: SubmitOrder, context: IntentContext, decided: _Decided) -> None:
    decision, number, selling, rep_id = decided
    order = order_row(
        intent,
        decided_totals(decision),
        number=number,
        channel=context.channel,
        status=decided_status(decision),
        captured_at_ms=context.captured_at_ms,
        time_zone=context.time_zone,
        received_at_ms=context.now_ms,
        priced_at_ms=decision.price.instant_ms,
        rep_id=rep_id,
        stock_location_id=selling.stock_location_id,
        hold_code=decision.hold_code,
    )
    lines = order_line_rows(order.id, order.customer_id, decision)
    work.insert(order, *lines)
    await use_up(work, decision.price, lines, context.ids)
    await change_allocated(work, selling.stock_location_id, allocated_by_product(lines), context.now_ms)
    if intent.quote_id is not None:
        taker = await taker_of(work.session, context.user_id, ids=context.ids, now_ms=context.now_ms)
        await note_ordered(work, intent.quote_id, order, taker)


async def amend_order(work: UnitOfWork, intent: AmendOrder, context: IntentContext) -> Verdict:
    """Decide an order anew with other lines; what it had promised is its own to promise again."""
    order = await work.get(Order, intent.order_id, lock=True)
    if order is None:
        return context.rejected(Code.UNKNOWN_ORDER)
    customer, standing = await _whose(work, order, context)
    if standing.footing in REFUSED_FOOTINGS:
        return context.rejected(REFUSED_FOOTINGS[standing.footing], await told_of_handover(work, customer, standing))
    if await _foreign_line(work, order.id, [line.line_id for line in intent.lines]):
        return context.rejected(Code.MALFORMED, "lines: a line_id is in use by another order")
    if not may_amend(order.status):
        return context.rejected(Code.ORDER_STATE_FORBIDS, f"the order is {order.status}")
    if order.revision != intent.revision:
        return context.rejected(Code.ORDER_CHANGED_MEANWHILE, f"it is at revision {order.revision}, you saw {intent.revision}")
    lines = await work.find(OrderLine, lock=True, order_id=order.id)
    promised = allocated_by_product(lines)
    given_back = await give_back(work, order.id, lines)
    selling = (await selling_to(work, standing.on_its_terms(customer))).at(order.stock_location_id)
    basket = _basket(intent, customer.id, context, currency=order.currency, address_id=order.address_id)
    settled = await settle(work, selling, basket, intent, context)
    decision = _routed(await _reviewed(work, selling, settled, intent, promised), standing)
    if decision.outcome is Outcome.REJECTED:
        given_back.undo(work)
    else:
        await _rewrite_order(work, order, intent, decision, context)
    return _verdict(context, decision)


async def _foreign_line(work: UnitOfWork, order_id: UUID, line_ids: Sequence[UUID]) -> bool:
    await work.load(OrderLine, line_ids)
    lines = [await work.get(OrderLine, line_id) for line_id in line_ids]
    return any(line is not None and line.order_id != order_id for line in lines)


async def _rewrite_order(
    work: UnitOfWork, order: Order, intent: AmendOrder, decision: OrderDecision, context: IntentContext
) -> None:
    assert may_move(Actor.SERVER, order.status, decided_status(decision))
    await release_stock(work, order, context.now_ms)
    for line in await work.find(OrderLine, lock=True, order_id=order.id):
        work.remove(line)
    lines = order_line_rows(order.id, order.customer_id, decision)
    work.insert(*lines)
    await use_up(work, decision.price, lines, context.ids)
    await change_allocated(work, order.stock_location_id, allocated_by_product(lines), context.now_ms)
    work.replace(
        msgspec.structs.replace(
            order,
            status=decided_status(decision),
            priced_at_ms=decision.price.instant_ms,
            hold_code=decision.hold_code,
            revision=order.revision + 1,
            note=order.note if intent.note is None else intent.note,
            reason="",
            **msgspec.structs.asdict(decided_totals(decision)),
        )
    )


async def cancel_order(work: UnitOfWork, intent: CancelOrder, context: IntentContext) -> Verdict:
    """Cancel an order that has not gone too far, and give back what it had promised."""
    order = await work.get(Order, intent.order_id, lock=True)
    if order is None:
        return context.rejected(Code.UNKNOWN_ORDER)
    customer, standing = await _whose(work, order, context)
    if standing.footing in REFUSED_FOOTINGS:
        return context.rejected(REFUSED_FOOTINGS[standing.footing], await told_of_handover(work, customer, standing))
    if standing.footing is Footing.ROUTED:
        return await _route_cancellation(work, order, intent, context)
    if not may_move(Actor.CAPTURER, order.status, OrderStatus.CANCELLED):
        return context.rejected(Code.ORDER_STATE_FORBIDS, f"the order is {order.status}")
    await release(work, order, ids=context.ids, now_ms=context.now_ms)
    work.replace(msgspec.structs.replace(order, status=OrderStatus.CANCELLED, hold_code=None, reason=intent.reason))
    return Verdict(intent_id=context.intent_id, outcome=Outcome.ACCEPTED, decided_at_ms=context.now_ms)


async def _route_cancellation(work: UnitOfWork, order: Order, intent: CancelOrder, context: IntentContext) -> Verdict:
    """Hold an order that its former rep wants cancelled, with what it said: whether it is, the new rep or a manager decides."""
    if not may_move(Actor.SERVER, order.status, OrderStatus.HELD):
        return context.rejected(Code.ORDER_STATE_FORBIDS, f"the order is {order.status}")
    said = normal_text(f"to be cancelled, says its former rep: {intent.reason}")[:NOTE_CHARACTERS_MAX]
    work.replace(msgspec.structs.replace(order, status=OrderStatus.HELD, hold_code=str(Code.ROUTED), reason=said))
    return Verdict(intent_id=context.intent_id, outcome=Outcome.HELD, decided_at_ms=context.now_ms, codes=(Code.ROUTED,))


async def _whose(work: UnitOfWork, order: Order, context: IntentContext) -> tuple[Customer, Standing]:
    """The customer of an order, and on what footing the asker stands towards it."""
    customer = await work.get(Customer, order.customer_id)
    assert customer is not None, "an order refers to its customer"
    return customer, await standing_of(work.session, customer, context)


def _number_change(asked: str, given: str) -> tuple[Change, ...]:
    return () if asked == given else (Change(code=Code.NUMBER_CHANGED, before=asked, after=given),)


def _verdict(context: IntentContext, decision: OrderDecision, further: tuple[Change, ...] = ()) -> Verdict:
    codes = in_precedence({*decision.codes, *(change.code for change in further)})
    outcome = Outcome.ACCEPTED_WITH_CHANGES if decision.outcome is Outcome.ACCEPTED and further else decision.outcome
    return Verdict(
        intent_id=context.intent_id,
        outcome=outcome,
        decided_at_ms=context.now_ms,
        codes=codes,
        changes=(*further, *decision.changes),
    )
