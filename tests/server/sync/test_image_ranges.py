"""Which part of a file a request is answered with."""

import pytest

from server.sync.images.errors import RangeNotSatisfiableError
from server.sync.images.ranges import Part, part_of

SIZE = 1_000
ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-", 0, 1_000),
        ("bytes=0-0", 0, 1),
        ("bytes=900-", 900, 1_000),
        ("bytes=999-", 999, 1_000),
        ("bytes=10-19", 10, 20),
        ("bytes=990-5000", 990, 1_000),
        ("bytes=-1", 999, 1_000),
        ("bytes=-5000", 0, 1_000),
        (" bytes=10-19 ", 10, 20),
    ],
)
def test_a_range_is_the_part_that_it_names(header: str, start: int, end: int) -> None:
    part = part_of(SIZE, header, "", ETAG)
    assert part == Part(start, end, SIZE, is_whole=False)
    assert part.content_range == f"bytes {start}-{end - 1}/1000"


@pytest.mark.parametrize("header", ["", "bytes=", "bytes=-", "bytes=20-10", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes=--1"])
def test_what_is_no_range_of_ours_is_answered_with_the_whole(header: str) -> None:
    assert part_of(SIZE, header, "", ETAG) == Part(0, SIZE, SIZE, is_whole=True)


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999-"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiableError):
        part_of(SIZE, header, "", ETAG)


def test_a_part_of_another_file_is_answered_with_the_whole() -> None:
    assert part_of(SIZE, "bytes=10-", '"other"', ETAG).is_whole
    assert part_of(SIZE, "bytes=10-", 'W/"abc"', ETAG).is_whole
    assert not part_of(SIZE, "bytes=10-", ETAG, ETAG).is_whole
