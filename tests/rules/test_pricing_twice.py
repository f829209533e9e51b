"""The engine of prices and a naive reading of docs/PRICING.md give the same answer, to the byte.

`ROADBOOK_SOAK_SECONDS` tries as many companies as take about half of that.
"""

import random

import msgspec
import pytest

from tests.rules.naive.answer import naive_json
from tests.support.price_books import question_of
from tests.support.price_dice import Question
from tests.support.price_lookups import price_in
from tests.support.price_shrinking import as_python, smallest
from tests.support.processes import soak_seconds

SHARES = 4
COMPANIES = max(1_000, int(soak_seconds()) * 100)


def are_two(question: Question) -> bool:
    return msgspec.json.encode(price_in(*question)) != naive_json(*question)


@pytest.mark.parametrize("share", range(SHARES))
def test_two_readings_of_the_rules_give_the_same_bytes(share: int) -> None:
    for seed in range(share, COMPANIES, SHARES):
        question = question_of(random.Random(seed))
        if are_two(question):
            plain = smallest(question, are_two)
            print(f"seed {seed}, less all that does not matter:\n{as_python(plain)}")
            assert msgspec.to_builtins(price_in(*plain)) == msgspec.json.decode(naive_json(*plain))
