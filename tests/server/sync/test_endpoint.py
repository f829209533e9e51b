"""What the endpoint refuses before it does anything."""

import pytest

from server.sync.endpoint import FORKS_MAX
from server.sync.errors import DeviceMismatchError
from sync_protocol.wire.messages import ForkRequest
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
