"""What a device may ask about customers."""

from server.customers.late_orders import Footing, footing_in
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from sync_protocol.entities.customers import Customer
from sync_protocol.intents import CreateCustomer
from sync_protocol.rules.documents import prospect_rows
from sync_protocol.verdicts import Code, Outcome, Verdict


async def create_customer(work: UnitOfWork, intent: CreateCustomer, context: IntentContext) -> Verdict:
    """Take a prospect into the rep's own territory, or one that was its own. Its orders are held until a manager approves it."""
    refusal = await _refusal(work, intent, context)
    if refusal is not None:
        return context.rejected(refusal)
    work.insert(*prospect_rows(intent))
    return Verdict(intent_id=context.intent_id, outcome=Outcome.ACCEPTED, decided_at_ms=context.now_ms)


async def _refusal(work: UnitOfWork, intent: CreateCustomer, context: IntentContext) -> Code | None:
    footing = await footing_in(work.session, intent.territory_id, context)
    if footing is Footing.HANDED_OVER:
        return Code.HANDED_OVER
    if footing is Footing.FOREIGN:
        return Code.UNKNOWN_TERRITORY
    if await work.get(Customer, intent.customer_id) is not None:
        return Code.CUSTOMER_EXISTS
    return None
