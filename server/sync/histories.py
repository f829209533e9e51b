"""Whether a device and this server have the same past.

A server that is restored by hand goes on in the same log as if nothing were lost, and others may have written into the places
that were by the time a device comes back. So a device says the farthest place that it was told of, with the time of its
commit: where both are the server's, so is all before them. It is how the members of a Raft cluster compare their logs.
"""

from server.changelog.log import Head
from server.sync.reader import Reader
from sync_protocol.wire.messages import LogPlace


async def is_of_this_past(reader: Reader, head: Head, known: LogPlace | None) -> bool:
    """Whether a place that a device knows is one that this log has, read on the reader's snapshot, whose head is given.

    Of a place of another epoch, or one that the log has forgotten below its floor, it cannot be told: True.
    """
    if known is None or known.epoch != head.epoch:
        return True
    if known.commit_seq >= head.head:
        return known == head.place or (known.commit_seq == head.head and head.place is None)
    found = await reader.all("SELECT committed_at_ms FROM change_commit WHERE commit_seq = $1", [known.commit_seq])
    return found == [(known.committed_at_ms,)] or (not found and known.commit_seq <= head.floor)
