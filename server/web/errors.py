"""What can be wrong with a request before a slice sees it."""

from collections.abc import Mapping

from server.runtime.errors import InvalidRequestError, TimedOutError, TooLargeError


class SlowBodyError(TimedOutError):
    """The body did not arrive in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not arrive within {seconds:.0f} seconds; send less at once or try again")
        self.seconds = seconds


class BodyTooLargeError(TooLargeError):
    def __init__(self) -> None:
        super().__init__("the body is larger than this route takes; send less at once")


class BodyTooDeepError(InvalidRequestError):
    def __init__(self) -> None:
        super().__init__("the body is nested too deep; flatten it")


class BodyNotUtf8Error(InvalidRequestError):
    def __init__(self, byte: int) -> None:
        super().__init__(f"the body is not UTF-8 at byte {byte}; encode it as UTF-8")
        self.byte = byte


class BodyNotJsonError(InvalidRequestError):
    def __init__(self, fault: str) -> None:
        super().__init__(f"the body is not JSON: {fault}; correct it")
        self.fault = fault


class KeyTwiceError(InvalidRequestError):
    """A key of a JSON object is there twice: one reader takes the first, another the last."""

    def __init__(self, key: str) -> None:
        shown = key[:100]
        super().__init__(f"the body has the key {shown!r} twice; send it once", fields={shown: "is given twice; send it once"})
        self.key = key


class NumberInBodyError(InvalidRequestError):
    """A number that is larger than anything here, and that no two readers agree on."""

    def __init__(self, number: str) -> None:
        super().__init__(
            f"the body has the number {number[:20]} of {len(number)} characters, which is out of all bounds; correct it"
        )
        self.number = number


class ConstantInBodyError(InvalidRequestError):
    """NaN or an infinity, which Python's JSON knows and JSON does not."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the body has {name}, which is not JSON; send a number or null")
        self.name = name


class UnfitFieldsError(InvalidRequestError):
    """Fields that are not what the route declares, each with its remedy; `otherwise` is said where none is known."""

    def __init__(self, fields: Mapping[str, str], otherwise: str) -> None:
        super().__init__("; ".join(f"{field}: {remedy}" for field, remedy in fields.items()) or otherwise, fields=fields)
