"""Writes the vectors of prices: `python -m tests.rules.make_vectors`.

The answer in a vector is that of the naive reading of docs/PRICING.md; what a person says of it in `tests/rules/pricing_vectors`
is checked on the way. The engine is checked against what is written (`test_pricing_vectors.py`).
"""

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from sync_protocol.entities import BY_ROW
from tests.rules.naive.answer import naive_price
from tests.rules.naive.facts import rounded
from tests.rules.pricing_vectors import beside, by_hand, goods, kinds, lists, obstacles, offers, phases, prices, taxes
from tests.rules.pricing_vectors.declare import Vector

FOLDER = Path(__file__).parent / "vectors" / "pricing"
THEMES: Mapping[str, list[Vector]] = MappingProxyType(
    {
        "lists": lists.VECTORS,
        "prices": prices.VECTORS,
        "obstacles": obstacles.LINES,
        "quantities": obstacles.QUANTITIES,
        "offers_considered": offers.CONSIDERED,
        "offers_refused": offers.REFUSED,
        "offers_beside_each_other": beside.BESIDE,
        "offers_thresholds": kinds.THRESHOLDS,
        "offers_tiers": kinds.TIERS,
        "offers_sets": kinds.SETS,
        "offers_free_goods": goods.FREE,
        "offers_bundles": goods.BUNDLES,
        "offers_order": phases.ORDER,
        "offers_freight": phases.FREIGHT,
        "offers_limits": phases.LIMITS,
        "by_hand": by_hand.VECTORS,
        "taxes": taxes.VECTORS,
    }
)


REFUNDS = (
    ("all of it", 1_000, 3, (0, 3), 1_000),
    ("none of it", 1_000, 3, (1, 0), 0),
    ("the first of three", 1_000, 3, (0, 1), 333),
    ("the second of three", 1_000, 3, (1, 1), 334),
    ("the last of three", 1_000, 3, (2, 1), 333),
    ("two at once are worth what they are one by one", 1_000, 3, (0, 2), 667),
    ("a half goes up", 1, 2, (0, 1), 1),
    ("and then nothing is left", 1, 2, (1, 1), 0),
    ("a cent for many units", 1, 100, (49, 1), 1),
    ("what cost nothing", 0, 7, (0, 7), 0),
    ("the largest of both", 10**15, 10_000_000, (9_999_999, 1), 100_000_000),
)
"""What was paid for how many, how many came back before and come back now, and what that is worth (P-74)."""


def made(vector: Vector) -> dict[str, Any]:
    """A vector as it is written."""
    price = naive_price(vector.book, vector.basket)
    expected = json.loads(msgspec.json.encode(price))
    check(vector, expected)
    return {
        "name": vector.name,
        "rules": list(vector.rules),
        "rows": {BY_ROW[kind].name: [msgspec.to_builtins(row) for row in rows] for kind, rows in vector.book.items()},
        "basket": msgspec.to_builtins(vector.basket),
        "expected": expected,
        "digests": [hashlib.blake2b(msgspec.json.encode(line), digest_size=16).hexdigest() for line in price.lines],
    }


def refunds() -> list[dict[str, Any]]:
    """The vectors of refunds."""
    names = ("name", "rules", "paid_minor", "quantity", "returned_before", "returned_now", "refund_minor")
    found = []
    for name, paid, quantity, (before, now), worth in REFUNDS:
        upto, was = (rounded(Fraction(paid * returned, quantity)) for returned in (before + now, before))
        assert upto - was == worth, name
        found.append(dict(zip(names, (name, ["P-74"], paid, quantity, before, now, worth), strict=True)))
    return found


def check(vector: Vector, expected: dict[str, Any]) -> None:
    """That the answer is what a person says of it; a path that begins with a field of a line is of the first line."""
    for path, said in msgspec.to_builtins(dict(vector.so)).items():
        steps = path.split(".")
        whole = expected if steps[0] in expected else expected["lines"][0]
        found = follow(whole, steps)
        assert found == said, f"{vector.name}: {path} is {found}, and not {said}"


def follow(value: Any, steps: list[str]) -> Any:
    """What is at the end of a path; a star is each of a list, and nothing has nothing in it."""
    if not steps or value is None:
        return value
    if steps[0] == "*":
        return [follow(each, steps[1:]) for each in value]
    return follow(value[int(steps[0])] if isinstance(value, list) else value[steps[0]], steps[1:])


def written(vectors: list[dict[str, Any]]) -> str:
    """JSON with a line for each row and each line of a basket, so that a change can be read."""
    return "[\n" + ",\n".join(f" {_spread(vector, 1)}" for vector in vectors) + "\n]\n"


def _spread(value: Any, depth: int) -> str:
    if depth > 3 or not isinstance(value, dict | list) or not any(isinstance(each, dict | list) for each in _each(value)):
        return json.dumps(value, ensure_ascii=False)
    space = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        return "[" + space + ("," + space).join(_spread(each, depth + 1) for each in value) + space[:-1] + "]"
    told = (f"{json.dumps(name)}: {_spread(each, depth + 1)}" for name, each in value.items())
    return "{" + space + ("," + space).join(told) + space[:-1] + "}"


def _each(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def main() -> None:
    for theme, vectors in THEMES.items():
        (FOLDER / f"{theme}.json").write_text(written([made(vector) for vector in vectors]), encoding="utf-8")
    (FOLDER / "refunds.json").write_text(written(refunds()), encoding="utf-8")
    print(f"{sum(len(vectors) for vectors in THEMES.values())} vectors in {FOLDER}")


if __name__ == "__main__":
    main()
