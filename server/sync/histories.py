"""Whether a device and this server have the same past.

A server that is restored by hand goes on in the same log as if nothing were lost, and others may have written into the places
that were by the time a device comes back. So a device says which places it was told of, with the times of their commits: where
these are the server's, so is all before them. It is how the members of a Raft cluster compare their logs.
"""

from collections.abc import Iterable

from server.changelog.log import Head
from server.sync.reader import Reader
from sync_protocol.wire.messages import LogPlace


async def is_of_this_past(reader: Reader, head: Head, known: Iterable[LogPlace]) -> bool:
    """Whether this log has all the places that a device knows, read on the reader's snapshot, whose head is given.

    Each is looked up: one that is told by an image may come after one of another past. Of a place of another epoch, or one that
    the log has forgotten below its floor, it cannot be told, and it counts as had.
    """
    return all([await _has(reader, head, place) for place in known if place.epoch == head.epoch])


async def _has(reader: Reader, head: Head, place: LogPlace) -> bool:
    if place.commit_seq > head.head:
        return False
    if place.commit_seq == head.head:
        return head.place in {None, place}
    found = await reader.all("SELECT committed_at_ms FROM change_commit WHERE commit_seq = $1", [place.commit_seq])
    return found == [(place.committed_at_ms,)] or (not found and place.commit_seq <= head.floor)
