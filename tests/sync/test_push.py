"""What becomes of intents: one verdict each, for ever, on both engines, with the server's own code and the SDK's."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from server.identity.principals import Role
from server.runtime.database import Database
from server.runtime.rows import table_of
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from server.sync.push import FAILURES_MAX
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.inventory import StockLevel
from sync_protocol.entities.orders import Order
from sync_protocol.entities.pricing import PriceEntry
from sync_protocol.intents import AmendOrder, CancelOrder, SubmitOrder
from sync_protocol.verdicts import Code, Outcome, Verdict
from sync_protocol.wire.codec import decode_verdict, encode
from sync_protocol.wire.messages import PushStatus
from tests.client_sdk.handmade import Handmade, broken_bodies, new_customer, prospect_of
from tests.support.ledger import stock_faults, verdicts_of
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def orders_of(world: World) -> list[Any]:
    async with world.database.read() as session:
        table = table_of(Order)
        return list((await session.execute(sa.select(table).order_by(table.c.number))).all())


async def allocated(world: World, product: int) -> int:
    return (await world.fetch(StockLevel, world.company.levels[product].id)).allocated


async def test_the_same_intent_again_answers_the_same_bytes_and_has_no_effect_again(world: World) -> None:
    device = await Handmade.of(world)
    envelopes = [
        device.envelope(device.order(1, 0, (0, 4))),
        device.envelope(device.order(2, 0, (1, 12))),
        device.envelope(device.order(3, 2)),
        device.envelope(b"garbage"),
    ]
    first = await device.push(*envelopes)
    assert [decode_verdict(result.verdict).outcome for result in first] == [
        Outcome.ACCEPTED,
        Outcome.ACCEPTED_WITH_CHANGES,
        *(Outcome.REJECTED, Outcome.REJECTED),
    ]
    world.clock.advance(90 * 86_400_000)
    again = [(await device.push(envelope))[0] for envelope in reversed(envelopes)]
    assert [(each.verdict, each.commit_seq) for each in reversed(again)] == [(each.verdict, each.commit_seq) for each in first]
    assert len(await orders_of(world)) == 2
    assert await allocated(world, 0) == 4


async def test_the_same_intent_twice_in_one_push_has_one_effect(world: World) -> None:
    device = await Handmade.of(world)
    envelope = device.envelope(device.order(1, 0, (0, 4)))
    one, two = await device.push(envelope, envelope)
    assert one.verdict == two.verdict
    assert await allocated(world, 0) == 4


async def test_two_pushes_of_the_same_intents_at_once_have_one_effect_and_answer_the_same_bytes(world: World) -> None:
    devices = [await Handmade.of(world, "rep0") for _ in range(3)]
    envelopes = [devices[0].envelope(devices[0].order(count, count % 2, (0, 1), (1, 1))) for count in range(1, 8)]
    answers = await asyncio.gather(*(device.push(*envelopes) for device in devices))
    assert {len({result.verdict for result in results}) for results in zip(*answers, strict=True)} == {1}
    assert {result.status for results in answers for result in results} == {PushStatus.DECIDED}
    assert len(await orders_of(world)) == 7
    assert await allocated(world, 0) == 7
    assert await stock_faults(world.database) == []


async def test_in_one_push_later_intents_see_what_earlier_ones_did_and_stock_goes_in_their_order(world: World) -> None:
    device = await Handmade.of(world)
    await world.change(StockLevel, world.company.levels[0].id, on_hand=5)
    first, second, third = device.order(1, 0, (0, 4)), device.order(2, 1, (0, 4)), device.order(3, 0, (0, 4))
    amended = AmendOrder(order_id=second.order_id, revision=0, lines=device.order(9, 0, (0, 2)).lines, note="two will do")
    asked = (first, second, CancelOrder(order_id=first.order_id), amended, third)
    results = await device.push(*(device.envelope(intent) for intent in asked))
    verdicts = [decode_verdict(result.verdict) for result in results]
    backordered = [[change.after for change in verdict.changes if change.code is Code.BACKORDERED] for verdict in verdicts]
    assert backordered == [[], [3], [], [], [1]]
    assert [(row.status, row.revision, row.note) for row in await orders_of(world)] == [
        ("cancelled", 0, ""),
        ("confirmed", 1, "two will do"),
        ("confirmed", 0, ""),
    ]
    assert await allocated(world, 0) == 5
    assert await stock_faults(world.database) == []


async def test_what_fails_in_the_database_alone_is_deferred_alone(world: World) -> None:
    submit = world.handlers[SubmitOrder]
    poison: set[UUID] = set()

    async def faulty(work: UnitOfWork, intent: SubmitOrder, context: IntentContext) -> Verdict:
        verdict = await submit(work, intent, context)
        if intent.order_id in poison:
            (order,) = await work.find(Order, id=intent.order_id)
            work.replace(msgspec.structs.replace(order, address_id=world.ids.new()))  # there is no such address
        return verdict

    world.handlers = {**world.handlers, SubmitOrder: faulty}
    device = await Handmade.of(world)
    orders = [device.order(count, int(count == 3), (0, 1)) for count in range(1, 6)]
    poison.add(orders[2].order_id)
    envelopes = [device.envelope(order) for order in orders]
    for attempt in range(1, FAILURES_MAX):
        results = await device.push(*envelopes)
        assert [result.status for result in results] == [PushStatus.DECIDED] * 2 + [PushStatus.DEFERRED] + [PushStatus.DECIDED] * 2
        assert f"{attempt} of {FAILURES_MAX}" in results[2].detail
    assert decode_verdict((await device.push(*envelopes))[2].verdict).codes == (Code.QUARANTINED,)
    assert len(await orders_of(world)) == 4
    assert await allocated(world, 0) == 4
    assert await stock_faults(world.database) == []


@pytest.mark.parametrize("first_is_refused", [False, True])
async def test_the_same_id_with_other_bytes_is_a_conflict_and_has_no_effect(world: World, *, first_is_refused: bool) -> None:
    device = await Handmade.of(world)
    held = device.envelope(device.order(1, 2 if first_is_refused else 0))
    (decided,) = await device.push(held)
    other = msgspec.structs.replace(device.envelope(device.order(2, 1, (0, 5))), id=held.id)
    (clash,) = await device.push(other)
    assert clash.status is PushStatus.CONFLICT
    assert clash.verdict == b""
    assert len(await orders_of(world)) == (0 if first_is_refused else 1)
    assert (await device.push(held))[0].verdict == decided.verdict
    assert await verdicts_of(world.database) == {held.id.bytes: decided.verdict}


async def test_somebody_elses_intent_is_a_conflict_and_its_verdict_is_not_shown(world: World) -> None:
    mine, theirs = await Handmade.of(world, "rep0"), await Handmade.of(world, "rep1")
    envelope = mine.envelope(mine.order(1))
    await mine.push(envelope)
    (clash,) = await theirs.push(envelope)
    assert (clash.status, clash.verdict) == (PushStatus.CONFLICT, b"")


async def test_bytes_that_do_not_fit_their_digest_are_not_decided(world: World) -> None:
    device = await Handmade.of(world)
    envelope = device.envelope(device.order(1))
    (result,) = await device.push(msgspec.structs.replace(envelope, body=encode(device.order(1, 1))))
    assert result.status is not PushStatus.DECIDED
    assert await orders_of(world) == []
    assert (await device.push(envelope))[0].status is PushStatus.DECIDED


async def test_a_handler_that_fails_defers_its_lane_alone_and_is_set_aside_at_the_fifth_failure(
    world: World, tmp_path: Path
) -> None:
    submit = world.handlers[SubmitOrder]
    poison: set[UUID] = set()

    async def faulty(work: UnitOfWork, intent: SubmitOrder, context: IntentContext) -> Verdict:
        verdict = await submit(work, intent, context)
        if intent.order_id in poison:
            raise ZeroDivisionError("a bug of ours, after everything was written")
        return verdict

    world.handlers = {**world.handlers, SubmitOrder: faulty}
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        poisoned = await submit_order(device, world, 0, (0, 2))
        poison.add(poisoned)
        await device.cancel_order(poisoned)
        fine = await submit_order(device, world, 1, (1, 3))
        for attempt in range(1, FAILURES_MAX):
            report = await device.sync()
            assert [entry.subject_id for entry in report.verdicts] == ([fine] if attempt == 1 else [])
            assert report.deferred == 2
            first, second = await device.outbox()
            assert f"{attempt} of {FAILURES_MAX}" in first.problem
            assert str(first.intent_id) in second.problem
            assert [str(row.number) for row in await orders_of(world)] == [(await device.order(fine)).order.number]
            assert await allocated(world, 0) == 0
        report = await device.sync()
        assert [(entry.kind, entry.verdict.codes) for entry in report.verdicts] == [
            ("SubmitOrder", (Code.QUARANTINED,)),
            ("CancelOrder", (Code.DEPENDENCY_REFUSED,)),
        ]
        assert report.verdicts[1].verdict.refused_intent_id == report.verdicts[0].intent_id
        assert await device.outbox() == []
        poison.clear()
        assert (await device.sync()).verdicts == ()
        assert len(await orders_of(world)) == 1
    assert await stock_faults(world.database) == []


async def submit_order(device: OrderClient, world: World, customer: int, *lines: tuple[int, int]) -> UUID:
    draft = await device.draft_order(world.company.customers[customer].id)
    for product, quantity in lines:
        await draft.add_line(world.company.products[product].id, quantity)
    return (await draft.submit()).order.id


async def test_a_failing_handler_that_recovers_is_decided_then(world: World) -> None:
    submit = world.handlers[SubmitOrder]
    failures = iter(range(FAILURES_MAX - 1))

    async def faulty(work: UnitOfWork, intent: SubmitOrder, context: IntentContext) -> Verdict:
        if next(failures, None) is not None:
            raise RuntimeError
        return await submit(work, intent, context)

    world.handlers = {**world.handlers, SubmitOrder: faulty}
    device = await Handmade.of(world)
    envelope = device.envelope(device.order(1))
    for _ in range(FAILURES_MAX - 1):
        assert (await device.push(envelope))[0].status is PushStatus.DEFERRED
    assert decode_verdict((await device.push(envelope))[0].verdict).outcome is Outcome.ACCEPTED


async def test_what_depends_on_a_refused_prospect_is_refused_by_name_on_the_device_too(world: World, tmp_path: Path) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        prospect = await device.create_customer(new_customer(world))
        draft = await device.draft_order(prospect.id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()
        async with world.database.write() as session:
            await session.execute(sa.text("DELETE FROM rep_territory"))
        report = await device.sync()
        created, submitted = (entry for entry in report.verdicts)
        assert created.verdict.codes == (Code.UNKNOWN_TERRITORY,)
        assert submitted.verdict.codes == (Code.DEPENDENCY_REFUSED,)
        assert submitted.verdict.refused_intent_id == created.intent_id
        assert await device.customers() == []


async def test_every_dependant_names_what_was_refused_before_it(world: World) -> None:
    device = await Handmade.of(world)
    prospect = prospect_of(world, territory_id=world.company.territories[1].id)
    order = device.order(1, 0, customer_id=prospect.customer_id)
    amendment = AmendOrder(order_id=order.order_id, revision=0, lines=order.lines)
    envelopes = [device.envelope(each) for each in (prospect, order, amendment, CancelOrder(order_id=order.order_id))]
    independent = device.envelope(device.order(2))
    results = await device.push(*envelopes, independent)
    verdicts = [decode_verdict(result.verdict) for result in results]
    assert [verdict.codes for verdict in verdicts] == [
        (Code.UNKNOWN_TERRITORY,),
        *[(Code.DEPENDENCY_REFUSED,)] * 3,
        (),
    ]
    assert [verdict.refused_intent_id for verdict in verdicts] == [
        None,
        envelopes[0].id,
        *[envelopes[1].id] * 2,
        None,
    ]


async def test_an_order_for_what_never_was_is_unknown_and_not_dependent(world: World) -> None:
    device = await Handmade.of(world)
    assert (await device.ask(device.order(1, 0, customer_id=world.ids.new()))).codes == (Code.UNKNOWN_CUSTOMER,)
    assert (await device.ask(CancelOrder(order_id=world.ids.new()))).codes == (Code.UNKNOWN_ORDER,)


async def test_a_rep_may_not_serve_another_territory(world: World) -> None:
    mine, theirs = await Handmade.of(world, "rep0"), await Handmade.of(world, "rep1")
    order = theirs.order(1, 2, (0, 2))
    assert (await theirs.ask(order)).outcome is Outcome.ACCEPTED
    for intent in (
        mine.order(1, 2),
        AmendOrder(order_id=order.order_id, revision=0, lines=order.lines),
        CancelOrder(order_id=order.order_id),
    ):
        assert (await mine.ask(intent)).codes == (Code.NOT_PERMITTED,)
    (kept,) = await orders_of(world)
    assert (kept.status, kept.revision) == ("confirmed", 0)


async def test_a_customer_that_moved_after_the_order_was_taken_is_not_permitted_once_and_for_all(
    world: World, tmp_path: Path
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        order_id = await submit_order(device, world, 0, (0, 1))
        await world.change(Customer, world.company.customers[0].id, territory_id=world.company.territories[1].id)
        report = await device.sync()
        assert [entry.verdict.codes for entry in report.verdicts] == [(Code.NOT_PERMITTED,)]
        assert await device.outbox() == []
        (returned,) = await device.drafts()
        assert returned.order_id == order_id
        assert [line.quantity for line in returned.lines] == [1]


async def test_a_buyer_orders_for_its_company_alone_and_takes_no_prospects(world: World) -> None:
    async with world.database.write() as session:
        await world._user(session, "buyer", Role.BUYER, customer_id=world.company.customers[0].id)
    device = await Handmade.of(world, "buyer")
    assert (await device.ask(device.order(1, 0))).outcome is Outcome.ACCEPTED
    assert (await device.ask(device.order(2, 1))).codes == (Code.NOT_PERMITTED,)
    assert (await device.ask(prospect_of(world))).codes == (Code.NOT_PERMITTED,)
    assert [row.channel for row in await orders_of(world)] == ["buyer"]


async def test_a_number_that_is_taken_is_changed_and_both_are_told(world: World) -> None:
    device = await Handmade.of(world)
    verdicts = [await device.ask(device.order(7)) for _ in range(3)]
    assert verdicts[0].changes == ()
    for place, verdict in enumerate(verdicts[1:], start=2):
        assert verdict.outcome is Outcome.ACCEPTED_WITH_CHANGES
        assert verdict.codes == (Code.NUMBER_CHANGED,)
        ((change),) = verdict.changes
        assert (change.before, change.after) == (device.number(7), f"{device.number(7)}-{place}")
    assert [row.number for row in await orders_of(world)] == [device.number(7), f"{device.number(7)}-2", f"{device.number(7)}-3"]


async def test_what_breaks_the_protocol_is_malformed_for_ever_and_stops_nothing_else(world: World) -> None:
    device = await Handmade.of(world)
    bodies = broken_bodies(device)
    envelopes = {name: device.envelope(body) for name, body in bodies.items()}
    fine = device.envelope(device.order(2))
    results = await device.push(*envelopes.values(), fine)
    codes = {name: decode_verdict(result.verdict).codes for name, result in zip(envelopes, results, strict=False)}
    assert codes == dict.fromkeys(bodies, (Code.MALFORMED,))
    assert decode_verdict(results[-1].verdict).outcome is Outcome.ACCEPTED
    again = await device.push(*envelopes.values())
    assert [each.verdict for each in again] == [each.verdict for each in results[:-1]]
    assert len(await orders_of(world)) == 1


async def test_a_number_of_a_foreign_series_is_changed_to_one_of_its_own(world: World) -> None:
    mine, theirs = await Handmade.of(world, "rep0"), await Handmade.of(world, "rep1")
    for foreign in (theirs.number(1), "R999-000001"):
        verdict = await mine.ask(mine.order(1, 0, number=foreign))
        assert verdict.codes == (Code.NUMBER_CHANGED,)
        assert str(verdict.changes[0].after).startswith(f"{mine.enrolment.number_prefix}-")
    assert (await theirs.ask(theirs.order(1, 2))).changes == ()


async def test_a_number_that_had_to_be_changed_still_fits_its_limit(world: World, tmp_path: Path) -> None:
    wire = await Handmade.of(world)
    longest = f"R{'9' * 9}-{'9' * 12}"
    for _ in range(2):
        await wire.ask(wire.order(1, 0, number=longest))
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        assert len(await device.orders()) == 2


async def test_ids_that_something_else_uses_are_malformed_and_write_nothing(world: World) -> None:
    device = await Handmade.of(world)
    first = device.order(1)
    assert (await device.ask(first)).outcome is Outcome.ACCEPTED
    assert (await device.ask(device.order(2, 0, lines=first.lines))).codes == (Code.MALFORMED,)
    twice = device.order(3).lines * 2
    assert (await device.ask(device.order(3, 0, lines=twice))).codes == (Code.MALFORMED,)
    assert (await device.ask(prospect_of(world, address_id=world.company.addresses[0].id))).codes == (Code.MALFORMED,)
    assert (await device.ask(device.order(4, 0, order_id=first.order_id))).codes == (Code.ORDER_EXISTS,)
    assert len(await orders_of(world)) == 1
    assert await stock_faults(world.database) == []


async def test_a_rejected_order_stays_rejected_when_the_reason_is_gone(world: World) -> None:
    device = await Handmade.of(world)
    product, entries = world.company.products[0], world.company.entries[:2]
    await world.change(Product, product.id, status="discontinued")
    discontinued = device.envelope(device.order(1))
    (refused,) = await device.push(discontinued)
    await world.change(Product, product.id, status="active")
    for entry in entries:
        await world.change(PriceEntry, entry.id, min_quantity=5_000 + entry.min_quantity)
    unpriced = device.envelope(device.order(2))
    (no_price,) = await device.push(unpriced)
    for entry in entries:
        await world.change(PriceEntry, entry.id, min_quantity=entry.min_quantity)
    assert decode_verdict(refused.verdict).codes == (Code.PRODUCT_DISCONTINUED,)
    assert decode_verdict(no_price.verdict).codes == (Code.NO_PRICE,)
    again = await device.push(discontinued, unpriced)
    assert [each.verdict for each in again] == [refused.verdict, no_price.verdict]
    assert await orders_of(world) == []
    assert (await device.ask(device.order(3))).outcome is Outcome.ACCEPTED


async def test_a_backorder_stays_backordered_in_its_verdict_when_stock_comes_back(world: World) -> None:
    device = await Handmade.of(world)
    envelope = device.envelope(device.order(1, 0, (0, 12)))
    (first,) = await device.push(envelope)
    await world.change(StockLevel, world.company.levels[0].id, on_hand=1_000)
    (again,) = await device.push(envelope)
    assert again.verdict == first.verdict
    assert await allocated(world, 0) == 10


async def test_two_devices_are_never_promised_the_same_stock(world: World) -> None:
    devices = [await Handmade.of(world, "rep0") for _ in range(3)]
    promised = 0
    for count in range(1, 5):
        for device in devices:
            verdict = await device.ask(device.order(count, count % 2, (0, 2)))
            backordered = sum(int(change.after or 0) for change in verdict.changes if change.code is Code.BACKORDERED)
            promised += 2 - backordered
            assert await allocated(world, 0) == promised <= 10
    assert promised == 10
    assert await stock_faults(world.database) == []


async def test_devices_at_the_same_moment_are_never_promised_the_same_stock(world: World) -> None:
    devices = [await Handmade.of(world, f"rep{place % 2}") for place in range(4)]
    for level in world.company.levels:
        await world.change(StockLevel, level.id, on_hand=5)
    pushes = [
        device.push(*(device.envelope(device.order(count, 2 * (place % 2), (0, 1), (1, 1))) for count in range(1, 5)))
        for place, device in enumerate(devices)
    ]
    results = [result for results in await asyncio.gather(*pushes) for result in results]
    assert {result.status for result in results} == {PushStatus.DECIDED}
    assert await allocated(world, 0) == 5
    assert len(await orders_of(world)) == 16
    assert await stock_faults(world.database) == []


async def test_what_is_cancelled_can_be_promised_again(world: World) -> None:
    device = await Handmade.of(world)
    await world.change(StockLevel, world.company.levels[0].id, on_hand=5)
    order = device.order(1, 0, (0, 5))
    assert (await device.ask(order)).outcome is Outcome.ACCEPTED
    assert (await device.ask(device.order(2, 0, (0, 1)))).codes == (Code.BACKORDERED,)
    assert (await device.ask(CancelOrder(order_id=order.order_id))).outcome is Outcome.ACCEPTED
    assert (await device.ask(device.order(3, 0, (0, 5)))).outcome is Outcome.ACCEPTED
    assert (await device.ask(CancelOrder(order_id=order.order_id))).codes == (Code.ORDER_STATE_FORBIDS,)


async def test_an_amendment_of_what_the_user_no_longer_sees_is_refused(world: World) -> None:
    device = await Handmade.of(world)
    order = device.order(1, 0, (0, 4))
    await device.ask(order)
    amended = AmendOrder(order_id=order.order_id, revision=0, lines=device.order(9, 0, (0, 6)).lines)
    assert (await device.ask(amended)).outcome is Outcome.ACCEPTED
    late = msgspec.structs.replace(amended, lines=device.order(9, 0, (0, 1)).lines)
    assert (await device.ask(late)).codes == (Code.ORDER_CHANGED_MEANWHILE,)
    assert await allocated(world, 0) == 6
