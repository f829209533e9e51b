"""What can be wrong with lists that are computed, and with what they are computed of."""

from collections.abc import Mapping
from uuid import UUID

from server.runtime.errors import BusyError, ConflictError, InvalidRequestError, NotFoundError, one_line


class UnfitComputedListError(InvalidRequestError):
    """The rules of a list make no sense; `fields` names each place with its remedy."""

    code = "unfit_computed_list"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(one_line(fields.items()), fields=fields)


class ComputedListNotFoundError(NotFoundError):
    code = "computed_list_not_found"

    def __init__(self, price_list_id: UUID) -> None:
        super().__init__(f"price list {price_list_id} is not computed; GET /pricing/computed-lists shows those that are")
        self.price_list_id = price_list_id


class ListIsComputedError(ConflictError):
    """Its prices follow from rules and cannot be written."""

    code = "list_is_computed"

    def __init__(self, price_list_id: UUID, made_of: str) -> None:
        super().__init__(
            f"the prices of price list {price_list_id} are computed of {made_of}; change its rules at "
            f"/pricing/computed-lists/{price_list_id}, or delete them there: then its prices stay and can be written"
        )
        self.price_list_id = price_list_id


class ComputingBusyError(BusyError):
    """Prices are being computed."""

    code = "computing_busy"

    def __init__(self) -> None:
        super().__init__("prices are being computed by somebody else; ask again when that is done, it may do what you want")


class UnfitCostSheetError(InvalidRequestError):
    """A file of costs with lines that are refused, of which nothing was taken; `fields` names each with its remedy."""

    code = "unfit_cost_sheet"

    def __init__(self, fields: Mapping[str, str], refused: int) -> None:
        lines = "1 line is" if refused == 1 else f"{refused} lines are"
        first = one_line(list(fields.items())[:1])
        super().__init__(f"{lines} refused and nothing was taken: {first}; correct them", fields=fields)
        self.refused = refused
