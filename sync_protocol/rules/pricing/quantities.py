"""In which quantities a line is sold (P-40 to P-42)."""

from collections.abc import Sequence
from math import lcm
from typing import Final, NamedTuple
from uuid import UUID

from sync_protocol.entities.pricing import ListQuantityRule, PriceList, ProductQuantityRule, Strength
from sync_protocol.rules.pricing.explanation import LinePrice, Obstacle, QuantityAnswer
from sync_protocol.rules.pricing.facts import Facts
from sync_protocol.values import QUANTITY_MAX

Rule = ListQuantityRule | ProductQuantityRule | PriceList


class _Fields(NamedTuple):
    minimum: int | None
    multiple: int | None
    pack: int | None


"""The largest quantity that travels."""
_FIELDS: Final = ("minimum_quantity", "multiple_quantity", "pack_quantity")


def quantity_answers(product_id: UUID, quantity: int, facts: Facts) -> tuple[QuantityAnswer, ...]:
    """What the rules say of a quantity: the required ones, and those that are recommended."""
    levels = _levels(product_id, facts)
    if not levels:
        return ()
    required = _resolved(levels, Strength.REQUIRED)
    recommended = _resolved(levels, Strength.RECOMMENDED)
    answers = []
    if any(each is not None for each in required):
        answers.append(_answer(Strength.REQUIRED, required, (required,), quantity))
    if any(each is not None for each in recommended):
        answers.append(_answer(Strength.RECOMMENDED, recommended, (required, recommended), quantity))
    return tuple(answers)


def _levels(product_id: UUID, facts: Facts) -> list[Sequence[Rule]]:
    on_lists = facts.list_rules.get(product_id, ())
    levels: list[Sequence[Rule]] = []
    for used in facts.chain.used:
        if on_lists:
            levels.append([rule for rule in on_lists if rule.price_list_id == used.price_list.id])
        if used.has_rules:
            levels.append([used.price_list])
    if product_id in facts.product_rules:
        levels.append(facts.product_rules[product_id])
    return levels


def _resolved(levels: Sequence[Sequence[Rule]], strength: Strength) -> _Fields:
    """Of each field the rule of the nearest level that has one; of several on a level the largest."""
    found: list[int | None] = []
    for field in _FIELDS:
        values: list[int] = []
        for level in levels:
            values = [value for rule in level if rule.strength is strength and (value := getattr(rule, field)) is not None]
            if values:
                break
        found.append(max(values, default=None))
    return _Fields(*found)


def _answer(strength: Strength, own: _Fields, all_rules: Sequence[_Fields], quantity: int) -> QuantityAnswer:
    minimum = max((each.minimum or 1 for each in all_rules), default=1)
    step = lcm(*(value or 1 for each in all_rules for value in (each.multiple, each.pack)))
    is_kept = quantity >= minimum and quantity % step == 0
    first = -(-minimum // step) * step
    below = (quantity - 1) // step * step
    above = max(first, quantity // step * step + step)
    return QuantityAnswer(
        strength=strength,
        minimum=own.minimum,
        multiple=own.multiple,
        pack=own.pack,
        is_kept=is_kept,
        below=None if is_kept or below < first else below,
        above=None if is_kept or above > QUANTITY_MAX else above,
    )


def nearest_quantities(line: LinePrice) -> tuple[int, ...]:
    """The nearest quantities that the line could be bought in, the smaller one first; none where that is not what is wrong.

    They keep the required rules and the line's own pack at once: neither sends its user round in circles.
    """
    if line.obstacle is Obstacle.BELOW_SMALLEST_BREAK and line.gap is not None:
        return (line.quantity + (line.gap.missing_quantity or 0),)
    if line.obstacle not in {Obstacle.NOT_IN_PACKS, Obstacle.QUANTITY_NOT_SOLD}:
        return ()
    own = _Fields(None, None, line.pack_quantity)
    required = (_Fields(each.minimum, each.multiple, each.pack) for each in line.quantities if each.strength is Strength.REQUIRED)
    answer = _answer(Strength.REQUIRED, own, (own, *required), line.quantity)
    return tuple(quantity for quantity in (answer.below, answer.above) if quantity is not None)
