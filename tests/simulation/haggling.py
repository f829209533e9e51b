"""Negotiations: reps ask for prices, counter, accept and order without a network; the office offers, takes and refuses."""

from uuid import UUID

import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.negotiating import WantedQuote
from client_sdk.quote_views import QuoteView
from server.quotes.office import Offer, OfferedLine, accept_wanted, offer, refuse
from server.quotes.steps import taker_of
from server.runtime.database import WriteSession
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.quotes import NegotiatedQuote, NegotiatedQuoteLine, QuoteStatus
from tests.simulation.handset import Handset
from tests.simulation.plan import DAY_MS, Step
from tests.simulation.world import SimulatedWorld

_OPEN_TO_THE_OFFICE = (QuoteStatus.REQUESTED, QuoteStatus.COUNTERED, QuoteStatus.OFFERED)


_AT_HAND = (QuoteStatus.OFFERED, QuoteStatus.ACCEPTED)
"""What a rep looks at first."""


async def haggle(world: SimulatedWorld, handset: Handset, step: Step) -> None:
    """A rep asks for a quote, or takes the next step in one."""

    async def act(client: OrderClient) -> None:
        listed = sorted(await client.quotes.list(), key=lambda each: each.quote.id)
        quotes = [each for each in listed if each.standing in _AT_HAND] or listed
        if quotes and step.pick(0, 3):
            await _step(world, client, quotes[step.pick(1, len(quotes))], step)
        else:
            customers = sorted(await client.customers(limit=10), key=lambda each: each.id)
            if not customers:
                return
            await client.quotes.request(customers[step.pick(1, len(customers))].id, _lines(world, step))
            world.trace.saw("quote: requested")
        handset.saved()

    if step.pick(6, 3):
        await handset.sync()
    await handset.attempt(act)
    handset.check_held()


def _lines(world: SimulatedWorld, step: Step) -> list[WantedQuote]:
    wanted = 1 + step.pick(4, 90_000) if step.pick(5, 2) else None
    return [WantedQuote(world.product(step.numbers[2]), 1 + step.pick(3, 14), wanted)]


async def _step(world: SimulatedWorld, client: OrderClient, chosen: QuoteView, step: Step) -> None:
    key = chosen.quote.id
    match chosen.standing:
        case QuoteStatus.OFFERED if step.pick(5, 4):
            await client.quotes.accept(key)
            world.trace.saw("quote: accepted")
            if step.pick(7, 2):
                await (await client.quotes.order(key)).submit()
                world.trace.saw("quote: ordered at once")
        case QuoteStatus.ACCEPTED:
            await (await client.quotes.order(key)).submit()
            world.trace.saw("quote: ordered")
        case QuoteStatus.OFFERED | QuoteStatus.REQUESTED | QuoteStatus.COUNTERED if step.pick(7, 4) == 0:
            await client.quotes.withdraw(key)
            world.trace.saw("quote: withdrawn")
        case _:
            await client.quotes.counter(key, _lines(world, step))
            world.trace.saw("quote: countered")


async def answer_quotes(world: SimulatedWorld, _handset: Handset, step: Step) -> None:
    """The office answers one that waits."""

    async def act(session: WriteSession) -> None:
        work = await UnitOfWork.of(session)
        states = ", ".join(f"'{status}'" for status in _OPEN_TO_THE_OFFICE)
        found = sa.text(f"SELECT id FROM negotiated_quote WHERE status IN ({states}) ORDER BY id")  # our own words
        waiting = [UUID(bytes=each) for each in (await session.execute(found)).scalars()]
        if not waiting:
            return
        manager = (await session.execute(sa.text("SELECT id FROM user_account WHERE role = 'manager'"))).scalar_one()
        taker = await taker_of(session, UUID(bytes=manager), ids=world.server.ids, now_ms=world.clock.now_ms())
        quote = await work.get(NegotiatedQuote, waiting[step.pick(0, len(waiting))], lock=True)
        assert quote is not None
        until_ms = taker.now_ms + (step.pick(1, 20) + 1) * DAY_MS
        kind = step.pick(2, 6)
        if kind == 0 and quote.status is not QuoteStatus.OFFERED:
            await accept_wanted(work, quote.id, revision=quote.revision, valid_until_ms=until_ms, said="for once", taker=taker)
            world.trace.saw("office: took what was wanted")
        elif kind == 1:
            await refuse(work, quote.id, revision=quote.revision, reason="no", taker=taker)
            world.trace.saw("office: refused a quote")
        else:
            lines = await work.find(NegotiatedQuoteLine, lock=True, quote_id=quote.id)
            prices = tuple(OfferedLine(line_id=line.id, unit_price=1 + step.pick(3, 90_000)) for line in lines)
            await offer(work, quote.id, Offer(revision=quote.revision, lines=prices, valid_until_ms=until_ms), taker)
            world.trace.saw("office: offered")
        await work.flush()

    await world.server.work(act)
