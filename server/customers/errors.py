"""What can be wrong with a handover."""

from uuid import UUID

from server.runtime.errors import ConflictError, InvalidRequestError, NotFoundError, one_line
from server.runtime.instants import iso


class UnfitHandoverError(InvalidRequestError):
    """A handover that makes no sense; `fields` names each place with its remedy."""

    code = "unfit_handover"

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(one_line(fields.items()), fields=fields)


class HandoverOverlapsError(ConflictError):
    """A customer of it is in another handover that is still to come."""

    code = "handover_overlaps"

    def __init__(self, other_id: UUID, effective_at_ms: int, field: str) -> None:
        remedy = f"is in handover {other_id} of {iso(effective_at_ms)} already; cancel that one, or wait for it"
        super().__init__(f"{field} {remedy}; nothing was planned", fields={field: remedy})
        self.other_id = other_id


class HandoverNotFoundError(NotFoundError):
    code = "handover_not_found"

    def __init__(self, handover_id: UUID) -> None:
        super().__init__(f"there is no handover {handover_id}; GET /handovers or «roadbook handovers list» shows all")
        self.handover_id = handover_id


class HandoverEndedError(ConflictError):
    """It was done, or cancelled before."""

    code = "handover_ended"

    def __init__(self, handover_id: UUID, state: str, ended_at_ms: int) -> None:
        remedy = "hand the customers back instead" if state == "done" else "nothing is left to cancel"
        super().__init__(f"handover {handover_id} was {state} at {iso(ended_at_ms)}; {remedy}")
        self.handover_id = handover_id
        self.state = state
