"""What the customer's side does through the API: the very intents of a device, decided by the same handlers."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from server.customers.territories import is_in_scope, territories_of
from server.identity.principals import OFFICE, Principal
from server.pricing.quote_errors import QuotedCustomerNotFoundError
from server.quotes.errors import QuoteChangedError, QuoteNotFoundError, QuoteRefusedError, QuoteStateError
from server.runtime.clock import IdSource
from server.runtime.database import ReadSession
from server.runtime.slices import IntentContext, IntentHandler
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Customer
from sync_protocol.entities.quotes import NegotiatedQuote
from sync_protocol.intents import AcceptQuote, CounterQuote, RequestQuote, WantedQuoteLine, WithdrawQuote
from sync_protocol.verdicts import Code, Outcome, Verdict

ZONE: Final = "UTC"
"""The API does not say in which zone its caller is."""


async def context_of(
    session: ReadSession,
    principal: Principal,
    *,
    ids: IdSource,
    now_ms: int,
    number_prefix: str = "",
    in_stead_of: UUID | None = None,
) -> IntentContext:
    """A caller of the API as one who asks; `number_prefix` is for who numbers a document. The office, which has no customer
    of its own, asks in the stead of any.
    """
    return IntentContext(
        intent_id=ids.new(),
        captured_at_ms=now_ms,
        time_zone=ZONE,
        now_ms=now_ms,
        ids=ids,
        user_id=principal.user_id,
        role=principal.role,
        number_prefix=number_prefix,
        rep_id=principal.rep_id,
        customer_id=in_stead_of if principal.role in OFFICE else principal.customer_id,
        territory_ids=await territories_of(session, principal.rep_id),
        is_online=True,
    )


async def require_seen(work: UnitOfWork, principal: Principal, quote_id: UUID, *, lock: bool = False) -> NegotiatedQuote:
    """A quote that the caller may see. Raises QuoteNotFoundError."""
    quote = await work.get(NegotiatedQuote, quote_id, lock=lock)
    customer = await work.get(Customer, quote.customer_id) if quote is not None else None
    if quote is None or customer is None or not await is_in_scope(work.session, principal, customer):
        raise QuoteNotFoundError(quote_id)
    return quote


async def request(work: UnitOfWork, handler: IntentHandler, intent: RequestQuote, context: IntentContext) -> Verdict:
    """Ask for a quote. Raises QuotedCustomerNotFoundError, QuoteRefusedError."""
    verdict: Verdict = await handler(work, intent, context)
    if verdict.outcome is Outcome.REJECTED and verdict.codes[0] in {Code.UNKNOWN_CUSTOMER, Code.NOT_PERMITTED}:
        raise QuotedCustomerNotFoundError(intent.customer_id)
    return _allowed(verdict, intent.lines)


async def step(
    work: UnitOfWork, handler: IntentHandler, intent: CounterQuote | AcceptQuote | WithdrawQuote, context: IntentContext
) -> Verdict:
    """Take a step in a quote that the caller may see.

    Raises QuoteNotFoundError, QuoteChangedError, QuoteStateError, QuoteRefusedError.
    """
    before = await work.get(NegotiatedQuote, intent.quote_id, lock=True)
    verdict: Verdict = await handler(work, intent, context)
    if verdict.outcome is not Outcome.REJECTED:
        return verdict
    code = verdict.codes[0]
    if before is None or code is Code.NOT_PERMITTED:
        raise QuoteNotFoundError(intent.quote_id)
    if code is Code.QUOTE_STATE_FORBIDS:
        raise QuoteStateError(before.number, before.status, _DONE_BY[type(intent)])
    if code is Code.QUOTE_CHANGED_MEANWHILE and not isinstance(intent, WithdrawQuote):
        raise QuoteChangedError(before.number, before.revision, intent.revision)
    return _allowed(verdict, intent.lines if isinstance(intent, CounterQuote) else ())


_DONE_BY: Final = {CounterQuote: "countered", AcceptQuote: "accepted", WithdrawQuote: "withdrawn"}


def _allowed(verdict: Verdict, lines: Sequence[WantedQuoteLine]) -> Verdict:
    if verdict.outcome is Outcome.REJECTED:
        raise QuoteRefusedError(verdict, [line.line_id for line in lines])
    return verdict
