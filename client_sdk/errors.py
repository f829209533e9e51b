"""What an application may catch. Every error says what to do; `retry` says whether the same call can work later.

RoadbookError
├── NotEnrolledError             enrol first
├── DeviceWipedError             the device was lost and has erased itself
├── StoreTakenError              the file belongs to another user
├── ServerError                  the server answered with a problem
│   ├── EnrolmentRefusedError    the code is wrong, used or expired
│   ├── DeviceRevokedError       this device may not sync any more
│   │   └── DeviceUnknownError   its server does not know it any more: enrol the same file again
│   ├── AppTooOldError           the server does not speak this app's protocol any more
│   ├── ServerTooOldError        the server does not speak this app's protocol yet
│   ├── RequestTooLargeError     the server, or what is before it, takes less at once
│   └── ServerBusyError          try again later
├── ServerUnreachableError       no network, no server, or not our server
│   └── LinkTooSlowError         it took too long; less is asked for next time
├── SyncStalledError             a device that follows its server got nowhere for three intervals
├── ReplicaDiffersError          rows here are not the server's and could not be repaired yet
├── BeyondAppError               the server has kinds of rows that this app does not know, so nothing can be compared
├── BadReplyError                an answer that is cut off, garbled or somebody else's; nothing of it was kept
├── StoreError                   the device's own file
│   ├── StoreForeignError        the file is some other database; it was left as it is
│   ├── StoreFullError           the disk is full; the step under way was not saved, everything before it is
│   ├── StoreFailedError         the disk failed; the step under way was not saved, everything before it is
│   ├── StoreBusyError           another program holds the file
│   ├── StoreDamagedError        the file is not a whole database
│   ├── StoreEmptyError          there is nothing in the file, though a device was here
│   ├── ReplicaDamagedError      what was synced is damaged; the next sync fetches it anew
│   └── StoreTooNewError         a newer app wrote the file
└── OrderingError                what was asked cannot be done; the arguments say of what
    ├── UnknownRowError          no such customer, product, order, …
    │   └── CustomerGoneError    the draft's customer is somebody else's now
    ├── DraftClosedError         the draft was submitted or discarded
    ├── EmptyOrderError          an order needs a line
    ├── NoPriceError             a product has no price for this customer
    ├── QuantityNotSoldError     a line's quantity is not one in which the product is sold
    ├── OrderBelowMinimumError   the goods come to less than the least order
    ├── NotPermittedError        whose device this is may not do this
    ├── OrderStateError          the order has gone too far for this
    ├── QuoteStateError          where the quote stands does not allow this
    ├── QuoteRanOutError         what was offered or agreed in a quote held until then
    ├── QuoteUnpricedError       a line of the quote has no offered price
    ├── QuoteUsedUpError         what was agreed in a quote was ordered already
    └── InvalidEntryError        a value is outside its limits
        ├── ManualPriceError     a price by hand that says too much, or not enough
        └── QuoteEntryError      what is asked a quote for cannot be quoted
"""

import re
from typing import ClassVar, Final
from uuid import UUID

from sync_protocol.entities.orders import OrderStatus
from sync_protocol.values import is_known


class RoadbookError(Exception):
    """Anything this library raises on purpose."""

    retry: ClassVar[bool] = False


class NotEnrolledError(RoadbookError):
    """The device belongs to nobody yet."""

    def __init__(self) -> None:
        super().__init__("this device is not enrolled: ask a manager for a code and enrol with it")


class DeviceWipedError(RoadbookError):
    """The device was reported lost, and has erased everything because its server said so."""

    def __init__(self) -> None:
        super().__init__("this device was reported lost and has erased everything on it: ask a manager for a code and enrol anew")


class StoreTakenError(RoadbookError):
    """The device's file is somebody else's. The server has taken the code for a device all the same, which nobody has."""

    def __init__(self, user_name: str, other_user_name: str, device_name: str) -> None:
        super().__init__(
            f"this file belongs to {user_name}, whose orders may still be in it: sync it, and use another file for "
            f"{other_user_name}. The code is spent: ask a manager for a new one, and to revoke the device «{device_name}» of "
            f"{other_user_name} that nobody has now"
        )
        self.user_name = user_name
        self.other_user_name = other_user_name
        self.device_name = device_name


class ServerError(RoadbookError):
    """The server answered with a problem. `status`, `code` and `detail` are the server's."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.status = status
        self.code = code
        self.detail = detail


class EnrolmentRefusedError(ServerError):
    """The code is wrong, used or expired: ask for a new one."""


class DeviceRevokedError(ServerError):
    """This device may not sync any more: speak to your manager. What it holds unsent is kept.

    `wipe_key` is what came with it, if anything: where it fits the device's lock, the engine erases the device instead.
    """

    wipe_key: bytes | None = None


class DeviceUnknownError(DeviceRevokedError):
    """Its server does not know this device: it was restored to a time before, or is another one. Enrol the same file again."""

    def __str__(self) -> str:
        return (
            "the server does not know this device (any more): ask a manager for a new enrolment code and enrol this same file "
            f"with it; everything that waits here is kept, and is sent then ({self.code})"
        )


class DeviceForkedError(ServerError):
    """Another copy of this device has synced. The engine becomes a new device by itself; an application never sees this."""


class EpochChangedError(ServerError):
    """The server was restored. The engine pulls first by itself; an application never sees this."""


class AppTooOldError(ServerError):
    """The server does not speak this app's protocol any more: update the app. Orders can still be taken and are kept."""


class ServerTooOldError(ServerError):
    """The app is newer than its server: the server must be updated. Orders can still be taken and are kept."""


class RequestTooLargeError(ServerError):
    """The server, or a proxy before it, takes less at once. The engine sends less by itself."""

    retry = True


class ServerBusyError(ServerError):
    """Try again later. `retry_after_seconds` is what the server asked for, or None."""

    retry = True

    def __init__(self, status: int, code: str, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(status, code, detail)
        self.retry_after_seconds = retry_after_seconds


class ServerUnreachableError(RoadbookError):
    """No answer: work on, and sync when there is a network."""

    retry = True

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"{url} cannot be reached ({cause}); everything is kept, sync again when there is a network")
        self.url = url


class LinkTooSlowError(ServerUnreachableError):
    """What was sent or asked for took too long; the engine asks for less next time."""


class SyncStalledError(RoadbookError):
    """A device that follows its server got nowhere for three intervals. `cause` is what its tries failed with, if they did.

    `since_ms` is when there was progress last, by the device's clock.
    """

    retry = True

    def __init__(self, since_ms: int, cause: RoadbookError | None) -> None:
        why = str(cause) if cause is not None else "the server holds the connection and sends nothing"
        super().__init__(f"syncing gets nowhere: {why}; everything is kept, and it is tried on")
        self.since_ms = since_ms
        self.cause = cause


class ReplicaDiffersError(RoadbookError):
    """What the device holds is not what the server has, and repairing it did not work yet. `cause` is what stopped it, if known."""

    retry = True

    def __init__(self, cause: RoadbookError | None, buckets: tuple[str, ...] = ()) -> None:
        named = ", ".join(buckets[:3]) + (", …" if len(buckets) > 3 else "")
        why = str(cause) if cause is not None else f"the server changes faster than it can be compared, in {named}"
        super().__init__(
            f"what is here may not be what the server has, and was not repaired yet ({why}); the next sync tries again"
        )
        self.cause = cause
        self.buckets = buckets


class BeyondAppError(RoadbookError):
    """The server has kinds of rows that this app does not know."""

    def __init__(self) -> None:
        super().__init__("the server has kinds of rows that this app does not know, so it cannot be compared: update the app")


class BadReplyError(RoadbookError):
    """An answer that is not what the protocol says; nothing of it was kept."""

    retry = True

    def __init__(self, cause: str) -> None:
        super().__init__(f"the answer was not whole or not ours ({cause}); nothing of it was kept, sync again")


class StoreError(RoadbookError):
    """The device's own file."""


class StoreForeignError(StoreError):
    """The file is some other database."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is a database, but not a device's: nothing was changed; give another path for the device's file")
        self.path = path


_KEPT: Final = "the step under way was not saved; what was saved before it is kept, with every verdict that came"
"""True of an order that a user submits, which is one step, and of a sync, which is many."""


class StoreFullError(StoreError):
    """The disk is full."""

    def __init__(self) -> None:
        super().__init__(f"the disk is full: free some space and do it again; {_KEPT}")


class StoreFailedError(StoreError):
    """The disk failed under the file."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"the disk under {path} failed ({cause}): copy the file to a sound disk and do it again; {_KEPT}")
        self.path = path
        self.cause = cause


class StoreBusyError(StoreError):
    """Another program holds the file."""

    retry = True

    def __init__(self) -> None:
        super().__init__("another program is using this device's file; close it and do it again")


class StoreDamagedError(StoreError):
    """The file is not a whole database."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"{path} is damaged ({cause}): keep the file for support, move it away, and enrol anew")


class StoreEmptyError(StoreError):
    """There is nothing in the file, and files of a device are beside it."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is empty, though a device was here: put a copy of it back if there is one, else keep {path}-* for support, "
            "move them and it away, and enrol anew; what was not sent is lost then, what was sent comes with the next sync",
        )


class ReplicaDamagedError(StoreError):
    """The file with what was synced is damaged. The next sync makes it anew; until then, what can be read is shown."""

    retry = True

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"what was synced to this device is damaged ({cause}): sync to fetch all of it anew; your orders and drafts are kept"
        )
        self.cause = cause


class StoreTooNewError(StoreError):
    """A newer app wrote the file."""

    def __init__(self, path: str, version: int, known: int) -> None:
        super().__init__(f"{path} was written by a newer app (schema {version}, this one knows {known}): update the app")


class OrderingError(RoadbookError):
    """What was asked cannot be done."""


class UnknownRowError(OrderingError):
    """No such thing on this device."""

    def __init__(self, kind: str, key: UUID | str) -> None:
        super().__init__(f"no {kind} {key} on this device: check the spelling, or sync and look again")
        self.kind = kind
        self.key = key


class CustomerGoneError(UnknownRowError):
    """The customer of a draft is not on this device any more, because somebody else serves it now."""

    def __init__(self, customer_id: UUID) -> None:
        super().__init__("customer", customer_id)

    def __str__(self) -> str:
        return (
            "the customer of this draft is not on this device any more: pass it on to whoever serves the customer now, whom the "
            "journal may name, and discard the draft"
        )


class DraftClosedError(OrderingError):
    """The draft was submitted or discarded."""

    def __init__(self, order_id: UUID, state: str) -> None:
        super().__init__(f"draft {order_id} is {state} and cannot be edited; amend the order instead")
        self.order_id = order_id
        self.state = state


class EmptyOrderError(OrderingError):
    """An order needs a line."""

    def __init__(self) -> None:
        super().__init__("an order needs at least one line: add a product first")


class NoPriceError(OrderingError):
    """A product has no price for this customer."""

    def __init__(self, sku: str, why: str) -> None:
        super().__init__(f"{sku} has no price for this customer: {why}")
        self.sku = sku
        self.why = why


class QuantityNotSoldError(OrderingError):
    """A line's quantity is not one in which the product is sold; `nearest` are those that are, the smaller first."""

    def __init__(self, sku: str, quantity: int, nearest: tuple[int, ...], why: str) -> None:
        super().__init__(f"{sku} cannot be ordered in a quantity of {quantity}: {why}")
        self.sku = sku
        self.quantity = quantity
        self.nearest = nearest


class OrderBelowMinimumError(OrderingError):
    """The goods come to less than the least order; `missing_minor` is how much is missing."""

    def __init__(self, missing_minor: int, currency: str, why: str) -> None:
        super().__init__(f"this cannot be ordered: {why}")
        self.missing_minor = missing_minor
        self.currency = currency


class NotPermittedError(OrderingError):
    """Whose device this is may not do this."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is for reps alone: leave it out, or ask your rep for it")
        self.what = what


class OrderStateError(OrderingError):
    """The order has gone too far for this."""

    def __init__(self, number: str, status: OrderStatus) -> None:
        said = "and cannot be changed any more" if is_known(status) else "which this app is too old to know: update it, or"
        super().__init__(f"order {number} is {status}, {said}: call the office")
        self.number = number
        self.status = status


class InvalidEntryError(OrderingError):
    """A value outside its limits; the message names the field and the limit."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}: mend it and do it again; nothing was saved")


class ManualPriceError(InvalidEntryError):
    """A price by hand that says too much, or not enough."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field}: {fault}")
        self.field = field


def code_of(error: RoadbookError) -> str:
    """A stable name for programs: the server's own code, or what kind of error it is, such as `server_unreachable`."""
    if isinstance(error, ServerError):
        return error.code
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()
