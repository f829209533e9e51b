"""What two copies of a row are compared by: a checksum over its text, which both ends make from what they hold.

The canonical text of a row is its entity's number and then each of its fields, in their order, as netstrings: the length
in bytes, a colon, the text as UTF-8, a comma; None is `-,`. An id is 32 lower hexadecimal digits, a number is decimal.
The checksum is the first forty bits of the text's MD5, so that the sum over eight million rows still fits an int64. It
detects faults; it holds off nobody.
"""

from collections.abc import Iterable
from hashlib import md5
from typing import Any, Final

from sync_protocol.entities import Synced

CHECKSUM_BYTES: Final = 5


def canonical_text(number: int, stored_values: Iterable[Any]) -> str:
    """The text of a row of the entity of this number: stored values in the order of its fields, ids as 16 bytes."""
    parts = [f"{len(str(number))}:{number},"]
    for value in stored_values:
        if value is None:
            parts.append("-,")
        elif isinstance(value, bytes):
            parts.append(f"{2 * len(value)}:{value.hex()},")
        else:
            text = str(value)
            length = len(text) if text.isascii() else len(text.encode())
            parts.append(f"{length}:{text},")
    return "".join(parts)


def checksum_of(number: int, *stored_values: Any) -> int:
    """The checksum of a row of the entity of this number, 0 to 2⁴⁰ - 1: a function for SQL, which knows no registry."""
    summed = md5(canonical_text(number, stored_values).encode(), usedforsecurity=False)
    return int.from_bytes(summed.digest()[:CHECKSUM_BYTES], "big")


def row_checksum(synced: Synced, stored_values: Iterable[Any]) -> int:
    """The checksum of a row, of its stored values in the order of its fields."""
    return checksum_of(synced.number, *stored_values)
