"""Handovers as the API and the command line show them."""

from typing import Self
from uuid import UUID

import msgspec

from server.customers.handover import HandoverKind, HandoverState, LateOrders
from server.customers.handover_preview import DeviceConcerned, Preview, Worth
from server.customers.handover_progress import (
    Acknowledged,
    DeviceProgress,
    HandoverProgress,
    PurgeState,
    SharedAcknowledged,
)
from server.runtime.instants import iso, iso_or_none

ACCOUNTS_SHOWN = 200


class ConcernedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that loses or gains so many customers. `outbox_count` is what waited on it when it reported last."""

    device_id: UUID
    name: str
    user_login: str
    rep_code: str
    loses: int
    gains: int
    last_seen_at: str | None
    reported_at: str | None
    outbox_count: int | None
    oldest_unsent_at: str | None

    @classmethod
    def of(cls, found: DeviceConcerned) -> Self:
        report = found.report
        return cls(
            device_id=found.device.id,
            name=found.device.name,
            user_login=found.user_login,
            rep_code=found.rep_code,
            loses=found.loses,
            gains=found.gains,
            last_seen_at=iso_or_none(found.device.last_seen_ms),
            reported_at=iso(report.reported_at_ms) if report else None,
            outbox_count=report.outbox_count if report else None,
            oldest_unsent_at=iso_or_none(report.oldest_unsent_ms) if report else None,
        )


class HandoverPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a handover would do now. `pending` is open and held together.

    `intents_reported` waited on the devices that lose customers when they reported last; of `devices_silent` of them
    nothing is known. What was captured since then, and drafts, are known only when a device syncs.
    """

    kind: HandoverKind
    customers: int
    open_orders: Worth
    held_orders: Worth
    pending: Worth
    intents_reported: int
    devices_silent: int
    devices: list[ConcernedDevice]

    @classmethod
    def of(cls, found: Preview) -> Self:
        reports = [each.report for each in found.losing]
        return cls(
            kind=found.kind,
            customers=found.customers,
            open_orders=found.open_orders,
            held_orders=found.held_orders,
            pending=found.pending,
            intents_reported=sum(report.outbox_count for report in reports if report is not None),
            devices_silent=sum(report is None for report in reports),
            devices=[ConcernedDevice.of(each) for each in found.devices],
        )


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """A handover. `late_orders` is what becomes of orders that an old rep captured after it."""

    id: UUID
    kind: HandoverKind
    state: HandoverState
    customers: int
    territory_id: UUID | None
    to_territory_id: UUID | None
    from_rep_id: UUID | None
    to_rep_id: UUID | None
    late_orders: LateOrders
    note: str
    effective_at: str
    created_at: str
    created_by_id: UUID
    ended_at: str | None
    ended_by_id: UUID | None
    reason: str
    commit_seq: int | None

    @classmethod
    def of(cls, found: HandoverProgress) -> Self:
        stored = found.handover
        return cls(
            id=stored.id,
            kind=HandoverKind(stored.kind),
            state=HandoverState(stored.state),
            customers=found.customers,
            territory_id=stored.territory_id,
            to_territory_id=stored.to_territory_id,
            from_rep_id=stored.from_rep_id,
            to_rep_id=stored.to_rep_id,
            late_orders=LateOrders(stored.late_orders),
            note=stored.note,
            effective_at=iso(stored.effective_at_ms),
            created_at=iso(stored.created_at_ms),
            created_by_id=stored.created_by_id,
            ended_at=iso_or_none(stored.ended_at_ms),
            ended_by_id=stored.ended_by_id,
            reason=stored.reason,
            commit_seq=stored.commit_seq,
        )


class Handovers(msgspec.Struct, frozen=True, kw_only=True):
    """A page of handovers, the latest first. Ask again with `before=<next>` until `next` is null."""

    items: list[Handover]
    next: UUID | None


class AccountPurge(msgspec.Struct, frozen=True, kw_only=True):
    """One account on one device; the counts are of its receipt."""

    customer_id: UUID
    customer_code: str
    bucket: str
    state: PurgeState
    rows: int | None
    checksum: int | None
    purged_at: str | None

    @classmethod
    def of(cls, found: Acknowledged) -> Self:
        receipt = found.receipt
        return cls(
            customer_id=found.customer_id,
            customer_code=found.customer_code,
            bucket=f"account:{found.customer_id.hex}",
            state=found.state,
            rows=receipt.rows if receipt else None,
            checksum=receipt.checksum if receipt else None,
            purged_at=iso(receipt.purged_at_ms) if receipt else None,
        )


class BucketPurge(msgspec.Struct, frozen=True, kw_only=True):
    """A price list or the stock of a location, which went with the accounts; the counts are of its receipt."""

    bucket: str
    state: PurgeState
    rows: int | None
    checksum: int | None
    purged_at: str | None

    @classmethod
    def of(cls, found: SharedAcknowledged) -> Self:
        receipt = found.receipt
        return cls(
            bucket=found.bucket,
            state=found.state,
            rows=receipt.rows if receipt else None,
            checksum=receipt.checksum if receipt else None,
            purged_at=iso(receipt.purged_at_ms) if receipt else None,
        )


class DeviceAcknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """A device that must purge accounts: how many are in which state, and the accounts, those that wait first, up to 200.

    `buckets` are the price lists and stock that the rep lost with them; the counts are of accounts alone.
    """

    device_id: UUID
    name: str
    user_login: str
    rep_code: str
    last_seen_at: str | None
    seen_since: bool
    revoked: bool
    outbox_count: int | None
    expected: int
    purged: int
    clear: int
    returned: int
    waiting: int
    rows_purged: int
    accounts: list[AccountPurge]
    buckets: list[BucketPurge]

    @classmethod
    def of(cls, found: DeviceProgress) -> Self:
        ordered = sorted(found.accounts, key=lambda each: each.state is not PurgeState.WAITING)
        return cls(
            device_id=found.device.id,
            name=found.device.name,
            user_login=found.user_login,
            rep_code=found.rep_code,
            last_seen_at=iso_or_none(found.device.last_seen_ms),
            seen_since=found.seen_since,
            revoked=found.device.revoked_at_ms is not None,
            outbox_count=found.report.outbox_count if found.report else None,
            expected=len(found.accounts),
            purged=found.count(PurgeState.PURGED),
            clear=found.count(PurgeState.CLEAR),
            returned=found.count(PurgeState.RETURNED),
            waiting=found.count(PurgeState.WAITING),
            rows_purged=sum(each.receipt.rows for each in found.accounts if each.receipt),
            accounts=[AccountPurge.of(each) for each in ordered[:ACCOUNTS_SHOWN]],
            buckets=[BucketPurge.of(each) for each in found.shared],
        )


class HandoverDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A handover and, once it is done, who has acknowledged it."""

    handover: Handover
    devices: list[DeviceAcknowledgement]

    @classmethod
    def of(cls, found: HandoverProgress) -> Self:
        return cls(handover=Handover.of(found), devices=[DeviceAcknowledgement.of(each) for each in found.devices])
