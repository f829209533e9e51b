"""A device's report after a sync: receipts for what it erased, proofs, what waits on it and what is in its way.

Everything in it is the device's own word. It is stored, shown to managers and counted, and decides nothing by itself.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from server.changelog.log import read_head
from server.identity.models import DeviceModel
from server.identity.reports import DeviceProofModel, DeviceReportModel, ProofRequestModel, PurgeReceiptModel
from server.runtime.clock import IdSource
from server.runtime.database import Base, WriteSession
from sync_protocol.values import normal_text
from sync_protocol.wire.codec import digest
from sync_protocol.wire.messages import RECEIPTS_MAX, DeviceReport, Proof, PurgeReceipt, ReportReply


async def take_report(session: WriteSession, report: DeviceReport, now_ms: int, ids: IdSource) -> ReportReply:
    """Store a report of the device that it names, whose token was shown. The same report again changes nothing more."""
    await _store_state(session, report, now_ms)
    stored = await _store_receipts(session, report.device_id, report.receipts, now_ms)
    device = await session.get_one(DeviceModel, report.device_id)
    device.last_seen_ms = now_ms
    if device.wipe_key is None:  # enrolled before devices had one
        device.wipe_key = ids.token()
    if report.proof is not None:
        await _store_proof(session, report.device_id, report.proof, now_ms)
    head = await read_head(session)
    return ReportReply(audience=report.device_id, epoch=head.epoch, receipt_ids=stored, wipe_lock=digest(device.wipe_key))


async def _store_state(session: WriteSession, report: DeviceReport, now_ms: int) -> None:
    problem = report.problem
    values = {
        "reported_at_ms": now_ms,
        "epoch": report.epoch,
        "cursor": report.cursor,
        "is_whole": len(report.receipts) < RECEIPTS_MAX,
        "outbox_count": report.outbox_count,
        "oldest_unsent_ms": report.oldest_unsent_ms,
        "problem_code": normal_text(problem.code) if problem else None,
        "problem_detail": normal_text(problem.detail) if problem else None,
        "problem_since_ms": problem.since_ms if problem else None,
    }
    insert = _insert(session, DeviceReportModel).values(device_id=report.device_id, **values)
    await session.execute(insert.on_conflict_do_update(index_elements=["device_id"], set_=values))


async def _store_receipts(
    session: WriteSession, device_id: UUID, receipts: tuple[PurgeReceipt, ...], now_ms: int
) -> tuple[UUID, ...]:
    """Store what is new and return the ids of all that are stored now.

    A device that was copied and became another sends the receipts that its copy sent before: they are stored already.
    """
    if not receipts:
        return ()
    rows = [
        {
            "id": receipt.id,
            "device_id": device_id,
            "bucket": receipt.bucket,
            "rows": receipt.rows,
            "checksum": receipt.checksum,
            "purged_at_cursor": receipt.purged_at_cursor,
            "purged_at_ms": receipt.purged_at_ms,
            "received_at_ms": now_ms,
        }
        for receipt in receipts
    ]
    await session.execute(_insert(session, PurgeReceiptModel).on_conflict_do_nothing(index_elements=["id"]), rows)
    return tuple(receipt.id for receipt in receipts)


async def _store_proof(session: WriteSession, device_id: UUID, proof: Proof, now_ms: int) -> None:
    asked = await session.get(ProofRequestModel, proof.proof_id)
    if asked is None or asked.device_id != device_id:
        return  # nobody asked this device: stored, it would stand in the way of the one that was
    insert = _insert(session, DeviceProofModel).values(
        id=proof.proof_id,
        device_id=device_id,
        cursor=proof.cursor,
        is_equal=proof.is_equal,
        rows=proof.rows,
        buckets=proof.buckets,
        differing_ranges=proof.differing_ranges,
        repaired_ranges=proof.repaired_ranges,
        received_at_ms=now_ms,
    )
    await session.execute(insert.on_conflict_do_nothing(index_elements=["id"]))
    waiting = sa.update(DeviceModel).where(DeviceModel.id == device_id, DeviceModel.proof_id == proof.proof_id)
    await session.execute(waiting.values(proof_id=None))


def _insert(session: WriteSession, model: type[Base]) -> Any:
    """An insert that knows ON CONFLICT, which both engines say alike and SQLAlchemy has once for each."""
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert(model)
