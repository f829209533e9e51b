"""How much of a list one answer shows, and the codes that it is narrowed by."""

from typing import Annotated, Final

from litestar.params import QueryParameter

PAGE_MAX: Final = 200

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]

GivenCode = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="A code, such as the import brought; R-07 for a rep.",
    ),
]
