"""What must happen in every large enough run: a fault that never fires, or a refusal that never comes, tests nothing."""

from typing import Final

from sync_protocol.verdicts import Code
from sync_protocol.wire.messages import ResyncReason
from tests.simulation.plan import NETWORK_FAULTS, RARER_FAULTS

SEEDS_ENOUGH: Final = 800
SEEDS_MANY: Final = 20_000

_RARE_VERDICTS: Final = (
    *(Code.QUARANTINED, Code.ORDER_EXISTS, Code.UNKNOWN_ORDER, Code.UNKNOWN_ADDRESS),
    *(Code.ORDER_STATE_FORBIDS, Code.ORDER_CHANGED_MEANWHILE, Code.NO_PRICE, Code.CURRENCY_DIFFERS),
    *(Code.UNKNOWN_QUOTE, Code.QUOTE_STATE_FORBIDS, Code.QUOTE_CHANGED_MEANWHILE, Code.QUOTE_EXPIRED),
)
_NEVER_HERE: Final = (
    *(Code.MALFORMED, Code.CUSTOMER_EXISTS, Code.UNKNOWN_CUSTOMER, Code.QUOTE_EXISTS),
    *(Code.QUANTITY_NOT_SOLD, Code.ORDER_BELOW_MINIMUM, Code.MANUAL_PRICE_ABOVE_LIMIT, Code.BELOW_FLOOR, Code.PRICE_TO_APPROVE),
    *(Code.AMOUNT_CHANGED, Code.TAX_CHANGED, Code.GIFTS_CHANGED, Code.PRICE_HONOURED),
)
"""The SDK makes no intent that is malformed, and no customer or quote twice; here no customer is deleted, and there are no rules
of quantities, offers, taxes, prices by hand or policies.
"""

SOMETIMES: Final = (
    *(f"network: {fault}" for fault in (*NETWORK_FAULTS, *RARER_FAULTS)),
    *(f"resync: {reason.value}" for reason in ResyncReason),
    *(f"scope: {change}" for change in ("gained", "lost")),
    *(f"verdict: {code.value}" for code in Code if code not in {*_RARE_VERDICTS, *_NEVER_HERE}),
    *(f"server: {fault}" for fault in ("killed", "restored", "restored by hand", "poison", "disk full", "locked", "foreign write")),
    *(
        f"device: {fault}"
        for fault in ("killed before", "killed after", "restored", "cloned", "clock jumped", "disk full", "locked")
    ),
    *(f"device: {fault}" for fault in ("revoked", "offline 91 days", "offline 400 days")),
    *(f"office: {act}" for act in ("released", "handed over", "assigned", "enlisted", "a fad", "offered")),
    *(f"quote: {step}" for step in ("requested", "countered", "accepted", "ordered", "ordered at once", "withdrawn")),
    "server: tombstones collected",
    *(f"device: {damage}" for damage in ("changed row", "lost row", "extra row", "wrong sum", "repaired", "asked for a recount")),
    *(f"image: {what}" for what in ("built", "begun", "resumed", "adopted", "fallen back", "expired", "spoiled")),
    *(f"device: {what}" for what in ("pushed by protocol 1", "updated", "updated with a queue")),
    *(
        "server: verdicts forgotten",
        "device: came back late",
        "device: lost its replica",
        "device: killed before",
        "server: wrong sum",
        "error: ReplicaDiffersError",
    ),
    *(f"error: {name}Error" for name in ("BadReply", "DeviceRevoked", "NoPrice", "OrderState", "UnknownRow", "NotEnrolled")),
    *(f"error: {name}Error" for name in ("ServerBusy", "ServerUnreachable", "StoreBusy", "StoreFull", "LinkTooSlow")),
    *(f"error: {name}Error" for name in ("AppTooOld", "ServerTooOld", "EmptyOrder", "InvalidEntry", "DraftClosed")),
)
"""In each run of so many seeds as `make test` has."""

RARELY: Final = (
    *(f"verdict: {code.value}" for code in _RARE_VERDICTS),
    *("office: refused", "device: wiped", "error: EnrolmentRefusedError"),
)
"""In each run of ten times as many."""


def never(seen: dict[str, int], seeds: int) -> list[str]:
    """What should have happened in so many seeds and did not."""
    wanted = (*(SOMETIMES if seeds >= SEEDS_ENOUGH else ()), *(RARELY if seeds >= SEEDS_MANY else ()))
    return [what for what in wanted if not seen.get(what)]
