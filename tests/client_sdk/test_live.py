"""The event-stream format of the WHATWG, however a network cuts it."""

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import BadReplyError
from client_sdk.live import DATA_CHARACTERS_MAX, LINE_CHARACTERS_MAX, EventReader, Hint, ServerEvent, hint_of

STREAM = (
    '\ufeff: a comment\n\nevent: changed\ndata: {"a":\rdata: "é☂"}\r\n\r\ndata\n\nid: 7\nretry: 2500\nretry: soon\n'
    "data:no space\ndata:  two spaces\nunknown: field\nnothing\n\ndata: \x85\x0b\u2028 is one line\n\nevent: no data\n\n"
    "data: after the name\n\ndata: never ended\n"
)
EVENTS = [
    ServerEvent("changed", '{"a":\n"é☂"}'),
    ServerEvent("message", ""),
    ServerEvent("message", "no space\n two spaces"),
    ServerEvent("message", "\x85\x0b\u2028 is one line"),
    ServerEvent("message", "after the name"),
]


def read(*pieces: bytes) -> tuple[list[ServerEvent], EventReader]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)], reader


def test_a_stream_is_read_as_the_format_says() -> None:
    events, reader = read(STREAM.encode())
    assert events == EVENTS
    assert (reader.last_id, reader.retry_ms) == ("7", 2500)


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=20))
def test_a_stream_says_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    whole = STREAM.encode()
    places = [0, *sorted(cuts), len(whole)]
    assert read(*(whole[start:end] for start, end in pairwise(places)))[0] == EVENTS


def test_a_stream_says_the_same_byte_by_byte() -> None:
    assert read(*(bytes([byte]) for byte in STREAM.encode()))[0] == EVENTS


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_rubbish_is_read_without_a_failure(pieces: list[bytes]) -> None:
    for event in read(*pieces)[0]:
        hint_of(event)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_each_kind_of_line_end_ends_one_line(end: str) -> None:
    text = f"data: 1{end}data: 2{end}{end}data: 3{end}{end}"
    for step in (1, 2, 100):
        pieces = [text.encode()[start : start + step] for start in range(0, len(text), step)]
        assert [event.data for event in read(*pieces)[0]] == ["1\n2", "3"]


def test_a_line_or_an_event_without_end_is_refused() -> None:
    with pytest.raises(BadReplyError):
        read(*(b"data: endless" for _ in range(LINE_CHARACTERS_MAX // 10)))
    with pytest.raises(BadReplyError):
        read(*(b"data: " + b"x" * 1_000 + b"\n" for _ in range(DATA_CHARACTERS_MAX // 1_000 + 1)))


def test_a_hint_is_read_and_what_is_none_is_not() -> None:
    epoch = UUID(int=5)
    data = f'{{"epoch": "{epoch}", "head": 12, "more": [1]}}'
    assert hint_of(ServerEvent("changed", data)) == Hint(epoch, 12)
    assert hint_of(ServerEvent("message", data)) is None
    for unfit in ("", "{", "[]", '{"head": 1}', '{"epoch": 5, "head": 1}', "\udcff"):
        assert hint_of(ServerEvent("changed", unfit)) is None
