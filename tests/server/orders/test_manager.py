"""What a manager sees of orders, and decides."""

import asyncio
from uuid import UUID

import pytest
import sqlalchemy as sa

from server.changelog.log import read_head
from server.identity.principals import Role
from server.inventory.models import StockLevelModel
from server.orders.models import OrderDecisionModel
from sync_protocol.intents import CancelOrder
from sync_protocol.verdicts import Outcome
from tests.support.office import PRICE_MINOR, START_MS, Office, bearer, problem


async def allocated(office: Office) -> int:
    async with office.database.read() as session:
        return (await session.execute(sa.select(StockLevelModel.allocated))).scalar_one()


async def test_a_held_order_is_listed_with_its_reason_and_names(office: Office) -> None:
    tablet = await office.enrol()
    order_id, verdict = await tablet.submit(office.on_hold)
    assert verdict.outcome is Outcome.HELD
    response = await office.client.get("/orders?status=held", headers=office.as_(Role.MANAGER))
    assert response.status_code == 200
    (item,) = response.json()["items"]
    assert item["id"] == str(order_id)
    assert item["customer_name"] == "Company LATE"
    assert item["rep_name"] == "Femke Vos"
    assert item["hold_code"] == "customer_on_hold"
    assert item["outcome"] == "held"
    assert item["total_minor"] == 10 * PRICE_MINOR
    assert item["received_at"].endswith("Z")


async def test_an_open_order_shows_its_lines_and_what_was_decided_with_remedies(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold, quantity=1_010)
    body = (await office.client.get(f"/orders/{order_id}", headers=office.as_(Role.MANAGER))).json()
    (line,) = body["lines"]
    assert (line["sku"], line["allocated"], line["backordered"]) == ("ELBOW-22", 1000, 10)
    (verdict,) = body["verdicts"]
    assert verdict["codes"] == ["customer_on_hold", "backordered"]
    assert len(verdict["remedies"]) == 2
    assert verdict["asked_by"] == "The rep"
    assert body["decisions"] == []


async def test_a_release_confirms_the_order_and_says_who_did_it(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold)
    async with office.database.read() as session:
        before = (await read_head(session)).head
    response = await office.client.post(f"/orders/{order_id}/release", headers=office.as_(Role.MANAGER), json={"reason": "paid"})
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["status"], body["hold_code"], body["reason"]) == ("confirmed", None, "paid")
    (decision,) = body["decisions"]
    assert (decision["decided_by"], decision["from_status"], decision["to_status"]) == ("The manager", "held", "confirmed")
    assert await allocated(office) == 10
    async with office.database.read() as session:
        assert (await read_head(session)).head == before + 1, "a device would not hear of it"


async def test_a_refusal_gives_back_what_the_order_had_promised(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold)
    assert await allocated(office) == 10
    response = await office.client.post(f"/orders/{order_id}/refusal", headers=office.as_(Role.MANAGER), json={"reason": "no"})
    assert response.json()["status"] == "refused"
    assert await allocated(office) == 0


@pytest.mark.parametrize("reason", ["", "   ", "\u00a0"])
async def test_a_refusal_needs_a_reason(office: Office, reason: str) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold)
    response = await office.client.post(f"/orders/{order_id}/refusal", headers=office.as_(Role.ADMIN), json={"reason": reason})
    assert problem(response, 400, "reason_missing")["fields"].keys() == {"reason"}


async def test_of_two_managers_at_once_one_wins_and_the_other_is_told(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold)
    answers = await asyncio.gather(
        office.client.post(f"/orders/{order_id}/release", headers=office.as_(Role.MANAGER), json={"reason": "fine"}),
        office.client.post(f"/orders/{order_id}/refusal", headers=office.as_(Role.ADMIN), json={"reason": "not fine"}),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    winner, loser = sorted(answers, key=lambda answer: answer.status_code)
    (decision,) = winner.json()["decisions"]
    told = problem(loser, 409, "order_already_decided")["detail"]
    assert decision["decided_by"] in told
    assert winner.json()["status"] in told
    async with office.database.read() as session:
        kept = (await session.execute(sa.select(sa.func.count()).select_from(OrderDecisionModel))).scalar_one()
    assert kept == 1
    assert await allocated(office) == (10 if winner.json()["status"] == "confirmed" else 0)


async def test_a_confirmed_order_can_be_neither_released_nor_refused(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.customer)
    for decision in ("release", "refusal"):
        url = f"/orders/{order_id}/{decision}"
        response = await office.client.post(url, headers=office.as_(Role.MANAGER), json={"reason": "why not"})
        assert "confirmed" in problem(response, 409, "order_not_held")["detail"]


async def test_an_order_that_its_rep_cancelled_cannot_be_released(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold)
    await tablet.push(CancelOrder(order_id=order_id, reason="changed their mind"))
    response = await office.client.post(f"/orders/{order_id}/release", headers=office.as_(Role.MANAGER), json={})
    assert "cancelled" in problem(response, 409, "order_not_held")["detail"]
    body = (await office.client.get(f"/orders/{order_id}", headers=office.as_(Role.MANAGER))).json()
    assert [verdict["intent"] for verdict in body["verdicts"]] == ["SubmitOrder", "CancelOrder"]


async def test_pages_of_orders_join_without_gap_or_overlap_while_orders_arrive(office: Office) -> None:
    tablet = await office.enrol()
    made = [(await tablet.submit(office.customer, quantity=1))[0] for _ in range(7)]
    seen: list[UUID] = []
    after = ""
    while True:
        body = (await office.client.get(f"/orders?limit=3{after}", headers=office.as_(Role.MANAGER))).json()
        seen += [UUID(item["id"]) for item in body["items"]]
        if body["next"] is None:
            break
        after = f"&after={body['next']}"
        await tablet.submit(office.customer, quantity=1)
    assert seen == made[::-1]


async def test_orders_are_found_by_customer_rep_and_time(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.customer)
    headers = office.as_(Role.MANAGER)

    async def found(query: str) -> list[str]:
        response = await office.client.get(f"/orders?{query}", headers=headers)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert START_MS // 1000 == 1_795_000_000
    day = "2026-11-18T00:00:00Z"
    assert await found(f"customer_id={office.customer}&rep_id={office.rep}&received_from={day}") == [str(order_id)]
    assert await found(f"customer_id={office.stranger}") == []
    assert await found(f"rep_id={office.stranger}") == []
    assert await found(f"received_to={day}") == []


@pytest.mark.parametrize(
    "query", ["after=zzz", "after=gA", "limit=0", "limit=201", "status=lost", "received_from=2026-11-18T00:00:00"]
)
async def test_a_query_that_means_nothing_is_refused_by_name(office: Office, query: str) -> None:
    response = await office.client.get(f"/orders?{query}", headers=office.as_(Role.MANAGER))
    assert response.status_code == 400
    assert query.partition("=")[0] in response.json()["fields"], response.text


async def test_orders_are_found_by_the_codes_of_customer_and_rep(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.customer)

    async def found(query: str, role: Role = Role.MANAGER) -> list[str]:
        response = await office.client.get(f"/orders?{query}", headers=office.as_(role))
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert await found("customer=ACME&rep=R-07") == [str(order_id)]
    assert await found(f"customer=ACME&customer_id={office.customer}") == [str(order_id)]
    assert await found(f"customer=ACME&customer_id={office.stranger}") == []
    assert await found("customer=OTHER") == []
    assert await found("customer=ACME", Role.BUYER) == [str(order_id)]


async def test_an_unknown_code_lists_those_that_there_are_but_not_to_a_buyer(office: Office) -> None:
    refused = await office.client.get("/orders?rep=R-99", headers=office.as_(Role.MANAGER))
    assert "R-07 (Femke Vos)" in problem(refused, 400, "unknown_code")["fields"]["rep"]
    for code in ("OTHER", "NOBODY"):
        answer = await office.client.get(f"/orders?customer={code}", headers=office.as_(Role.BUYER))
        assert answer.json() == {"items": [], "next": None}


async def test_a_buyer_sees_the_orders_of_their_company_and_of_no_other(office: Office) -> None:
    tablet = await office.enrol()
    own, _ = await tablet.submit(office.customer)
    other, _ = await tablet.submit(office.stranger)
    headers = office.as_(Role.BUYER)
    listed = (await office.client.get("/orders", headers=headers)).json()["items"]
    assert [item["id"] for item in listed] == [str(own)]
    assert (await office.client.get(f"/orders?customer_id={office.stranger}", headers=headers)).json()["items"] == []
    assert (await office.client.get(f"/orders/{own}", headers=headers)).status_code == 200
    nobody = office.ids.new()
    refused = problem(await office.client.get(f"/orders/{other}", headers=headers), 404, "order_not_found")
    missing = problem(await office.client.get(f"/orders/{nobody}", headers=headers), 404, "order_not_found")
    assert str(refused).replace(str(other), "") == str(missing).replace(str(nobody), "")


async def test_a_rejected_submission_is_listed_though_it_made_no_order(office: Office) -> None:
    tablet = await office.enrol()
    await tablet.submit(office.customer)
    order_id, verdict = await tablet.submit(office.customer, product_id=office.ids.new())
    assert verdict.outcome is Outcome.REJECTED
    headers = office.as_(Role.MANAGER)
    (item,) = (await office.client.get("/verdicts?outcome=rejected", headers=headers)).json()["items"]
    assert item["subject_id"] == str(order_id)
    assert item["codes"] == ["unknown_product"]
    assert item["remedies"][0].startswith("A product was removed")
    assert len((await office.client.get("/verdicts", headers=headers)).json()["items"]) == 2


async def test_a_device_cannot_decide_even_for_a_manager(office: Office) -> None:
    tablet = await office.enrol()
    order_id, _ = await tablet.submit(office.on_hold)
    response = await office.client.post(f"/orders/{order_id}/release", headers=bearer(tablet.enrolment.token), json={})
    problem(response, 403, "role_forbids")
