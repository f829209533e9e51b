"""The API of a world's server, as its manager speaks to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx2

from server.identity import service
from tests.support.office import bearer
from tests.support.world import World

SESSION_HOURS = 8_000


@asynccontextmanager
async def managing(world: World) -> AsyncIterator["Manager"]:
    """A signed-in manager of this company; the jobs do not run by themselves."""
    async with world.database.write() as session:
        user = await service.user_of_login(session, "manager")
        now_ms = world.clock.now_ms()
        signed_in = await service.open_session(session, user, ids=world.ids, now_ms=now_ms, session_hours=SESSION_HOURS)
    transport = world.http_transport()
    async with httpx2.AsyncClient(transport=transport, base_url="http://office", headers=bearer(signed_in.token)) as client:
        yield Manager(world, client)


class Manager:
    """What a manager does with a company: customers, territories and reps are named by their place in it."""

    def __init__(self, world: World, client: httpx2.AsyncClient) -> None:
        self.world = world
        self.client = client

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """What a request that must succeed answers."""
        response = await self.client.post(path, json=body)
        assert response.status_code in {200, 201}, response.text
        return dict(response.json())

    async def put(self, path: str, body: Any) -> dict[str, Any]:
        response = await self.client.put(path, json=body)
        assert response.status_code in {200, 201}, response.text
        return dict(response.json())

    async def open(self, path: str) -> dict[str, Any]:
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def move(self, *customers: int, to: int, late_orders: str = "route", **more: Any) -> dict[str, Any]:
        """Hand customers over to a territory."""
        company = self.world.company
        return await self.post(
            "/handovers",
            customer_ids=[str(company.customers[each].id) for each in customers],
            to_territory_id=str(company.territories[to].id),
            late_orders=late_orders,
            **more,
        )

    async def reassign(self, territory: int, *, to: int, late_orders: str = "route", **more: Any) -> dict[str, Any]:
        """Hand a territory over to a rep."""
        company = self.world.company
        return await self.post(
            "/handovers",
            territory_id=str(company.territories[territory].id),
            to_rep_id=str(company.reps[to].id),
            late_orders=late_orders,
            **more,
        )

    async def order(self, order_id: UUID) -> dict[str, Any]:
        return await self.open(f"/orders/{order_id}")
