"""Lists with the newest first, page by page, by a cursor that new arrivals do not move."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, Self
from uuid import UUID

import msgspec
import sqlalchemy as sa

from server.runtime.errors import InvalidRequestError
from sync_protocol.values import Instant


class CursorInvalidError(InvalidRequestError):
    code = "cursor_invalid"

    def __init__(self) -> None:
        remedy = "is not a cursor of ours; give back `next` of the page before, or leave it out"
        super().__init__(f"after {remedy}", fields={"after": remedy})


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last item of a page, when it came and its id: lists go on below it."""

    at_ms: Instant
    id: UUID

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """The cursor of a query; None where none was given. Raises CursorInvalidError."""
        if not text:
            return None
        try:
            return msgspec.msgpack.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except (ValueError, msgspec.DecodeError) as error:
            raise CursorInvalidError from error

    def __str__(self) -> str:
        body = msgspec.msgpack.encode((self.at_ms, self.id.bytes))
        return urlsafe_b64encode(body).decode().rstrip("=")


def below(at_ms: Any, identifier: Any, after: Cursor | None) -> list[sa.ColumnElement[bool]]:
    """What comes after the cursor when the newest comes first."""
    if after is None:
        return []
    here = sa.and_(at_ms == after.at_ms, identifier < after.id)
    return [at_ms <= after.at_ms, sa.or_(at_ms < after.at_ms, here)]
