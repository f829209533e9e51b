"""Versions of the wire and of the rules, with their history, and the fingerprint that makes a change impossible to miss.

PROTOCOL 1 (2026-11-22): rows down in whole checkpoints, intents up with verdicts, document number series.
PROTOCOL 2 (2026-11-24): images for the first sync, checksums with repair and proof, device reports with purge receipts,
    AmendOrder 2, whose note can be taken back, the codes too_old, handed_over and routed, and places that tell a server that was
    restored by hand.
PROTOCOL 3 (2026-11-30): price books: validity, assignments, agreed prices, quantity rules, promotions, taxes, limits; SubmitOrder 2
    and AmendOrder 3, whose lines carry the proof of their prices; codes for quantities, prices by hand and honoured prices;
    negotiated quotes with their intents and codes.
RULES 1 (2026-11-22): nearest price list, deepest break; stock promised line by line; three reasons to hold.
RULES 2 (2026-11-30): the rules of docs/PRICING.md.
"""

import hashlib
from typing import Final

import msgspec

from sync_protocol.entities import SYNCED
from sync_protocol.intents import INTENTS
from sync_protocol.verdicts import Code, Verdict
from sync_protocol.wire import messages

PROTOCOL_VERSION: Final = 3
OLDEST_PROTOCOL_SERVED: Final = 1
RULES_VERSION: Final = 2


def fingerprint() -> str:
    """A digest of every type that travels. It may move only together with `PROTOCOL_VERSION` and a line of history."""
    types = [*(synced.row for synced in SYNCED), *INTENTS, Verdict, *messages.MESSAGES]
    _, components = msgspec.json.schema_components(types, ref_template="{name}")
    registry = [(each.number, each.name, each.bucket.kind, each.bucket.key, each.since_protocol) for each in SYNCED]
    canonical = msgspec.json.encode([registry, list(Code), components], order="deterministic")
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()
