"""Which part of a file a request asks for (RFC 9110, section 14)."""

import re
from typing import Final

import msgspec

from server.sync.images.errors import RangeNotSatisfiableError

_RANGE: Final = re.compile(r"bytes=(?:(?P<first>\d{1,18})-(?P<last>\d{1,18})?|-(?P<suffix>\d{1,18}))")


class Part(msgspec.Struct, frozen=True):
    """Bytes `start` up to `end` of a file of `size`; `is_whole` where nobody asked for less."""

    start: int
    end: int
    size: int
    is_whole: bool

    @property
    def content_range(self) -> str:
        """As `Content-Range` says it."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def part_of(size: int, range_header: str, if_range: str, etag: str) -> Part:
    """The part that is asked for: the whole where `Range` is missing, none that we serve, or of another file.

    Raises RangeNotSatisfiableError. Several ranges in one request are answered with the whole.
    """
    whole = Part(0, size, size, is_whole=True)
    asked = _RANGE.fullmatch(range_header.strip())
    if asked is None or (if_range and if_range.strip() != etag):
        return whole
    if asked["suffix"] is not None:
        start, last = max(0, size - int(asked["suffix"])), size - 1
        satisfiable = int(asked["suffix"]) > 0
    else:
        start, last = int(asked["first"]), int(asked["last"] or size - 1)
        if asked["last"] is not None and last < start:
            return whole
        satisfiable = start < size
    if not satisfiable:
        raise RangeNotSatisfiableError(size)
    return Part(start, min(last, size - 1) + 1, size, is_whole=False)
