"""What an API caller can be told went wrong, as RFC 9457 problem details.

ProblemError
├── InvalidRequestError    400  the request cannot be understood; `fields` says where and how to mend it
├── UnauthenticatedError   401  no valid token
├── ForbiddenError         403  the role may not do this
├── NotFoundError          404  it does not exist, or is not the caller's
├── TimedOutError          408  the request did not arrive in time
├── ConflictError          409  the state of the thing does not allow it
├── TooLargeError          413  the body is over a limit
├── UpgradeRequiredError   426  the other end speaks a protocol that is not served
├── TooManyRequestsError   429  asked too often; wait
└── BusyError              503  try again later

Every subclass in a slice builds its own sentence from its arguments and names a stable `code`.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of an error. `code` is stable and for programs; `fields` maps a path in the request to what is wrong there."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry: bool = False
    fields: Mapping[str, str] = {}


class ProblemError(Exception):
    """An error with a status, a stable code and a sentence that says what to do. `retry` says whether trying again helps."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    code: ClassVar[str] = "internal_error"
    retry: ClassVar[bool] = False

    def __init__(self, detail: str, *, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = dict(fields or {})

    def problem(self) -> Problem:
        """This error as a body."""
        return Problem(
            type=f"urn:roadbook:problem:{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            retry=self.retry,
            fields=self.fields,
        )


def one_line(faults: Iterable[tuple[str, str]]) -> str:
    """Fields with what is wrong with each, as a sentence. At the terminal the fields are options."""
    return "; ".join(f"{field} {remedy}" for field, remedy in faults)


class InvalidRequestError(ProblemError):
    status = 400
    title = "Invalid request"
    code = "invalid_request"


class UnauthenticatedError(ProblemError):
    status = 401
    title = "Not signed in"
    code = "unauthenticated"


class ForbiddenError(ProblemError):
    status = 403
    title = "Not permitted"
    code = "forbidden"


class NotFoundError(ProblemError):
    status = 404
    title = "Not found"
    code = "not_found"


class TimedOutError(ProblemError):
    status = 408
    title = "Request timeout"
    code = "slow_body"
    retry = True


class ConflictError(ProblemError):
    status = 409
    title = "Conflict"
    code = "conflict"


class TooLargeError(ProblemError):
    status = 413
    title = "Too large"
    code = "too_large"


class UpgradeRequiredError(ProblemError):
    status = 426
    title = "Protocol version not served"
    code = "protocol_not_served"


class TooManyRequestsError(ProblemError):
    status = 429
    title = "Too many attempts"
    code = "too_many_attempts"
    retry = True


class BusyError(ProblemError):
    status = 503
    title = "Busy"
    code = "busy"
    retry = True
