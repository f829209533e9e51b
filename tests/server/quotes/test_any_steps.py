"""Whatever steps are tried in whatever order: a quote moves as the table says, and no price is promised but by an acceptance."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from server.identity.principals import Role
from server.pricing.models import AgreedPriceModel
from server.quotes.jobs import expire_offers
from server.runtime.slices import JobContext
from sync_protocol.entities.quotes import QuoteStatus
from sync_protocol.rules.quote_states import TRANSITIONS, Side, may_step
from tests.support.office import SECOND_MS, Office

STEPS = 14
SIDES = {
    Side.CUSTOMER: (Role.BUYER, ("counter", "acceptance", "withdrawal")),
    Side.OFFICE: (Role.MANAGER, ("offer", "acceptance", "refusal")),
}


class Walk:
    """A quote, and a chance of what is tried next."""

    def __init__(self, office: Office, chance: Random) -> None:
        self.office, self.chance = office, chance
        self.known: dict[str, Any] = {}

    async def begin(self) -> None:
        lines = [{"product_id": str(self.office.product), "quantity": 10, "wanted_unit_price": 5_0000}]
        body = {"currency": "EUR", "lines": lines}
        response = await self.office.client.post("/negotiated-quotes", headers=self.office.as_(Role.BUYER), json=body)
        self.known = response.json()

    @property
    def status(self) -> QuoteStatus:
        return QuoteStatus(self.known["status"])

    async def look(self) -> None:
        path = f"/negotiated-quotes/{self.known['id']}"
        self.known = (await self.office.client.get(path, headers=self.office.as_(Role.MANAGER))).json()

    def body(self, side: Side, step: str) -> dict[str, Any]:
        revision = {"revision": self.known["revision"]}
        until = {"valid_until_ms": self.office.clock.reading + self.chance.choice((60, 600)) * SECOND_MS}
        price = self.chance.randrange(1, 9_0000)
        match step:
            case "offer":
                return revision | until | {"lines": [{"line_id": line["id"], "unit_price": price} for line in self.known["lines"]]}
            case "counter":
                wanted = {"product_id": str(self.office.product), "quantity": self.chance.randrange(1, 40)}
                return revision | {"lines": [wanted | {"wanted_unit_price": price}]}
            case "acceptance":
                return revision | (until if side is Side.OFFICE else {})
            case "refusal":
                return revision | {"reason": "no"}
        return {}

    async def try_step(self) -> tuple[Side, str, bool]:
        """Try something; who did what, and whether it was taken."""
        side = self.chance.choice(tuple(SIDES))
        role, steps = SIDES[side]
        step = self.chance.choice(steps)
        path = f"/negotiated-quotes/{self.known['id']}/{step}"
        response = await self.office.client.post(path, headers=self.office.as_(role), json=self.body(side, step))
        assert response.status_code in {200, 409}, response.text
        return side, step, response.status_code == 200


@pytest.mark.parametrize("seed", range(6))
async def test_a_quote_moves_as_the_table_says_and_promises_what_was_accepted_alone(office: Office, seed: int) -> None:
    walk = Walk(office, Random(seed))
    await walk.begin()
    for _ in range(STEPS):
        before = walk.known
        office.clock.advance(walk.chance.choice((1, 1, 90)))
        side, step, taken = await walk.try_step()
        if walk.chance.random() < 0.2:
            await expire_offers(JobContext(database=office.database, clock=office.clock, retention_days=90))
        await walk.look()
        path = [QuoteStatus(each["status"]) for each in walk.known["rounds"]]
        assert [each["revision"] for each in walk.known["rounds"]] == [*range(walk.known["revision"] + 1)]
        assert len(path) - len(before["rounds"]) <= taken + 1, (side, step)
        assert all(target in TRANSITIONS[source] for source, target in pairwise(path)), path
        if taken:
            source, target = path[len(before["rounds"]) - 1 : len(before["rounds"]) + 1]
            is_late = step == "acceptance" and target is QuoteStatus.COUNTERED
            assert may_step(Side.SERVER if is_late else side, source, target), (side, step)
        async with office.database.read() as session:
            agreed = (await session.execute(sa.select(AgreedPriceModel))).scalars().all()
        has_agreed = QuoteStatus.ACCEPTED in path
        assert len(agreed) == has_agreed
        for price, line in zip(agreed, walk.known["lines"], strict=False):
            assert (price.unit_price, price.min_quantity) == (line["offered_unit_price"], line["quantity"])
