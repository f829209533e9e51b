"""Ids of imported rows. They follow from where a row comes from, so that every run gives the same row the same id.

A UUIDv7 is made of a clock and of chance: a second run, or a run after a kill, would give other ids and so other rows.
An imported id is a UUIDv8 (RFC 9562, 5.8) of a digest of the source's name, the entity and the row's key in the source.
"""

import hashlib
from collections.abc import Sequence
from typing import Final
from uuid import UUID

SEPARATOR: Final = "\x1f"


def key_text(parts: Sequence[str]) -> str:
    """The parts of a key as one text. A row whose key has the separator in a part is set aside."""
    return SEPARATOR.join(parts)


def loose(text: str) -> str:
    """A part of a key as it is compared where case and spaces say nothing."""
    return " ".join(text.split()).casefold()


def imported_id(source: str, entity: str, key: str) -> UUID:
    """The id of the row of `entity` that the source knows by `key` (made by `key_text`)."""
    digest = hashlib.sha256(f"{source}{SEPARATOR}{entity}{SEPARATOR}{key}".encode()).digest()
    bits = int.from_bytes(digest[:16], "big")
    bits = bits & ~(0xF << 76) | (0x8 << 76)
    return UUID(int=bits & ~(0b11 << 62) | (0b10 << 62))
