"""The office's side of prices, as a manager speaks to it over HTTP, and a row of each kind that fits a world."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sync_protocol.values import uuid7
from tests.support.management import Manager, managing
from tests.support.office import problem
from tests.support.world import START_MS, World

Body = dict[str, Any]


class PriceOffice:
    """A manager at the routes of prices. `chance` makes ids that are new and the same in each run."""

    def __init__(self, manager: Manager) -> None:
        self.world = manager.world
        self.client = manager.client
        self.chance = random.Random(7)

    def new_id(self) -> str:
        return str(uuid7(START_MS, self.chance.getrandbits(74)))

    async def get(self, path: str, **query: Any) -> Body:
        response = await self.client.get(f"/pricing/{path}", params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def post(self, path: str, **body: Any) -> Body:
        response = await self.client.post(f"/pricing/{path}", json=body)
        assert response.status_code in {200, 201}, response.text
        return dict(response.json())

    async def put(self, path: str, row_id: str, body: Body, status: int = 201) -> Body:
        response = await self.client.put(f"/pricing/{path}/{row_id}", json=body)
        assert response.status_code == status, response.text
        return dict(response.json())

    async def delete(self, path: str, row_id: str) -> None:
        response = await self.client.delete(f"/pricing/{path}/{row_id}")
        assert response.status_code == 204, response.text

    async def refused(self, method: str, path: str, body: Any, status: int, code: str) -> Mapping[str, Any]:
        """The problem details of a request that must fail."""
        options = {} if body is None else {"json": body}
        return problem(await self.client.request(method, f"/pricing/{path}", **options), status, code)

    async def unfit(self, path: str, body: Body) -> Mapping[str, str]:
        """What is said of each field of a row that makes no sense."""
        return dict((await self.refused("POST", path, body, 400, "unfit_price_row"))["fields"])

    async def rows_of_each_kind(self) -> dict[str, Body]:
        """A row of each kind that is written, by its path; what is referred to is there when it comes to be put."""
        segment, promotion, other = self.new_id(), self.new_id(), self.new_id()
        customer, product, price_list = (self._id(each[0]) for each in self._of_the_world())
        line = {"phase": "line", "status": "paused", "priority": 1, "stacking": "stackable", "audience": "everyone"}
        offer = {**line, "kind": "volume_tiers", "reach": "all"}
        always = {"priority": 10, "exclusivity": "shared"}
        return {
            "segments": {"id": segment, "code": "GOLD", "name": "Gold tier"},
            "segment-members": {"customer_id": customer, "segment_id": segment, "valid_from_ms": 5, "valid_until_ms": 9},
            "price-lists": {"code": "ACTION", "name": "Action", "currency": "EUR", "order_minimum_minor": 5_000},
            "price-list-assignments": {"price_list_id": price_list, "segment_id": segment, "channel": "online", **always},
            "customer-price-lists": {"customer_id": customer, "price_list_id": price_list, **always},
            "agreed-prices": {
                "customer_id": customer,
                "product_id": product,
                "source": "contract",
                "reference": "K-1",
                "currency": "EUR",
                "min_quantity": 1,
                "unit_price": 9_9900,
                "remaining_quantity": 40,
                "address_id": self._id(self.world.company.addresses[0]),
            },
            "product-quantity-rules": {"product_id": product, "strength": "required", "pack_quantity": 6},
            "list-quantity-rules": {
                "price_list_id": price_list,
                "product_id": product,
                "strength": "recommended",
                "minimum_quantity": 2,
            },
            "discount-limits": {"role": "rep", "discount_basis_points": 500, "rep_id": self._id(self.world.company.reps[0])},
            "price-floors": {"product_id": product, "currency": "EUR", "unit_price": 7_0000},
            "promotions": {**offer, "id": promotion, "code": "MORE", "name": "More for less"},
            "promotion-audiences": {"promotion_id": promotion, "segment_id": segment},
            "promotion-targets": {"promotion_id": promotion, "role": "buy", "product_id": product},
            "promotion-tiers": {"promotion_id": promotion, "value_basis_points": 300, "min_quantity": 10},
            "promotion-exclusions": {"promotion_id": promotion, "other_id": other},
            "promotion-customers": {"promotion_id": promotion, "customer_id": customer},
            "tax-rates": {
                "jurisdiction": "NL",
                "customer_tax_code": "standard",
                "product_tax_code": "standard",
                "name": "VAT",
                "rate_ppm": 210_000,
            },
            "tax-exemptions": {"customer_id": customer, "jurisdiction": "US-CA", "certificate": "X-1"},
            "product-costs": {"product_id": product, "currency": "EUR", "unit_cost": 5_0000, "per_quantity": 2, "valid_from_ms": 5},
            "margin-rules": {"minimum_margin_basis_points": 2_500, "product_id": product},
            "another-promotion": {**offer, "id": other, "code": "LESS", "name": "Less for more"},
        }

    def _of_the_world(self) -> tuple[Any, ...]:
        company = self.world.company
        return company.customers, company.products, company.price_lists

    @staticmethod
    def _id(row: Any) -> str:
        return str(row.id)


def uuid_of(body: Mapping[str, Any]) -> UUID:
    return UUID(body["id"])


@asynccontextmanager
async def pricing(world: World) -> AsyncIterator[PriceOffice]:
    async with managing(world) as manager:
        yield PriceOffice(manager)
