"""How much of a list one answer shows."""

from typing import Annotated, Final

from litestar.params import QueryParameter

PAGE_MAX: Final = 200

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
