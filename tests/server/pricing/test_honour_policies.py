"""Policies on overtaken quotations: which one is the nearest, what it says, and how the office writes it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from server.identity.principals import Role
from server.pricing.honour import HOUR_MS, HonourPolicy, Promise, composed, policy_for, promise_of
from server.runtime.database import Database
from sync_protocol.entities.orders import PriceSource
from sync_protocol.entities.pricing import TaxTreatment
from sync_protocol.entities.promotions import PromotionPhase
from sync_protocol.rules.pricing.explanation import BasketPrice, Candidate, Fate, LinePrice, OfferStanding, Step, StepKind
from tests.support.office import Office, open_office, problem
from tests.support.pricing import PriceOffice

LIST, SEGMENT, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)


def line(total: int, number: int = 1, price_list: UUID = LIST, step: tuple[UUID, int] | None = None) -> LinePrice:
    won = Candidate(
        source=PriceSource.BASE,
        rule_id=UUID(int=50),
        price_list_id=price_list,
        min_quantity=1,
        unit_price=total * 100,
        per_quantity=1,
        fate=Fate.WON,
    )
    return LinePrice(
        line_id=UUID(int=number),
        product_id=UUID(int=60),
        quantity=1,
        pack_quantity=1,
        obstacle=None,
        source=PriceSource.BASE,
        rule_id=UUID(int=50),
        unit_price=total * 100,
        per_quantity=1,
        tax_treatment=TaxTreatment.EXCLUSIVE,
        candidates=(won,),
        gross_minor=total,
        steps=(Step(kind=StepKind.PROMOTION, rule_id=step[0], code="", amount_minor=step[1], after_minor=total),) if step else (),
        missed=(),
        discount_minor=0,
        order_discount_minor=0,
        amount_minor=total,
        tax_code="standard",
        tax_jurisdiction="",
        tax_exemption_id=None,
        taxes=(),
        tax_minor=0,
        total_minor=total,
        quantities=(),
        gap=None,
        holds=(),
    )


def given_as(promotion_id: UUID, amount: int) -> OfferStanding:
    phase = PromotionPhase.LINE
    return OfferStanding(promotion_id=promotion_id, code="", phase=phase, fate=Fate.GIVEN, amount_minor=amount, gap=None)


def basket(*lines: LinePrice, offers: tuple[OfferStanding, ...] = ()) -> BasketPrice:
    total = sum(each.total_minor for each in lines)
    return BasketPrice(
        customer_id=UUID(int=70),
        address_id=None,
        currency="EUR",
        nearest_currency="EUR",
        instant_ms=1,
        lists=(),
        lines=lines,
        gifts=(),
        offers=offers,
        obstacle=None,
        order_minimum_gap=None,
        goods_minor=total,
        tax_minor=0,
        freight_minor=0,
        total_minor=total,
    )


def policy(number: int, **values: Any) -> HonourPolicy:
    return HonourPolicy(id=UUID(int=number), **{"mode": Promise.HONOUR, **values})


def test_the_policy_of_the_list_goes_before_that_of_a_segment_and_that_before_the_companys() -> None:
    company, segment, of_list = policy(1), policy(2, segment_id=SEGMENT), policy(3, price_list_id=LIST)
    foreign = (policy(4, price_list_id=OTHER), policy(5, segment_id=OTHER))
    assert policy_for(line(100), {SEGMENT}, [*foreign, company, segment, of_list]) is of_list
    assert policy_for(line(100), {SEGMENT}, [*foreign, company, segment]) is segment
    assert policy_for(line(100), (), [*foreign, company, segment]) is company
    assert policy_for(line(100), (), foreign) is None


def test_of_two_as_near_the_one_with_the_smaller_id_counts() -> None:
    assert policy_for(line(100), (), [policy(2), policy(1)]) == policy(1)


@pytest.mark.parametrize(
    ("values", "now", "age_ms", "promise"),
    [
        ({}, 101, 0, Promise.HONOUR),
        ({}, 100, 0, Promise.RE_PRICE),
        ({"hours": 2}, 101, 2 * HOUR_MS, Promise.HONOUR),
        ({"hours": 2}, 101, 2 * HOUR_MS + 1, Promise.RE_PRICE),
        ({"hours": 2, "otherwise": Promise.HOLD}, 101, 2 * HOUR_MS + 1, Promise.HOLD),
        ({"tolerance_basis_points": 500}, 105, 0, Promise.HONOUR),
        ({"tolerance_basis_points": 500}, 106, 0, Promise.RE_PRICE),
        ({"mode": Promise.HOLD, "tolerance_basis_points": 500}, 105, 0, Promise.HOLD),
    ],
)
def test_a_promise_is_kept_in_its_time_and_within_its_tolerance(
    values: dict[str, Any], now: int, age_ms: int, promise: Promise
) -> None:
    assert promise_of(policy(1, **values), line(100), line(now), age_ms) is promise


def test_what_has_no_price_by_now_is_within_no_tolerance_and_is_honoured_without_one() -> None:
    gone = replace(line(0), unit_price=None, candidates=())
    assert promise_of(policy(1, tolerance_basis_points=500), line(100), gone, 0) is Promise.RE_PRICE
    assert promise_of(policy(1), line(100), gone, 0) is Promise.HONOUR
    assert promise_of(None, line(100), gone, 0) is Promise.RE_PRICE


@given(amounts=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999), st.booleans()), min_size=1, max_size=6))
def test_the_total_is_that_of_the_lines_whichever_are_kept(amounts: list[tuple[int, int, bool]]) -> None:
    now = basket(*(line(new, place) for place, (new, _, _) in enumerate(amounts)))
    quoted = basket(*(line(old, place) for place, (_, old, _) in enumerate(amounts)))
    kept = {UUID(int=place) for place, (*_, is_kept) in enumerate(amounts) if is_kept}
    price = composed(now, quoted, kept)
    assert [each.total_minor for each in price.lines] == [old if is_kept else new for new, old, is_kept in amounts]
    assert price.total_minor == price.goods_minor == sum(each.total_minor for each in price.lines)


def test_of_an_offer_counts_what_the_lines_have_of_it() -> None:
    """One line keeps what an offer gave that ended since; the other has its price of now, with another offer."""
    ended, new, gift = (UUID(int=number) for number in (81, 82, 83))
    quoted = basket(line(90, 0, step=(ended, -10)), line(80, 1, step=(ended, -20)), offers=(given_as(ended, 30),))
    now = basket(line(95, 0, step=(new, -5)), line(70, 1, step=(new, -30)), offers=(given_as(new, 35), given_as(gift, 0)))
    price = composed(now, quoted, {UUID(int=0)})
    assert {each.promotion_id: (each.fate, each.amount_minor) for each in price.offers} == {
        ended: (Fate.GIVEN, 10),
        new: (Fate.GIVEN, 30),
        gift: (Fate.GIVEN, 0),
    }
    none_of_new = composed(replace(now, lines=(now.lines[0], line(80, 1))), quoted, {UUID(int=0)})
    assert next(each for each in none_of_new.offers if each.promotion_id == new).fate is Fate.NO_GAIN


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Office]:
    async with open_office(database) as opened:
        yield opened


async def test_the_office_writes_lists_and_takes_back_policies(desk: Office) -> None:
    path, headers = f"/honour-policies/{UUID(int=8)}", desk.as_(Role.MANAGER)
    for hours in (48, 72):
        written = await desk.client.put(path, headers=headers, json={"mode": "honour", "hours": hours})
        assert (written.status_code, written.json()["hours"]) == (200, hours)
    listed = (await desk.client.get("/honour-policies", headers=headers)).json()
    assert [(each["id"], each["mode"], each["otherwise"], each["hours"]) for each in listed] == [
        (str(UUID(int=8)), "honour", "re_price", 72)
    ]
    assert (await desk.client.delete(path, headers=headers)).status_code == 204
    problem(await desk.client.delete(path, headers=headers), 404, "honour_policy_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "honour", "price_list_id": str(OTHER)}, "price_list_id"),
        ({"mode": "honour", "segment_id": str(OTHER)}, "segment_id"),
        ({"mode": "honour", "segment_id": str(OTHER), "price_list_id": str(LIST)}, "segment_id"),
        ({"mode": "honour", "otherwise": "hold"}, "otherwise"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused_by_its_field(desk: Office, body: dict[str, Any], field: str) -> None:
    answer = await desk.client.put(f"/honour-policies/{UUID(int=8)}", headers=desk.as_(Role.MANAGER), json=body)
    assert list(problem(answer, 400, "unfit_honour_policy")["fields"]) == [field]


async def test_of_a_list_a_segment_and_everyone_there_is_one_policy_each(office: PriceOffice) -> None:
    segment = await office.post("segments", code="GOLD", name="Gold")
    price_list = str(office.world.company.price_lists[0].id)
    for place, target in enumerate(({}, {"segment_id": segment["id"]}, {"price_list_id": price_list})):
        first, second = (f"/honour-policies/{UUID(int=each)}" for each in (2 * place + 9, 2 * place + 8))
        body = {"mode": "honour", "hours": 2, **target}
        assert (await office.client.put(first, json=body)).status_code == 200
        told = problem(await office.client.put(second, json={**body, "mode": "hold"}), 409, "honour_policy_taken")
        assert str(UUID(int=2 * place + 9)) in told["fields"]["policy_id"]
        assert (await office.client.put(first, json={**body, "mode": "hold"})).status_code == 200
        assert (await office.client.delete(first)).status_code == 204
        assert (await office.client.put(second, json=body)).status_code == 200


async def test_of_policies_for_everyone_that_are_written_at_once_one_stays(office: PriceOffice) -> None:
    paths = [f"/honour-policies/{UUID(int=each)}" for each in range(8, 12)]
    answers = await asyncio.gather(*(office.client.put(path, json={"mode": "honour"}) for path in paths))
    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409]
    for each in answers:
        if each.status_code == 409:
            problem(each, 409, "honour_policy_taken")


async def test_a_policy_is_for_an_hour_at_least(office: PriceOffice) -> None:
    answer = await office.client.put(f"/honour-policies/{UUID(int=8)}", json={"mode": "honour", "hours": 0})
    assert list(problem(answer, 400, "invalid_request")["fields"]) == ["hours"]
