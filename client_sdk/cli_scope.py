"""What went out of a device's scope, and what became of it after a restore, in words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from client_sdk.cli_text import counted
from client_sdk.events import DeviceRenewed, ReplicaRebuilt, SyncReport
from sync_protocol.wire.messages import ResyncReason

_KINDS: Final = {
    "account": ("customer with all orders", "customers with all their orders"),
    "pricelist": ("price list", "price lists"),
    "stock": ("location's stock", "locations' stock"),
}
"""The kinds of bucket that a user has a word for."""


def lost_text(buckets: Iterable[str]) -> str:
    """`120 customers with all their orders, 1 price list`; empty where nothing went that a user has a word for."""
    kinds = Counter(bucket.partition(":")[0] for bucket in buckets)
    return ", ".join(counted(kinds[kind], *words) for kind, words in _KINDS.items() if kinds[kind])


def removed_text(buckets: Iterable[str], *, is_restored: bool) -> str:
    """What went, and why; empty as above."""
    named = lost_text(buckets)
    if named and is_restored:
        reason = "the server was restored from a backup and does not have them, or not yet, or they are not yours any more"
        return f"Removed from this device: {named}; {reason}"
    return f"Not yours any more, and removed from this device: {named}" if named else ""


def begun_anew_text(event: ReplicaRebuilt | DeviceRenewed) -> str:
    """Why a device begins anew, or is another one."""
    if isinstance(event, DeviceRenewed):
        cause = "The file of this device is a copy or was restored, or the server was restored"
        return f"{cause}: it is a new device now, and its new orders are numbered {event.number_prefix}-000001 and on."
    if event.reason is ResyncReason.BELOW_RETENTION:
        return "This device was away for longer than the server keeps changes: everything is fetched anew."
    offered = event.offered_again
    are, what = ("is", "its verdict") if offered == 1 else ("are", "their verdicts")
    again = f"; {counted(offered, 'act')} that it had decided {are} offered again, and {what} told again" if offered else ""
    return f"The server was restored from a backup: everything is fetched anew{again}."


def reported(report: SyncReport, told: Sequence[ReplicaRebuilt | DeviceRenewed]) -> list[ReplicaRebuilt | DeviceRenewed]:
    """What a sync that was killed or cut off found out, and its report says though this one was not told of it."""
    is_told = any(isinstance(event, ReplicaRebuilt) and event.reason is not ResyncReason.BELOW_RETENTION for event in told)
    before: list[ReplicaRebuilt | DeviceRenewed] = []
    if report.new_number_prefix and not any(isinstance(event, DeviceRenewed) for event in told):
        before.append(DeviceRenewed(report.new_number_prefix))
    if report.is_restored and not is_told:
        before.append(ReplicaRebuilt(ResyncReason.EPOCH_CHANGED, report.offered_again))
    return before
