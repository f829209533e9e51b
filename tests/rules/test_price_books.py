"""The small, nasty companies that the rules of prices are tried on reach all that the rules can say."""

import random
from collections import Counter

from sync_protocol.rules.pricing.explanation import Fate
from tests.rules.naive.answer import naive_price
from tests.support.price_books import question_of
from tests.support.price_features import FATES, MAY_OCCUR, features

EXAMPLES, LEAST = 2_000, 4


def test_every_fate_has_a_place_where_it_occurs() -> None:
    assert set().union(*FATES.values()) == set(Fate)


def test_two_thousand_companies_show_every_fate_obstacle_hold_and_kind_of_offer() -> None:
    seen: Counter[str] = Counter()
    priced = 0
    for seed in range(EXAMPLES):
        book, basket = question_of(random.Random(seed))
        price = naive_price(book, basket)
        seen.update(set(features(book, price)))
        priced += any(line.source for line in price.lines)
    assert set(seen) <= MAY_OCCUR
    assert {name: seen[name] for name in MAY_OCCUR if seen[name] < LEAST} == {}
    assert priced > EXAMPLES * 3 // 4
