"""What a device answers from its replica, the server from its tables and the rules from a book in memory is the same, to the byte.

Company after company moves into one database, and the devices of a rep and of a buyer follow by a sync: what is left of the one
before would show. `ROADBOOK_PARITY_CONTEXTS` tries so many baskets on each engine.
"""

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from client_sdk import OrderClient
from client_sdk.quoting import price, terms_for
from server.pricing.gathering import gathered, gathered_together
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.orders import Channel
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.engine import explanation_bytes, price_basket
from sync_protocol.rules.pricing.explanation import BasketPrice
from sync_protocol.rules.pricing.facts import gather_facts
from sync_protocol.rules.pricing.terms import Lookup, gather_terms
from tests.support.price_features import MAY_OCCUR, features
from tests.support.price_lookups import price_in
from tests.support.price_shrinking import as_python
from tests.support.price_world import BUYER, Priced, company_of, move_in
from tests.support.world import World

CONTEXTS = int(os.environ.get("ROADBOOK_PARITY_CONTEXTS", "600"))
BASKETS_EACH = 20
"""Of a company, half of them on each device: to move in and to follow costs as much as twenty baskets."""
SHARES = 2
"""Of the companies; each is a test of its own, so that two processors share them."""


def gather_price(customer: Customer, basket: Basket) -> Generator[Lookup, Sequence[Any], BasketPrice]:
    """All that is asked for a price, as one gathering."""
    terms = yield from gather_terms(customer)
    return price_basket(basket, (yield from gather_facts(terms, basket)))


async def by_server(world: World, baskets: Sequence[Basket]) -> list[bytes]:
    """Side by side, as the orders of one push are; the first one alone, too."""
    async with world.database.read() as session:
        work, alone = await UnitOfWork.of(session), await UnitOfWork.of(session)
        customer = await work.get(Customer, baskets[0].customer_id)
        assert customer is not None
        priced = await gathered_together(work, [gather_price(customer, basket) for basket in baskets], lock=False)
        assert await gathered(alone, gather_price(customer, baskets[0]), lock=False) == priced[0]
    return [explanation_bytes(each) for each in priced]


async def by_device(device: OrderClient, baskets: Sequence[Basket]) -> list[bytes]:
    def act(connection: apsw.Connection) -> list[bytes]:
        return [explanation_bytes(price(connection, terms_for(connection, each.customer_id), each)) for each in baskets]

    return await device._store.read(act)


def for_rep(basket: Basket) -> Basket:
    return msgspec.structs.replace(basket, channel=Channel.REP)


def for_buyer(basket: Basket) -> Basket:
    """A buyer's device knows no limits, as a buyer may not give a price by hand."""
    channel = Channel.ONLINE if basket.channel is Channel.ONLINE else Channel.BUYER
    lines = tuple(msgspec.structs.replace(line, manual=None) for line in basket.lines)
    return msgspec.structs.replace(basket, channel=channel, lines=lines, role="buyer", rep_id=None)


def require_same(priced: Priced, basket: Basket, **answers: bytes) -> BasketPrice:
    price_of_memory = price_in(priced.book, basket)
    expected = explanation_bytes(price_of_memory)
    for name, answer in answers.items():
        if answer != expected:
            print(f"{name} differs:\n{as_python((priced.book, basket))}")
            assert msgspec.json.decode(answer) == msgspec.json.decode(expected), name
            assert answer == expected, name
    return price_of_memory


@pytest.mark.parametrize("share", range(SHARES))
async def test_device_server_and_memory_answer_the_same_bytes(world: World, tmp_path: Path, share: int) -> None:
    device: OrderClient | None = None
    buyers: OrderClient | None = None
    shown: set[str] = set()
    for seed in range(share, CONTEXTS // BASKETS_EACH, SHARES):
        priced = company_of(seed, BASKETS_EACH // 2, world)
        await move_in(world, priced)
        device = device or await world.enrolled_device("rep0", tmp_path / "rep.db")
        buyers = buyers or await world.enrolled_device(BUYER, tmp_path / "buyer.db")
        for client, asked_by in ((device, for_rep), (buyers, for_buyer)):
            await client.sync()
            baskets = [asked_by(basket) for basket in priced.baskets]
            on_server, on_device = await by_server(world, baskets), await by_device(client, baskets)
            for basket, server, own in zip(baskets, on_server, on_device, strict=True):
                shown.update(features(priced.book, require_same(priced, basket, server=server, device=own)))
    for client in (device, buyers):
        if client is not None:
            await client.close()
    assert len(shown) >= len(MAY_OCCUR) * 3 // 5, f"never seen: {sorted(MAY_OCCUR - shown)}"
