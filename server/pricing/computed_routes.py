"""Lists that are computed, over HTTP: their rules, what these would make, and computing them at once."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from server.identity.principals import OFFICE, allow_signed_in
from server.pricing.computed_lists import (
    ComputedList,
    Definition,
    computed_lists,
    delete_computed_list,
    open_computed_list,
    put_computed_list,
)
from server.pricing.computed_preview import ComputedPreview, preview_computed
from server.pricing.materialising import Run, materialise
from server.runtime.clock import Clock
from server.runtime.database import Database

_OPT: Final = allow_signed_in(*OFFICE)
_TAGS: Final = ("computed price lists",)
_PATH: Final = "/pricing/computed-lists"
_ONE: Final = f"{_PATH}/{{price_list_id:uuid}}"


class _Now:
    """A clock that stands at the instant of the request."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms


@get(_PATH, opt=_OPT, summary="List computed price lists", tags=_TAGS)
async def get_computed_lists(database: NamedDependency[Database]) -> Sequence[ComputedList]:
    """All of them with their rules, each after the list that it is made of."""
    async with database.read() as session:
        return await computed_lists(session)


@get(_ONE, opt=_OPT, summary="Open a computed price list", tags=_TAGS)
async def get_computed_list(price_list_id: FromPath[UUID], database: NamedDependency[Database]) -> ComputedList:
    """What the prices of a list are made of."""
    async with database.read() as session:
        return await open_computed_list(session, price_list_id)


@put(_ONE, opt=_OPT, summary="Have a price list computed", tags=_TAGS)
async def put_rules(price_list_id: FromPath[UUID], data: JSONBody[Definition], database: NamedDependency[Database]) -> ComputedList:
    """Say what its prices are made of; what was there before is replaced. They are computed within a minute, or by a run."""
    async with database.write() as session:
        return await put_computed_list(session, price_list_id, data)


@delete(_ONE, opt=_OPT, summary="Compute a price list no more", tags=_TAGS)
async def delete_rules(price_list_id: FromPath[UUID], database: NamedDependency[Database]) -> None:
    """Its prices stay as they are, and are changed by revisions from now on."""
    async with database.write() as session:
        await delete_computed_list(session, price_list_id)


@post(f"{_ONE}/preview", opt=_OPT, status_code=200, summary="Preview the rules of a price list", tags=_TAGS)
async def preview_rules(
    price_list_id: FromPath[UUID], data: JSONBody[Definition], database: NamedDependency[Database]
) -> ComputedPreview:
    """What these rules would make of the list as it is now: how many prices, and those that change most. Nothing is written."""
    async with database.read() as session:
        return await preview_computed(session, price_list_id, data)


@post(f"{_ONE}/run", opt=_OPT, status_code=200, summary="Compute a price list at once", tags=_TAGS)
async def run_list(price_list_id: FromPath[UUID], database: NamedDependency[Database], now_ms: NamedDependency[int]) -> Run:
    """Compute this list and those that it is made of. What is as it should be is not written."""
    async with database.read() as session:
        await open_computed_list(session, price_list_id)
    clock: Clock = _Now(now_ms)
    return await materialise(database, clock, price_list_id=price_list_id)


ROUTES: Final = (get_computed_lists, get_computed_list, put_rules, delete_rules, preview_rules, run_list)
