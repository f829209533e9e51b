"""Users, devices and secrets as the API and the command line show them. A secret is shown once, when it is made."""

from typing import Self
from uuid import UUID

import msgspec

from server.identity.devices import RevocationReason
from server.identity.models import DeviceModel, UserModel
from server.identity.principals import Role
from server.identity.reports import DeviceProofModel, DeviceReportModel, ProofRequestModel, PurgeReceiptModel, ReportedDevice
from server.runtime.instants import iso, iso_or_none


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An open session. The token is shown this once; send it as `Authorization: Bearer <token>`."""

    token: str
    name: str
    role: Role
    expires_at: str


class User(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    login: str
    name: str
    role: Role
    active: bool
    created_at: str
    rep_id: UUID | None
    customer_id: UUID | None

    @classmethod
    def of(cls, user: UserModel) -> Self:
        return cls(
            id=user.id,
            login=user.login,
            name=user.name,
            role=Role(user.role),
            active=user.active,
            created_at=iso(user.created_at_ms),
            rep_id=user.rep_id,
            customer_id=user.customer_id,
        )


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """A page of users by login. Ask again with `after=<next>` until `next` is null."""

    items: list[User]
    next: str | None


class Device(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    user_id: UUID
    user_login: str
    number_prefix: str
    enrolled_at: str
    last_seen_at: str | None
    revoked_at: str | None
    revoked_reason: RevocationReason | None
    wiped_at: str | None

    @classmethod
    def of(cls, device: DeviceModel, user: UserModel) -> Self:
        return cls(
            id=device.id,
            name=device.name,
            user_id=user.id,
            user_login=user.login,
            number_prefix=device.number_prefix,
            enrolled_at=iso(device.enrolled_at_ms),
            last_seen_at=iso_or_none(device.last_seen_ms),
            revoked_at=iso_or_none(device.revoked_at_ms),
            revoked_reason=RevocationReason(device.revoked_reason) if device.revoked_reason else None,
            wiped_at=iso_or_none(device.wiped_at_ms),
        )


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """A page of devices in the order of enrolment. Ask again with `after=<next>` until `next` is null."""

    items: list[Device]
    next: UUID | None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket that the device erased: how many rows, the sum of their checksums; `purged_at` is by the device's clock."""

    id: UUID
    bucket: str
    rows: int
    checksum: int
    purged_at_cursor: int
    purged_at: str
    received_at: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What the device found when it compared all it holds with the server at `cursor`."""

    id: UUID
    cursor: int
    is_equal: bool
    rows: int
    buckets: int
    differing_ranges: int
    repaired_ranges: int
    received_at: str


class ProofRequest(msgspec.Struct, frozen=True, kw_only=True):
    """That a device was asked to prove itself. It learns of it at its next sync; its proof has the same id."""

    id: UUID
    device_id: UUID
    requested_by_id: UUID
    requested_at: str

    @classmethod
    def of(cls, stored: ProofRequestModel) -> Self:
        return cls(
            id=stored.id,
            device_id=stored.device_id,
            requested_by_id=stored.requested_by_id,
            requested_at=iso(stored.requested_at_ms),
        )


class DeviceProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What kept the device from syncing when it reported last; `since` is by the device's clock."""

    code: str
    detail: str
    since: str


class DeviceDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A device and what it said of itself: the latest report, and its newest receipts and proofs."""

    device: Device
    last_cursor: int | None
    reported_at: str | None
    reported_cursor: int | None
    outbox_count: int | None
    oldest_unsent_at: str | None
    problem: DeviceProblem | None
    receipts: list[Receipt]
    proofs: list[Proof]
    proof_requests: list[ProofRequest]

    @classmethod
    def of(cls, found: ReportedDevice) -> Self:
        report = found.report
        return cls(
            device=Device.of(found.device, found.user),
            last_cursor=found.device.last_cursor,
            reported_at=iso(report.reported_at_ms) if report else None,
            reported_cursor=report.cursor if report else None,
            outbox_count=report.outbox_count if report else None,
            oldest_unsent_at=iso_or_none(report.oldest_unsent_ms) if report else None,
            problem=_problem(report) if report else None,
            receipts=[_receipt(each) for each in found.receipts],
            proofs=[_proof(each) for each in found.proofs],
            proof_requests=[ProofRequest.of(each) for each in found.proof_requests],
        )


def _problem(report: DeviceReportModel) -> DeviceProblem | None:
    if report.problem_code is None:
        return None
    return DeviceProblem(
        code=report.problem_code, detail=report.problem_detail or "", since=iso(report.problem_since_ms or report.reported_at_ms)
    )


def _receipt(stored: PurgeReceiptModel) -> Receipt:
    return Receipt(
        id=stored.id,
        bucket=stored.bucket,
        rows=stored.rows,
        checksum=stored.checksum,
        purged_at_cursor=stored.purged_at_cursor,
        purged_at=iso(stored.purged_at_ms),
        received_at=iso(stored.received_at_ms),
    )


def _proof(stored: DeviceProofModel) -> Proof:
    return Proof(
        id=stored.id,
        cursor=stored.cursor,
        is_equal=stored.is_equal,
        rows=stored.rows,
        buckets=stored.buckets,
        differing_ranges=stored.differing_ranges,
        repaired_ranges=stored.repaired_ranges,
        received_at=iso(stored.received_at_ms),
    )


class EnrolmentCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code that turns into one device, once. It is shown this once."""

    code: str
    user_id: UUID
    expires_at: str
