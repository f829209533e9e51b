"""What devices say of themselves after a sync: how they are, what they erased, what they proved. Claims, kept as claims.

The latest report of a device replaces the one before. Receipts and proofs are only ever added, each under the id that
the device or the asker made, so that sending one again changes nothing.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from server.identity.errors import DeviceNotFoundError
from server.identity.models import DeviceModel, UserModel
from server.runtime.database import Base, ReadSession, WriteSession

RECEIPTS_SHOWN = 100
PROOFS_SHOWN = 20


class DeviceReportModel(Base):
    """The latest report of a device. `cursor` is the checkpoint that it had reached, of the log `epoch`.

    `is_whole` says that no receipt was left for a later report: what it held and lost up to its cursor is accounted for.
    """

    __tablename__ = "device_report"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    reported_at_ms: Mapped[int]
    epoch: Mapped[UUID | None]
    cursor: Mapped[int]
    is_whole: Mapped[bool]
    outbox_count: Mapped[int]
    oldest_unsent_ms: Mapped[int | None]
    problem_code: Mapped[str | None]
    problem_detail: Mapped[str | None]
    problem_since_ms: Mapped[int | None]


class PurgeReceiptModel(Base):
    """A device's receipt for a bucket that it erased. `rows` and `checksum` are of what was erased, the times the device's."""

    __tablename__ = "purge_receipt"
    __table_args__ = (Index("ix_purge_receipt_device_id", "device_id", "bucket"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    bucket: Mapped[str]
    rows: Mapped[int]
    checksum: Mapped[int]
    purged_at_cursor: Mapped[int]
    purged_at_ms: Mapped[int]
    received_at_ms: Mapped[int]


class DeviceProofModel(Base):
    """What a device found when it was asked to compare all it holds with the server."""

    __tablename__ = "device_proof"
    __table_args__ = (Index("ix_device_proof_device_id", "device_id", "received_at_ms"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    cursor: Mapped[int]
    is_equal: Mapped[bool]
    rows: Mapped[int]
    buckets: Mapped[int]
    differing_ranges: Mapped[int]
    repaired_ranges: Mapped[int]
    received_at_ms: Mapped[int]


class ProofRequestModel(Base):
    """That somebody asked a device to compare all it holds with the server. Its proof has the same id."""

    __tablename__ = "proof_request"
    __table_args__ = (Index("ix_proof_request_device_id", "device_id", "requested_at_ms"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    requested_by_id: Mapped[UUID]
    requested_at_ms: Mapped[int]


class ReportedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device with its user and everything that it said of itself, the newest first."""

    device: DeviceModel
    user: UserModel
    report: DeviceReportModel | None
    receipts: Sequence[PurgeReceiptModel]
    proofs: Sequence[DeviceProofModel]
    proof_requests: Sequence[ProofRequestModel]


async def open_device(session: ReadSession, device_id: UUID) -> ReportedDevice:
    """A device with its latest report, receipts and proofs. Raises DeviceNotFoundError."""
    held = sa.select(DeviceModel, UserModel).join(UserModel, UserModel.id == DeviceModel.user_id)
    found = (await session.execute(held.where(DeviceModel.id == device_id))).one_or_none()
    if found is None:
        raise DeviceNotFoundError(device_id)
    receipts = sa.select(PurgeReceiptModel).where(PurgeReceiptModel.device_id == device_id)
    newest_receipts = receipts.order_by(PurgeReceiptModel.received_at_ms.desc(), PurgeReceiptModel.id.desc())
    proofs = sa.select(DeviceProofModel).where(DeviceProofModel.device_id == device_id)
    newest_proofs = proofs.order_by(DeviceProofModel.received_at_ms.desc(), DeviceProofModel.id.desc())
    requests = sa.select(ProofRequestModel).where(ProofRequestModel.device_id == device_id)
    newest_requests = requests.order_by(ProofRequestModel.requested_at_ms.desc(), ProofRequestModel.id.desc())
    return ReportedDevice(
        device=found.DeviceModel,
        user=found.UserModel,
        report=await session.get(DeviceReportModel, device_id),
        receipts=(await session.execute(newest_receipts.limit(RECEIPTS_SHOWN))).scalars().all(),
        proofs=(await session.execute(newest_proofs.limit(PROOFS_SHOWN))).scalars().all(),
        proof_requests=(await session.execute(newest_requests.limit(PROOFS_SHOWN))).scalars().all(),
    )


async def ask_for_proof(
    session: WriteSession, device_id: UUID, proof_id: UUID, *, requested_by_id: UUID, now_ms: int
) -> ProofRequestModel:
    """Let the device learn at its next sync that it is to prove itself; one that waits is not asked twice.

    Raises DeviceNotFoundError.
    """
    device = await session.get(DeviceModel, device_id, with_for_update=True)
    if device is None:
        raise DeviceNotFoundError(device_id)
    if device.proof_id is not None:
        return await session.get_one(ProofRequestModel, device.proof_id)
    device.proof_id = proof_id
    asked = ProofRequestModel(id=proof_id, device_id=device_id, requested_by_id=requested_by_id, requested_at_ms=now_ms)
    session.add(asked)
    await session.flush()
    return asked
