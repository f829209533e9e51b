"""What a price is made of, out of the tables: the look-ups of many baskets at once, each round in one statement a table."""

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar, cast

from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.pricing import AgreedPrice
from sync_protocol.entities.promotions import Promotion, PromotionUse
from sync_protocol.rules.pricing.terms import Lookup
from sync_protocol.values import Row

Answer = TypeVar("Answer")
R = TypeVar("R", bound=Row)
_CONSUMED: Final = frozenset({AgreedPrice, PromotionUse})
"""Rows that an order uses up, locked before they are counted on."""


class Rows(Protocol):
    """Where rows are looked up."""

    async def find_all(self, kind: type[R], columns: tuple[str, ...], keys: Iterable[tuple[Any, ...]]) -> list[R]:
        """The rows whose columns are one of the keys."""


async def gathered_from(rows: Rows, gathering: Generator[Lookup, Sequence[Any], Answer]) -> Answer:
    """Run a gathering to its end, one look-up after the other."""
    try:
        lookup = next(gathering)
        while True:
            lookup = gathering.send(await rows.find_all(lookup.row, lookup.columns, lookup.keys))
    except StopIteration as end:
        return cast("Answer", end.value)


async def gathered(work: UnitOfWork, gathering: Generator[Lookup, Sequence[Any], Answer], *, lock: bool) -> Answer:
    """Run a gathering to its end. `lock` is for who will use up what is found."""
    (answer,) = await gathered_together(work, [gathering], lock=lock)
    return answer


async def gathered_together(
    work: UnitOfWork, gatherings: Sequence[Generator[Lookup, Sequence[Any], Answer]], *, lock: bool
) -> list[Answer]:
    """Run gatherings side by side: what all of them ask for next is read at once."""
    answers: dict[int, Answer] = {}
    asking: dict[int, Lookup] = {}
    sent: dict[int, Sequence[Any] | None] = dict.fromkeys(range(len(gatherings)))
    while sent:
        for place, rows in sent.items():
            try:
                asking[place] = next(gatherings[place]) if rows is None else gatherings[place].send(rows)
            except StopIteration as end:
                asking.pop(place, None)
                answers[place] = end.value
        await _read(work, list(asking.values()), lock=lock)
        sent = {place: await _found(work, lookup, lock=lock) for place, lookup in asking.items()}
    return [answers[place] for place in range(len(gatherings))]


async def _read(work: UnitOfWork, lookups: Sequence[Lookup], *, lock: bool) -> None:
    together: dict[tuple[type[Any], tuple[str, ...]], dict[tuple[Any, ...], None]] = {}
    for lookup in lookups:
        together.setdefault((lookup.row, lookup.columns), {}).update(dict.fromkeys(lookup.keys))
    for (row, columns), keys in together.items():
        await work.load_by(row, columns, keys, lock=lock and row in _CONSUMED)
        if lock and row is Promotion:
            await _lock_budgets(work)


async def _lock_budgets(work: UnitOfWork) -> None:
    """Of promotions with a budget two orders must not both count on what is left."""
    budgeted = [each.id for each in await work.find_all(Promotion, (), [()]) if each.budget_minor is not None]
    await work.load(Promotion, sorted(budgeted), lock=True)


async def _found(work: UnitOfWork, lookup: Lookup, *, lock: bool) -> Sequence[Any]:
    return await work.find_all(lookup.row, lookup.columns, lookup.keys, lock=lock and lookup.row in _CONSUMED)
