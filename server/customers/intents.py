"""What a device may ask about customers."""

from server.customers.late_orders import Footing, footing_in
from server.runtime.database import WriteSession
from server.runtime.rows import fetch_row, insert_rows
from server.runtime.slices import IntentContext
from sync_protocol.entities.customers import Customer
from sync_protocol.intents import CreateCustomer
from sync_protocol.rules.documents import prospect_rows
from sync_protocol.verdicts import Code, Outcome, Verdict


async def create_customer(session: WriteSession, intent: CreateCustomer, context: IntentContext) -> Verdict:
    """Take a prospect into the rep's own territory, or one that was its own. Its orders are held until a manager approves it."""
    refusal = await _refusal(session, intent, context)
    if refusal is not None:
        return context.rejected(refusal)
    for row in prospect_rows(intent):
        await insert_rows(session, [row])
    return Verdict(intent_id=context.intent_id, outcome=Outcome.ACCEPTED, decided_at_ms=context.now_ms)


async def _refusal(session: WriteSession, intent: CreateCustomer, context: IntentContext) -> Code | None:
    footing = await footing_in(session, intent.territory_id, context)
    if footing is Footing.HANDED_OVER:
        return Code.HANDED_OVER
    if footing is Footing.FOREIGN:
        return Code.UNKNOWN_TERRITORY
    if await fetch_row(session, Customer, intent.customer_id) is not None:
        return Code.CUSTOMER_EXISTS
    return None
