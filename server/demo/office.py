"""The office of the demo: a manager at the API, and what changes there while the rep is on the road."""

from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import httpx2
import sqlalchemy as sa

from server.catalog.models import ProductModel
from server.changelog.log import seal_before_commit
from server.demo.catalogue import Article
from server.inventory.models import StockLevelModel
from server.pricing.models import PriceEntryModel
from server.runtime.clock import Clock
from server.runtime.database import Database
from sync_protocol.entities.catalog import ProductStatus
from sync_protocol.values import BASIS_POINTS

_PRICE_STEP: Final = 1_000
_SECONDS_MAX: Final = 20


class Manager:
    """Somebody who is signed in to the API. Use it as a context."""

    def __init__(self, server_url: str) -> None:
        self._client = httpx2.Client(base_url=server_url, timeout=_SECONDS_MAX)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def sign_in(self, login: str, password: str) -> None:
        session = self._ask("POST", "/session", json={"login": login, "password": password})
        self._client.headers["Authorization"] = f"Bearer {session['token']}"

    def enrolment_code(self, login: str) -> str:
        """A single-use code for a device of the user with this login."""
        users = self._ask("GET", "/users")["items"]
        user_id = next(user["id"] for user in users if user["login"] == login)
        return str(self._ask("POST", "/enrolment-codes", json={"user_id": user_id})["code"])

    def orders(self, **asked: str) -> list[dict[str, Any]]:
        """The newest orders."""
        items: list[dict[str, Any]] = self._ask("GET", "/orders", params=asked)["items"]
        return items

    def order(self, order_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/orders/{order_id}")

    def release(self, order_id: str, reason: str) -> dict[str, Any]:
        return self._ask("POST", f"/orders/{order_id}/release", json={"reason": reason})

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._client.request(method, path, **options)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


class OfficeChanges:
    """What the office's own systems do meanwhile: they write to the database as any program may, and the log sees it."""

    def __init__(self, database_url: str, clock: Clock) -> None:
        self._database_url = database_url
        self._clock = clock

    async def change_three_things(
        self, *, dearer: Article, price_list_id: UUID, short: Article, left: int, location_id: UUID, gone: Article
    ) -> None:
        """Raise one price by four percent, leave `left` free of one article at the location, discontinue one; in one commit."""
        database = Database(self._database_url, before_commit=seal_before_commit)
        try:
            async with database.write() as session:
                of_list = (PriceEntryModel.product_id == dearer.product.id, PriceEntryModel.price_list_id == price_list_id)
                for entry in (await session.execute(sa.select(PriceEntryModel).where(*of_list))).scalars():
                    entry.unit_price = raised(entry.unit_price)
                there = (StockLevelModel.product_id == short.product.id, StockLevelModel.stock_location_id == location_id)
                level = (await session.execute(sa.select(StockLevelModel).where(*there))).scalar_one()
                level.on_hand, level.as_of_ms = level.allocated + left, self._clock.now_ms()
                discontinued = await session.get_one(ProductModel, gone.product.id)
                discontinued.status = ProductStatus.DISCONTINUED
        finally:
            await database.close()


def raised(unit_price: int) -> int:
    """Four percent more, to ten cents."""
    return (unit_price * (BASIS_POINTS + 400) // BASIS_POINTS // _PRICE_STEP + 1) * _PRICE_STEP
