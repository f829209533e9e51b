"""Which places of a log a device remembers that its verdicts are of."""

from collections.abc import Iterator
from uuid import UUID

import apsw
import pytest

from client_sdk.state import decided_places, known_in, note_decided
from sync_protocol.wire.messages import LogPlace

LOG, ANOTHER = UUID(int=1), UUID(int=2)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    opened = apsw.Connection(":memory:")
    opened.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID")
    yield opened
    opened.close()


def place(commit_seq: int, epoch: UUID = LOG) -> LogPlace:
    return LogPlace(epoch=epoch, commit_seq=commit_seq, committed_at_ms=1_000 + commit_seq)


def test_the_head_of_a_reply_takes_the_place_of_what_its_request_named(connection: apsw.Connection) -> None:
    note_decided(connection, LOG, place(5), ())
    note_decided(connection, LOG, place(9), (place(5),))
    assert decided_places(connection) == (place(9),)


def test_what_a_request_did_not_name_stays_whichever_reply_is_stored_last(connection: apsw.Connection) -> None:
    """Two programs on one file, whose server was restored between their pushes."""
    note_decided(connection, LOG, place(25), ())
    note_decided(connection, LOG, place(22), (place(20),))
    assert decided_places(connection) == (place(25), place(22))


def test_a_reply_without_a_head_forgets_nothing(connection: apsw.Connection) -> None:
    note_decided(connection, LOG, place(25), ())
    note_decided(connection, LOG, None, (place(25),))
    assert decided_places(connection) == (place(25),)


def test_places_of_another_log_go(connection: apsw.Connection) -> None:
    note_decided(connection, ANOTHER, place(25, ANOTHER), ())
    note_decided(connection, LOG, place(3), ())
    assert decided_places(connection) == (place(3),)


def test_each_place_of_a_log_is_named_once_and_of_no_log_all() -> None:
    assert known_in(LOG, place(1), None, place(2, ANOTHER), place(1)) == (place(1),)
    assert known_in(None, place(1), place(2, ANOTHER)) == (place(1), place(2, ANOTHER))
