"""What can be wrong with a step of a negotiation that is taken through the API."""

from collections.abc import Sequence
from uuid import UUID

from server.runtime.errors import ConflictError, InvalidRequestError, NotFoundError
from server.runtime.instants import iso
from sync_protocol.entities.quotes import QuoteStatus
from sync_protocol.verdicts import Change, Code, Verdict
from sync_protocol.verdicts import remedy as remedy_of


class QuoteNotFoundError(NotFoundError):
    """It does not exist, or is another's: the caller is not told which."""

    code = "quote_not_found"

    def __init__(self, quote_id: UUID) -> None:
        super().__init__(f"there is no quote {quote_id}; GET /negotiated-quotes lists those you may see")
        self.quote_id = quote_id


class QuoteStateError(ConflictError):
    """From where the quote stands this step cannot be taken."""

    code = "quote_state_forbids"

    def __init__(self, number: str, status: QuoteStatus, step: str) -> None:
        super().__init__(f"quote {number} is {status} and cannot be {step}; look at it, and decide anew")
        self.number = number
        self.quote_status = status


class QuoteChangedError(ConflictError):
    """Somebody took a step meanwhile."""

    code = "quote_changed_meanwhile"

    def __init__(self, number: str, revision: int, seen: int) -> None:
        remedy = f"you saw {seen}, it is at {revision}; look at it and answer again"
        super().__init__(f"quote {number} was changed: revision {remedy}", fields={"revision": remedy})
        self.number = number


class QuoteRefusedError(ConflictError):
    """What the customer's side asked is refused by the rules that hold for devices too; `fields` names the code."""

    code = "quote_refused"

    def __init__(self, verdict: Verdict, line_ids: Sequence[UUID] = ()) -> None:
        reason = verdict.codes[0]
        field, _, remedy = verdict.detail.partition(": ") if reason is Code.MALFORMED else ("", "", verdict.remedies()[0])
        places = {line_id: f"lines[{place}]" for place, line_id in enumerate(line_ids)}
        lines = {places[each.line_id]: _line_remedy(each) for each in verdict.changes if each.line_id in places}
        fields = {"verdict": str(reason), **({field: remedy} if field else {}), **lines}
        detail = f" ({verdict.detail})" if verdict.detail and not field else ""
        super().__init__(f"{reason}{detail}: {remedy}", fields=fields)
        self.verdict = verdict


def _line_remedy(change: Change) -> str:
    nearest = f" The nearest is {change.after}." if change.after is not None else ""
    return f"{change.code}: {remedy_of(change.code)}{nearest}"


class UnfitOfferError(InvalidRequestError):
    """An offer that nobody could accept."""

    code = "unfit_offer"

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}", fields={field: remedy})
        self.field = field


class QuoteRanOutError(ConflictError):
    """What was agreed does not hold any more."""

    code = "quote_ran_out"

    def __init__(self, number: str, valid_until_ms: int) -> None:
        super().__init__(f"what quote {number} promised held until {iso(valid_until_ms)}; ask for a new one")
        self.number = number


class QuoteOvertakenError(ConflictError):
    """Another agreement, or a rule of now, comes before what was agreed: nothing is ordered at a price that nobody named."""

    code = "quote_overtaken"

    def __init__(self, number: str) -> None:
        super().__init__(
            f"an order of quote {number} would not be at its prices: another agreement on these goods comes first;"
            " order that one before, or ask for a new quote"
        )
        self.number = number


class QuoteUsedUpError(ConflictError):
    """What was agreed was bought already."""

    code = "quote_used_up"

    def __init__(self, number: str) -> None:
        super().__init__(f"other orders bought what quote {number} promised; ask for a new one")
        self.number = number
