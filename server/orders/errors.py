"""What can be wrong with an order that a manager looks at or decides."""

from uuid import UUID

from server.runtime.errors import ConflictError, InvalidRequestError, NotFoundError
from server.runtime.instants import iso
from sync_protocol.entities.orders import OrderStatus


class OrderNotFoundError(NotFoundError):
    """It does not exist, or is another company's: the caller is not told which."""

    code = "order_not_found"

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"there is no order {order_id}; GET /orders lists those you may see")
        self.order_id = order_id


class OrderAlreadyDecidedError(ConflictError):
    """Somebody else was first."""

    code = "order_already_decided"

    def __init__(self, number: str, status: OrderStatus, who: str, decided_at_ms: int, reason: str) -> None:
        because = f" («{reason}»)" if reason else ""
        super().__init__(f"order {number} is {status}: {who} decided it at {iso(decided_at_ms)}{because}; nothing was changed")
        self.number = number
        self.order_status = status
        self.who = who


class OrderNotHeldError(ConflictError):
    """The order's state does not let a manager take this step."""

    code = "order_not_held"

    def __init__(self, number: str, status: OrderStatus, target: OrderStatus) -> None:
        super().__init__(f"order {number} is {status} and cannot become {target}; only a held order is released or refused")
        self.number = number
        self.order_status = status
        self.target = target


class ReasonMissingError(InvalidRequestError):
    code = "reason_missing"

    def __init__(self) -> None:
        remedy = "is empty; say why, the rep reads it on the next sync"
        super().__init__(f"reason {remedy}", fields={"reason": remedy})


class TimeWithoutOffsetError(InvalidRequestError):
    """A time that is another instant in every time zone."""

    code = "time_without_offset"

    def __init__(self, field: str) -> None:
        remedy = "has no offset from UTC; write it like 2026-11-22T04:33:30Z"
        super().__init__(f"{field} {remedy}", fields={field: remedy})
        self.field = field
