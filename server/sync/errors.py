"""What a device can be told went wrong with a request as a whole; of a single intent a verdict tells."""

from uuid import UUID

from server.runtime.errors import ConflictError, ForbiddenError, InvalidRequestError, TooLargeError, UpgradeRequiredError
from sync_protocol.wire.version import OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION


class DeviceForkedError(ConflictError):
    """Another copy of the device has been here since."""

    code = "device_forked"

    def __init__(self, device_id: UUID) -> None:
        super().__init__(f"device {device_id} was restored or copied: ask to become a new device; the outbox is kept")


class RequestGarbledError(InvalidRequestError):
    """The body is not what its digest is of: something between the two ends changed it."""

    code = "request_garbled"

    def __init__(self) -> None:
        super().__init__("the body does not fit its digest: it was changed on its way; send it again")


class NotForkedError(ConflictError):
    """The asker is the device itself."""

    code = "not_forked"

    def __init__(self, device_id: UUID) -> None:
        super().__init__(f"incarnation: it is the present one of device {device_id}, which is no copy; go on with it")
        self.device_id = device_id


class DeviceMismatchError(ForbiddenError):
    """The token is of another device than the request."""

    code = "device_mismatch"

    def __init__(self, device_id: UUID) -> None:
        super().__init__(f"device_id: the token is not that of device {device_id}")


class NotADeviceError(ForbiddenError):
    """The token is of a session, not of a device."""

    code = "not_a_device"

    def __init__(self) -> None:
        super().__init__("sync needs a device token: enrol this device with a code from a manager")


class NothingToHoldError(ForbiddenError):
    """Neither a rep nor a buyer: there is nothing that a device of this user could hold."""

    code = "nothing_to_hold"

    def __init__(self, role: str) -> None:
        super().__init__(f"a device is for a rep or a buyer; a {role} works through the API")


class EpochChangedError(ConflictError):
    """The device knows another log, or another past of this one."""

    code = "epoch_changed"

    def __init__(self) -> None:
        super().__init__("epoch: the server was restored; pull first, then push again")


class RangeTooLargeError(TooLargeError):
    """A range has more rows than a page may."""

    code = "range_too_large"

    def __init__(self, bucket: str) -> None:
        super().__init__(
            f"ranges: one of {bucket} does not fit into a page; pull the bucket from its beginning, as one that is gained"
        )
        self.bucket = bucket


class ProtocolNotServedError(UpgradeRequiredError):
    """The two ends have no version in common. `fields` says which are served, so that a device knows which end is too old."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"protocol_version: {version} is not served, only {OLDEST_PROTOCOL_SERVED} to {PROTOCOL_VERSION}; "
            "update the app, or ask for the server to be updated; orders are kept on the device until then",
            fields={"oldest": str(OLDEST_PROTOCOL_SERVED), "newest": str(PROTOCOL_VERSION)},
        )
