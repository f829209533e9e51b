"""Which lists are computed, of what and by which rules: written as a whole, and refused where it could never be computed."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from server.catalog.models import CategoryModel, ProductModel
from server.pricing.computed_errors import ComputedListNotFoundError, ListIsComputedError, UnfitComputedListError
from server.pricing.computed_models import ComputedListModel, PriceRuleModel
from server.pricing.computed_prices import PriceRule
from server.pricing.models import PriceListModel
from server.runtime.database import ReadSession, WriteSession
from server.runtime.rows import fetch_row
from sync_protocol.entities.pricing import PriceList

RULES_MAX: Final = 10_000


class Source(StrEnum):
    """What the prices of a computed list are made of."""

    LIST = "list"
    COST = "cost"


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a list is made of: another list, or what products cost. A product for which there is no rule is not on it."""

    source: Source
    base_list_id: UUID | None = None
    rules: Annotated[tuple[PriceRule, ...], Meta(min_length=1, max_length=RULES_MAX)]


class ComputedList(msgspec.Struct, frozen=True, kw_only=True):
    """A computed list. `problem` says why its prices stay as they were; `is_due` that a rule or cost changed since."""

    price_list_id: UUID
    definition: Definition
    computed_at_ms: int | None
    is_due: bool
    problem: str | None


async def computed_lists(session: ReadSession) -> Sequence[ComputedList]:
    """All of them, what is made of another after it."""
    rows = (await session.execute(sa.select(ComputedListModel).order_by(ComputedListModel.price_list_id))).scalars().all()
    by_id = {row.price_list_id: row for row in rows}
    ordered = in_order({row.price_list_id: row.base_list_id for row in rows})
    return [await _as_computed(session, by_id[each]) for each in ordered]


async def open_computed_list(session: ReadSession, price_list_id: UUID) -> ComputedList:
    """Raises ComputedListNotFoundError."""
    row = await session.get(ComputedListModel, price_list_id, populate_existing=True)
    if row is None:
        raise ComputedListNotFoundError(price_list_id)
    return await _as_computed(session, row)


async def _as_computed(session: ReadSession, row: ComputedListModel) -> ComputedList:
    query = sa.select(PriceRuleModel).where(PriceRuleModel.price_list_id == row.price_list_id).order_by(PriceRuleModel.number)
    rules = (await session.execute(query.execution_options(populate_existing=True))).scalars().all()
    values = [{name: getattr(rule, name) for name in PriceRule.__struct_fields__} for rule in rules]
    return ComputedList(
        price_list_id=row.price_list_id,
        definition=Definition(
            source=Source(row.source),
            base_list_id=row.base_list_id,
            rules=tuple(msgspec.convert(each, PriceRule) for each in values),
        ),
        computed_at_ms=row.computed_at_ms,
        is_due=row.asked != row.done,
        problem=row.problem,
    )


async def put_computed_list(session: WriteSession, price_list_id: UUID, definition: Definition) -> ComputedList:
    """Have a list computed from now on, or by other rules than before. Raises UnfitComputedListError.

    The lists are held: of two whose rules would close a circle the second finds the first.
    """
    await session.execute(sa.select(PriceListModel.id).order_by(PriceListModel.id).with_for_update(key_share=True))
    await require_fit(session, price_list_id, definition)
    row = await session.get(ComputedListModel, price_list_id, with_for_update=True, populate_existing=True)
    if row is None:
        row = ComputedListModel(price_list_id=price_list_id, asked=0, done=0, seen_seq=0)
        session.add(row)
    row.source, row.base_list_id, row.problem = str(definition.source), definition.base_list_id, None
    row.asked += 1
    await session.flush()
    await session.execute(sa.delete(PriceRuleModel).where(PriceRuleModel.price_list_id == price_list_id))
    rules = [
        {"price_list_id": price_list_id, "number": number, **msgspec.structs.asdict(rule), "rounding": str(rule.rounding)}
        for number, rule in enumerate(definition.rules, start=1)
    ]
    await session.execute(sa.insert(PriceRuleModel), rules)
    return await open_computed_list(session, price_list_id)


async def delete_computed_list(session: WriteSession, price_list_id: UUID) -> None:
    """Let a list be written by hand again. Its prices stay as they are. Raises ComputedListNotFoundError."""
    await hold_list(session, price_list_id)
    if await session.get(ComputedListModel, price_list_id) is None:
        raise ComputedListNotFoundError(price_list_id)
    for model in (PriceRuleModel, ComputedListModel):
        await session.execute(sa.delete(model).where(model.price_list_id == price_list_id))
    session.expunge_all()


async def hold_list(session: WriteSession, price_list_id: UUID) -> None:
    """Let nobody else write the prices of a list, or say what they are made of, until this transaction ends."""
    held = sa.select(PriceListModel.id).where(PriceListModel.id == price_list_id)
    await session.execute(held.with_for_update(key_share=True))


async def refuse_computed(session: ReadSession, price_list_id: UUID) -> None:
    """Refuse to write prices that follow from rules. Raises ListIsComputedError."""
    row = await session.get(ComputedListModel, price_list_id, populate_existing=True)
    if row is not None:
        base = await session.get(PriceListModel, row.base_list_id) if row.base_list_id is not None else None
        raise ListIsComputedError(price_list_id, f"list {base.code}" if base is not None else "what products cost")


async def require_fit(session: ReadSession, price_list_id: UUID, definition: Definition) -> None:
    """Raises UnfitComputedListError."""
    faults = _rule_faults(definition.rules)
    faults |= await _unknown(session, definition.rules)
    faults |= await _source_faults(session, price_list_id, definition)
    if faults:
        raise UnfitComputedListError(faults)


def _rule_faults(rules: Iterable[PriceRule]) -> dict[str, str]:
    faults: dict[str, str] = {}
    first: dict[tuple[UUID | None, UUID | None], int] = {}
    for place, rule in enumerate(rules):
        at = f"rules[{place}]"
        same = first.setdefault((rule.product_id, rule.category_id), place)
        if rule.product_id is not None and rule.category_id is not None:
            faults[f"{at}.category_id"] = "does not go with product_id; make two rules of it"
        elif same != place:
            faults[at] = f"is for the same as rules[{same}]; leave one of them out"
        if rule.step_minor is None and rule.ending_minor:
            faults[f"{at}.step_minor"] = "is missing: an ending such as 99 has a step such as 100; give it, or no ending"
        elif rule.step_minor is not None and rule.ending_minor >= rule.step_minor:
            faults[f"{at}.ending_minor"] = f"is not below the step {rule.step_minor}; give 0 to {rule.step_minor - 1}"
    return faults


async def _unknown(session: ReadSession, rules: Sequence[PriceRule]) -> dict[str, str]:
    faults: dict[str, str] = {}
    for field, model in (("product_id", ProductModel), ("category_id", CategoryModel)):
        wanted = {value for rule in rules if (value := getattr(rule, field)) is not None}
        column = model.__table__.c.id
        found = set((await session.execute(sa.select(column).where(column.in_(wanted)))).scalars()) if wanted else set()
        name = field.removesuffix("_id")
        for place, rule in enumerate(rules):
            value = getattr(rule, field)
            if value is not None and value not in found:
                faults[f"rules[{place}].{field}"] = f"names no {name}; check the id"
    return faults


async def _source_faults(session: ReadSession, price_list_id: UUID, definition: Definition) -> dict[str, str]:
    price_list = await fetch_row(session, PriceList, price_list_id)
    if price_list is None:
        return {"price_list_id": "names no price_list; check the id"}
    if definition.source is Source.COST:
        return {"base_list_id": "does not go with the source cost; leave it out"} if definition.base_list_id is not None else {}
    if definition.base_list_id is None:
        return {"base_list_id": "is missing; name the list that the prices are made of"}
    base = await fetch_row(session, PriceList, definition.base_list_id)
    if base is None:
        return {"base_list_id": "names no price_list; check the id"}
    if base.currency != price_list.currency:
        return {"base_list_id": problem_of_currency(price_list, base)}
    return await _circle(session, price_list, base)


def problem_of_currency(price_list: PriceList, base: PriceList) -> str:
    """Why prices of this base can be none of the list."""
    return f"is {base.code} in {base.currency}, and {price_list.code} is in {price_list.currency}; name a list in this currency"


async def _circle(session: ReadSession, price_list: PriceList, base: PriceList) -> dict[str, str]:
    query = sa.select(ComputedListModel.price_list_id, ComputedListModel.base_list_id)
    bases: dict[UUID, UUID | None] = {row.price_list_id: row.base_list_id for row in await session.execute(query)}
    bases[price_list.id] = base.id
    path = [price_list.id]
    each: UUID | None = base.id
    while each is not None and each not in path:
        path.append(each)
        each = bases.get(each)
    if each is None:
        return {}
    named = sa.select(PriceListModel.id, PriceListModel.code).where(PriceListModel.id.in_(path))
    codes: dict[Any, str] = {row.id: row.code for row in await session.execute(named)}
    listed = " of ".join(codes[each] for each in (*path, each))
    return {"base_list_id": f"closes a circle: {listed}; name a list that is not made of this one"}


def in_order(bases: Mapping[UUID, UUID | None]) -> list[UUID]:
    """The computed lists, each after the one that it is made of."""
    ordered: dict[UUID, None] = {}
    for start in bases:
        path: list[UUID] = []
        each: UUID | None = start
        while each in bases and each not in ordered and each not in path:
            assert each is not None
            path.append(each)
            each = bases[each]
        ordered |= dict.fromkeys(reversed(path))
    return list(ordered)
