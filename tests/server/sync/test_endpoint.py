"""What the endpoint refuses before it does anything."""

import msgspec
import pytest

from server.changelog.log import read_head
from server.identity.errors import TooManyAttemptsError
from server.sync.endpoint import FORKS_MAX, RECOUNTS_MAX
from server.sync.errors import DeviceMismatchError
from sync_protocol.wire.messages import ForkRequest, RangesRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.office import Office


async def test_nobody_uses_up_the_forks_of_another_device(office: Office) -> None:
    tablet, other = await office.enrol(), await office.enrol()
    asked = ForkRequest(
        protocol_version=PROTOCOL_VERSION,
        device_id=tablet.enrolment.device_id,
        incarnation=office.ids.token(),
        device_name="a copy",
    )
    for _ in range(FORKS_MAX + 1):
        with pytest.raises(DeviceMismatchError):
            await other.endpoint.fork(asked)
    assert (await tablet.endpoint.fork(asked)).device_id != tablet.enrolment.device_id


async def test_a_device_that_has_everything_recounted_all_the_time_is_told_to_wait(office: Office) -> None:
    tablet = await office.enrol()
    async with office.database.read() as session:
        epoch = (await read_head(session)).epoch
    asked = RangesRequest(
        protocol_version=PROTOCOL_VERSION,
        device_id=tablet.enrolment.device_id,
        incarnation=tablet.incarnation,
        epoch=epoch,
        buckets=("catalog",),
        recount=True,
    )
    for _ in range(RECOUNTS_MAX):
        await tablet.endpoint.ranges(asked)
    with pytest.raises(TooManyAttemptsError):
        await tablet.endpoint.ranges(asked)
    await tablet.endpoint.ranges(msgspec.structs.replace(asked, recount=False))
