"""What went out of a device's scope, in words."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from client_sdk.cli_text import counted

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
    """Why it went, and what; empty as above."""
    named = lost_text(buckets)
    restored = "The server was restored from a backup and does not have it, or not yet, or it is not yours any more"
    reason = f"{restored}; it is" if is_restored else "Not yours any more, and"
    return f"{reason} removed from this device: {named}" if named else ""
