"""The live stream of the server: server-sent events in the WHATWG format, of which all that is used is "look again".

A hint carries no data: a stream that lies, breaks or is silent costs a look too many, or one polling interval.
"""

import codecs
import re
from collections.abc import AsyncIterator, Iterator
from typing import Final, Protocol, runtime_checkable
from uuid import UUID

import msgspec

from client_sdk.errors import BadReplyError

EVENT_MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
SILENCE_SECONDS_MAX: Final = 2 * HEARTBEAT_SECONDS
LINE_CHARACTERS_MAX: Final = 64 * 1024
DATA_CHARACTERS_MAX: Final = 256 * 1024
_BYTE_ORDER_MARK: Final = "\ufeff"
_PARTS: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""Only CR, LF and both end a line of this format; Python knows more ends than that."""


@runtime_checkable
class LiveEndpoint(Protocol):
    """An endpoint that has a live stream. A device whose endpoint has none asks at its interval."""

    def live(self, device_id: UUID) -> AsyncIterator[bytes]:
        """The pieces of the stream as they come. It must be closed where it is not read to its end."""
        ...


class ServerEvent(msgspec.Struct, frozen=True):
    """One event of a stream: its name, which is `message` where none was given, and its data, lines joined by line feeds."""

    name: str
    data: str


class Hint(msgspec.Struct, frozen=True):
    """The log of `epoch` reaches up to `head`."""

    epoch: UUID
    head: int


class EventReader:
    """Takes a stream of events apart, however its bytes are cut. Raises BadReplyError where a limit is broken."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_first = True
        self._after_return = False
        self._line: list[str] = []
        self._line_size = 0
        self._name = ""
        self._data: list[str] = []
        self._data_size = 0
        self.last_id = ""
        self.retry_ms: int | None = None

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that this piece completes."""
        text = self._decoder.decode(piece)
        if self._is_first and text:
            text, self._is_first = text.removeprefix(_BYTE_ORDER_MARK), False
        for part in _PARTS.findall(text):
            yield from self._take(part)

    def _take(self, part: str) -> Iterator[ServerEvent]:
        """A part of a line, with its end where it has one."""
        content = part.rstrip("\r\n") if part.endswith(("\r", "\n")) else part
        ended = len(content) < len(part)
        follows_return, self._after_return = self._after_return, False
        if follows_return and part == "\n":  # the second half of an end that was cut in two
            return
        self._line_size += len(content)
        if self._line_size > LINE_CHARACTERS_MAX:
            raise BadReplyError(f"a line of more than {LINE_CHARACTERS_MAX} characters in the live stream")
        self._line.append(content)
        if ended:
            self._after_return = part.endswith("\r")
            line = "".join(self._line)
            self._line, self._line_size = [], 0
            yield from self._take_line(line)

    def _take_line(self, line: str) -> Iterator[ServerEvent]:
        if not line:
            name, data = self._name, self._data
            self._name, self._data, self._data_size = "", [], 0
            if data:
                yield ServerEvent(name or "message", "\n".join(data))
            return
        field, _, value = line.partition(":")
        self._take_field(field, value.removeprefix(" "))

    def _take_field(self, field: str, value: str) -> None:
        if field == "data":
            self._data_size += len(value) + 1
            if self._data_size > DATA_CHARACTERS_MAX:
                raise BadReplyError(f"an event of more than {DATA_CHARACTERS_MAX} characters in the live stream")
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id" and "\0" not in value:
            self.last_id = value
        elif field == "retry" and value.isascii() and value.isdecimal():
            self.retry_ms = min(int(value[:9]), 3_600_000)


def hint_of(event: ServerEvent) -> Hint | None:
    """What an event says, or None where it is of another kind or cannot be read; it was only a hint."""
    if event.name != "changed":
        return None
    try:
        return msgspec.json.decode(event.data.encode(), type=Hint)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
