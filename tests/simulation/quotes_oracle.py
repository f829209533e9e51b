"""What must be of negotiated quotes after every commit (I-7, I-8)."""

from collections import Counter
from typing import TYPE_CHECKING

from tests.simulation.trace import require

if TYPE_CHECKING:
    from tests.simulation.oracle import Snapshot

_ENDED = frozenset({"cancelled", "refused"})


def check_quotes(now: "Snapshot") -> None:
    """No more is bought at an agreed price than was agreed, every round is kept, and a quote that was ordered has its order."""
    bought: Counter[bytes] = Counter()
    for line in now.tables["sales_order_line"]:
        rule, order = (now.columns.of("sales_order_line", line, name) for name in ("price_rule_id", "order_id"))
        if rule is not None and now.value("sales_order", order, "status") not in _ENDED:
            bought[rule] += now.columns.of("sales_order_line", line, "quantity")
    for agreed in now.tables["agreed_price"]:
        promised = now.value("negotiated_quote_line", agreed[0], "quantity")
        left = now.columns.of("agreed_price", agreed, "remaining_quantity")
        require(left + bought[agreed[0]] == promised, "I-7", f"of {promised} agreed {left} are left")
    rounds: Counter[bytes] = Counter(now.column("negotiated_quote_round", "quote_id"))
    for quote in now.tables["negotiated_quote"]:
        revision, status, order = (now.columns.of("negotiated_quote", quote, name) for name in ("revision", "status", "order_id"))
        require(rounds[quote[0]] == revision + 1, "I-2", f"a quote at revision {revision} has {rounds[quote[0]]} rounds")
        is_live = order is not None and now.value("sales_order", order, "status") not in {*_ENDED, None}
        require(is_live == (status == "ordered"), "I-2", f"a quote is {status}, and its order is {'there' if is_live else 'not'}")
