"""Intents without a verdict: kept in order, sent in bounded batches, and never ahead of what they wait for."""

import random
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from client_sdk import OrderClient, outbox
from client_sdk.clock import IdSource, Surroundings
from client_sdk.errors import BadReplyError
from client_sdk.outbox import BATCH_BYTES_MAX
from server.runtime.database import Database
from sync_protocol.intents import AmendOrder, CancelOrder, CreateCustomer, Intent, RequestedLine, SubmitOrder
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.codec import decode_intent, digest, encode
from sync_protocol.wire.messages import BATCH_INTENTS_MAX, PushReply, PushRequest, PushResult, PushStatus
from tests.client_sdk.handmade import Handmade, new_customer
from tests.support.faults import FaultyEndpoint
from tests.support.world import ManualClock, World

CLOCK = ManualClock()
SURROUNDINGS = Surroundings(CLOCK, IdSource(CLOCK), "Europe/Amsterdam")


@pytest.fixture
async def device(tmp_path: Path) -> OrderClient:
    return await OrderClient.open(tmp_path / "device.db", clock=CLOCK, inline=True)


def order(number: int, customer: int = 1, lines: int = 1) -> SubmitOrder:
    return SubmitOrder(
        order_id=UUID(int=1_000 + number),
        number=f"R1-{number:06}",
        customer_id=UUID(int=customer),
        currency="EUR",
        lines=tuple(
            RequestedLine(line_id=UUID(int=100_000 * number + line), product_id=UUID(int=9), quantity=1, unit_price=10_000)
            for line in range(lines)
        ),
    )


def cancel(number: int) -> CancelOrder:
    return CancelOrder(order_id=UUID(int=1_000 + number))


def prospect(customer: int) -> CreateCustomer:
    return CreateCustomer(
        customer_id=UUID(int=customer),
        address_id=UUID(int=50),
        contact_id=UUID(int=51),
        territory_id=UUID(int=52),
        name="N",
        street="S",
        postal_code="1",
        city="C",
        country="NL",
        contact_name="N",
    )


def put(device: OrderClient, *intents: Intent) -> list[UUID]:
    return [device._store.write_now(outbox.enqueue, intent, SURROUNDINGS).id for intent in intents]


def batches(device: OrderClient, after: int = 0) -> list[list[UUID]]:
    """The batches of the rest of a round; what is left up to `after` could not be decided in it."""
    found = []
    while batch := device._store.read_now(outbox.next_batch, after):
        found.append([waiting.envelope.id for waiting in batch])
        device._store.writer.execute(
            f"DELETE FROM outbox WHERE sequence IN ({', '.join(str(waiting.sequence) for waiting in batch)})"
        )
        after = batch[-1].sequence
    return found


async def test_a_sealed_envelope_says_what_it_was_decided_on(device: OrderClient) -> None:
    intent = order(1)
    (intent_id,) = put(device, intent)
    (waiting,) = device._store.read_now(outbox.next_batch, 0)
    envelope = waiting.envelope
    assert envelope.id == intent_id
    assert decode_intent(envelope.body) == intent
    assert envelope.digest == digest(envelope.body) == digest(encode(intent))
    assert (envelope.kind, envelope.schema_version) == ("SubmitOrder", SubmitOrder.schema_version)
    assert (envelope.captured_at_ms, envelope.time_zone) == (CLOCK.now_ms(), "Europe/Amsterdam")
    assert (envelope.decided_at_cursor, envelope.clock_skew_ms) == (0, None)


async def test_intents_are_sent_in_the_order_in_which_they_were_made(device: OrderClient) -> None:
    made = put(device, *(order(number) for number in range(1, 30)), cancel(3), cancel(1))
    assert batches(device) == [made]


async def test_a_batch_is_bounded_in_number(device: OrderClient) -> None:
    made = put(device, *(order(number) for number in range(1, 2 * BATCH_INTENTS_MAX + 8)))
    found = batches(device)
    assert [len(batch) for batch in found] == [BATCH_INTENTS_MAX, BATCH_INTENTS_MAX, 7]
    assert [each for batch in found for each in batch] == made


async def test_a_batch_is_bounded_in_bytes(device: OrderClient) -> None:
    made = put(device, order(1, lines=1_500), order(2, lines=2_000), order(3, lines=2_000), order(4), order(5))
    sizes = dict(device._store.reader.execute("SELECT intent_id, length(envelope) FROM outbox").fetchall())
    found = batches(device)
    assert [each for batch in found for each in batch] == made
    assert len(found) >= 3
    for batch in found:
        assert len(batch) == 1 or sum(sizes[each.bytes] for each in batch) <= BATCH_BYTES_MAX


async def test_what_is_on_a_blocked_lane_waits_and_the_others_go_on(device: OrderClient) -> None:
    _, second, _, fourth = put(device, order(1, customer=7), order(2, customer=8), cancel(1), cancel(2))
    assert batches(device, after=1) == [[second, fourth]]


async def test_what_waits_for_what_waits_waits_too(device: OrderClient) -> None:
    put(device, prospect(7), order(1, customer=7), cancel(1))
    other = put(device, order(2, customer=8))
    assert batches(device, after=1) == [other], "the cancellation must not overtake its order"


async def test_an_order_and_its_changes_wait_for_their_prospect_in_later_batches_too(device: OrderClient) -> None:
    first = put(device, prospect(7))
    fillers = put(device, *(order(number, customer=8) for number in range(10, 9 + BATCH_INTENTS_MAX)))
    dependants = put(device, order(1, customer=7), AmendOrder(order_id=UUID(int=1_001), revision=0, lines=order(1).lines))
    late = put(device, *(order(number, customer=8) for number in range(1_000, 1_000 + BATCH_INTENTS_MAX)), cancel(1))
    batch = device._store.read_now(outbox.next_batch, 0)
    assert [waiting.envelope.id for waiting in batch] == first + fillers
    device._store.writer.execute("DELETE FROM outbox WHERE sequence BETWEEN 2 AND ?", (BATCH_INTENTS_MAX,))
    sent, after = [], batch[-1].sequence
    while batch := device._store.read_now(outbox.next_batch, after):
        sent += [waiting.envelope.id for waiting in batch]
        device._store.writer.execute("DELETE FROM outbox WHERE sequence = ?", (batch[0].sequence,))
        after = batch[-1].sequence
    assert sent == late[:-1]
    assert len(dependants) == 2


async def test_an_intent_made_after_everything_was_sent_still_comes_behind_it(device: OrderClient) -> None:
    put(device, order(1), order(2))
    device._store.writer.execute(
        "INSERT INTO journal SELECT sequence, intent_id, kind, subject_id, envelope, 'accepted', x'00', 1, 1 FROM outbox"
    )
    device._store.writer.execute("DELETE FROM outbox")
    put(device, order(3))
    assert device._store.reader.execute("SELECT sequence FROM outbox").get == 3


async def test_what_the_server_cannot_decide_says_why_and_is_counted(device: OrderClient) -> None:
    (first,) = put(device, order(1, lines=3))
    (before,) = await device.outbox()
    assert (before.attempts, before.problem) == (0, "")
    assert (before.order_number, before.summary) == ("R1-000001", "SubmitOrder R1-000001, 3 lines")
    for attempt in (1, 2):
        device._store.write_now(outbox.note_problem, first, f"try {attempt}")
        (after,) = await device.outbox()
        assert (after.attempts, after.problem) == (attempt, f"try {attempt}")


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


async def test_an_intent_whose_id_was_taken_is_decided_all_the_same_and_exactly_once(world: World, tmp_path: Path) -> None:
    other = await Handmade.of(world)
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()
        (waiting,) = await device.outbox()
        taken = msgspec.structs.replace(other.envelope(other.order(1)), id=waiting.intent_id)
        await other.push(taken)
        verdicts = [entry for _ in range(3) for entry in (await device.sync()).verdicts]
        assert [entry.verdict.outcome for entry in verdicts] == [Outcome.ACCEPTED]
        assert await device.outbox() == []
        assert len(await device.orders()) == 2


class Liar(FaultyEndpoint):
    """A server whose answers are somebody else's, or to another question."""

    lie = "audience"

    async def push(self, request: PushRequest) -> PushReply:
        reply = await super().push(request)
        swapped = tuple(reversed(reply.results))
        garbled = tuple(msgspec.structs.replace(each, verdict=b"\xc1") for each in reply.results)
        extra = (*reply.results, PushResult(intent_id=UUID(int=3), status=PushStatus.DEFERRED))
        lies = {
            "audience": {"audience": UUID(int=1)},
            "order": {"results": swapped},
            "fewer": {"results": reply.results[:-1]},
            "more": {"results": extra},
            "garbled": {"results": garbled},
            "truth": {},
        }
        return msgspec.structs.replace(reply, **lies[self.lie])


async def test_an_answer_to_another_question_changes_nothing(world: World, tmp_path: Path) -> None:
    liars: list[Liar] = []

    def wire(inner: object) -> Liar:
        liars.append(Liar(inner, [], random.Random(1), []))
        return liars[-1]

    async with await world.enrolled_device("rep0", tmp_path / "device.db", wrap=wire) as device:
        Liar.lie = "truth"
        await device.sync()
        await device.create_customer(new_customer(world))
        await device.create_customer(new_customer(world))
        before = await device.outbox()
        for lie in ("audience", "order", "fewer", "more", "garbled"):
            Liar.lie = lie
            with pytest.raises(BadReplyError):
                await device.sync()
            assert await device.outbox() == before
            assert await device.journal() == []
        Liar.lie = "truth"
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED] * 2
        assert len(await device.customers()) == 4
