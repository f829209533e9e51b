"""What devices say of themselves, and what a manager sees of it."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from server.identity.principals import Role
from server.identity.reports import PurgeReceiptModel
from server.runtime.errors import ProblemError
from sync_protocol.wire.codec import MESSAGE_MEDIA_TYPE, PageReader, decode, encode
from sync_protocol.wire.messages import (
    RECEIPTS_MAX,
    DeviceReport,
    PageTrailer,
    Proof,
    PullRequest,
    PurgeReceipt,
    ReportReply,
    ScopeChunk,
    StallReport,
)
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.office import START_MS, Office, Tablet, bearer, problem


def receipt(office: Office, rows: int = 3) -> PurgeReceipt:
    bucket = f"account:{office.stranger.hex}"
    return PurgeReceipt(
        id=office.ids.new(), bucket=bucket, rows=rows, checksum=2**42, purged_at_cursor=7, purged_at_ms=START_MS - 60_000
    )


def report(tablet: Tablet, **values: Any) -> DeviceReport:
    common = {"protocol_version": PROTOCOL_VERSION, "device_id": tablet.enrolment.device_id, "epoch": None, "cursor": 7}
    return DeviceReport(**{**common, "incarnation": tablet.incarnation, **values})


async def opened(office: Office, device_id: UUID) -> dict[str, Any]:
    response = await office.client.get(f"/devices/{device_id}", headers=office.as_(Role.MANAGER))
    assert response.status_code == 200, response.text
    return dict(response.json())


async def asked_for_proof(office: Office, tablet: Tablet) -> UUID:
    asked = await office.client.post(f"/devices/{tablet.enrolment.device_id}/proof", headers=office.as_(Role.MANAGER))
    assert asked.status_code == 202, asked.text
    return UUID(asked.json()["id"])


async def test_a_manager_sees_what_a_device_said_last(office: Office) -> None:
    tablet = await office.enrol()
    before = await opened(office, tablet.enrolment.device_id)
    assert (before["device"]["name"], before["reported_at"], before["outbox_count"]) == ("Tablet", None, None)
    proof_id = await asked_for_proof(office, tablet)
    proof = Proof(proof_id=proof_id, cursor=7, is_equal=False, rows=100, buckets=4, differing_ranges=1, repaired_ranges=1)
    stalled = StallReport(code="server_unreachable", detail="no network for three intervals", since_ms=START_MS)
    said = report(tablet, outbox_count=2, oldest_unsent_ms=START_MS - 1_000, proof=proof, problem=stalled)
    await tablet.endpoint.report(said)
    seen = await opened(office, tablet.enrolment.device_id)
    assert (seen["outbox_count"], seen["reported_cursor"]) == (2, 7)
    assert seen["oldest_unsent_at"] == "2026-11-18T11:06:39.000Z"
    assert seen["problem"]["code"] == "server_unreachable"
    assert [(each["id"], each["is_equal"], each["repaired_ranges"]) for each in seen["proofs"]] == [(str(proof.proof_id), False, 1)]
    await tablet.endpoint.report(report(tablet))
    after = await opened(office, tablet.enrolment.device_id)
    assert (after["outbox_count"], after["oldest_unsent_at"], after["problem"]) == (0, None, None)
    assert len(after["proofs"]) == 1


async def test_a_receipt_that_is_sent_again_is_stored_once_and_accepted_again(office: Office) -> None:
    tablet = await office.enrol()
    first, second = receipt(office), receipt(office, rows=0)
    assert (await tablet.endpoint.report(report(tablet, receipts=(first,)))).receipt_ids == (first.id,)
    again = await tablet.endpoint.report(report(tablet, receipts=(first, second)))
    assert again.receipt_ids == (first.id, second.id)
    changed = msgspec.structs.replace(first, rows=9)
    await tablet.endpoint.report(report(tablet, receipts=(changed,)))
    seen = await opened(office, tablet.enrolment.device_id)
    assert sorted((each["id"], each["rows"]) for each in seen["receipts"]) == sorted([(str(first.id), 3), (str(second.id), 0)])
    assert seen["receipts"][0]["bucket"] == f"account:{office.stranger.hex}"


async def test_a_full_report_says_that_more_receipts_may_follow(office: Office) -> None:
    tablet = await office.enrol()
    receipts = tuple(receipt(office) for _ in range(RECEIPTS_MAX))
    assert len((await tablet.endpoint.report(report(tablet, receipts=receipts))).receipt_ids) == RECEIPTS_MAX
    async with office.database.read() as session:
        assert (await session.execute(sa.select(sa.func.count()).select_from(PurgeReceiptModel))).scalar_one() == RECEIPTS_MAX
        assert not (await session.execute(sa.text("SELECT is_whole FROM device_report"))).scalar_one()


async def test_a_report_is_of_the_device_whose_token_it_shows(office: Office) -> None:
    tablet, other = await office.enrol(), await office.enrol()
    stolen = report(tablet, device_id=other.enrolment.device_id, incarnation=other.incarnation, receipts=(receipt(office),))
    with pytest.raises(ProblemError) as refused:
        await tablet.endpoint.report(stolen)
    assert refused.value.code == "device_mismatch"
    with pytest.raises(ProblemError) as forked:
        await tablet.endpoint.report(report(tablet, incarnation=office.ids.token()))
    assert forked.value.code == "device_forked"
    assert (await opened(office, other.enrolment.device_id))["receipts"] == []


async def test_a_report_travels_over_http(office: Office) -> None:
    tablet = await office.enrol()
    headers = {**bearer(tablet.enrolment.token), "content-type": MESSAGE_MEDIA_TYPE}
    said = report(tablet, receipts=(receipt(office),))
    response = await office.client.post("/sync/report", headers=headers, content=encode(said))
    assert response.status_code == 200, response.text
    reply = decode(response.content, ReportReply)
    assert (reply.audience, reply.receipt_ids) == (tablet.enrolment.device_id, (said.receipts[0].id,))
    cut = await office.client.post("/sync/report", headers=headers, content=encode(said)[:-3])
    problem(cut, 400, "invalid_request")


async def test_only_the_office_opens_a_device(office: Office) -> None:
    tablet = await office.enrol()
    url = f"/devices/{tablet.enrolment.device_id}"
    problem(await office.client.get(url, headers=office.as_(Role.REP)), 403, "role_forbids")
    problem(await office.client.get(url, headers=bearer(tablet.enrolment.token)), 403, "role_forbids")
    problem(await office.client.get(f"/devices/{office.ids.new()}", headers=office.as_(Role.ADMIN)), 404, "device_not_found")


async def pulled(tablet: Tablet) -> PageTrailer:
    """The trailer of a pull that comes to a checkpoint."""
    asker = {"protocol_version": PROTOCOL_VERSION, "device_id": tablet.enrolment.device_id, "incarnation": tablet.incarnation}
    scope_digest = None
    while True:
        pieces = [piece async for piece in tablet.endpoint.pull(PullRequest(**asker, scope_digest=scope_digest))]
        messages = list(PageReader().feed(b"".join(pieces)))
        scope_digest = next((each.digest for each in messages if isinstance(each, ScopeChunk)), scope_digest)
        if isinstance(messages[-1], PageTrailer) and messages[-1].complete:
            return messages[-1]


async def test_only_the_device_that_was_asked_can_prove_itself(office: Office) -> None:
    tablet, other = await office.enrol(), await office.enrol()
    proof_id = await asked_for_proof(office, tablet)
    for made_up in (proof_id, office.ids.new()):
        false = Proof(proof_id=made_up, cursor=7, is_equal=False, rows=0, buckets=0)
        await other.endpoint.report(report(other, proof=false))
    assert (await opened(office, other.enrolment.device_id))["proofs"] == []
    await tablet.endpoint.report(report(tablet, proof=Proof(proof_id=proof_id, cursor=7, is_equal=True, rows=100, buckets=4)))
    assert [each["is_equal"] for each in (await opened(office, tablet.enrolment.device_id))["proofs"]] == [True]


async def test_a_device_that_is_asked_for_a_proof_is_told_until_it_has_proved_itself(office: Office) -> None:
    tablet = await office.enrol()
    url = f"/devices/{tablet.enrolment.device_id}"
    assert (await pulled(tablet)).proof_id is None
    asked = await office.client.post(f"{url}/proof", headers=office.as_(Role.MANAGER))
    assert asked.status_code == 202, asked.text
    proof_id = UUID(asked.json()["id"])
    again = await office.client.post(f"{url}/proof", headers=office.as_(Role.ADMIN))
    assert again.json() == asked.json(), "one that waits is not asked twice"
    assert [(await pulled(tablet)).proof_id for _ in range(2)] == [proof_id, proof_id]
    assert [each["id"] for each in (await opened(office, tablet.enrolment.device_id))["proof_requests"]] == [str(proof_id)]
    await tablet.endpoint.report(report(tablet, proof=Proof(proof_id=proof_id, cursor=7, is_equal=True, rows=100, buckets=4)))
    assert (await pulled(tablet)).proof_id is None
    seen = await opened(office, tablet.enrolment.device_id)
    assert [(each["id"], each["is_equal"]) for each in seen["proofs"]] == [(str(proof_id), True)]
    assert [each["id"] for each in seen["proof_requests"]] == [str(proof_id)]
    problem(await office.client.post(f"{url}/proof", headers=office.as_(Role.REP)), 403, "role_forbids")
    missing = f"/devices/{office.ids.new()}/proof"
    problem(await office.client.post(missing, headers=office.as_(Role.ADMIN)), 404, "device_not_found")
