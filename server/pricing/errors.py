"""What can be wrong with what the office asks of prices."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from server.runtime.errors import ConflictError, InvalidRequestError, NotFoundError, one_line
from server.runtime.instants import iso


class UnfitPriceRowError(InvalidRequestError):
    """A row within its limits that makes no sense all the same; `fields` names each place with its remedy."""

    code = "unfit_price_row"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(one_line(fields.items()), fields=fields)


class PriceRowNotFoundError(NotFoundError):
    """There is no row of this kind with this id."""

    code = "price_row_not_found"

    def __init__(self, kind: str, row_id: UUID, path: str) -> None:
        where = f"; GET {path} shows all" if path else "; check the id"
        super().__init__(f"there is no {kind} {row_id}{where}")
        self.kind = kind
        self.row_id = row_id


class ValueTakenError(ConflictError):
    """Another row of this kind has the same value where each must have one of its own."""

    code = "value_taken"

    def __init__(self, kind: str, fields: tuple[str, ...], other_id: UUID | None = None) -> None:
        whose = f"of {kind} {other_id}" if other_id is not None else f"of another {kind}"
        remedy = f"is that {whose} already; choose another, or change that one"
        super().__init__(f"{' with '.join(fields)} {remedy}", fields=dict.fromkeys(fields, remedy))
        self.kind = kind
        self.other_id = other_id


class PriceRowExistsError(ConflictError):
    """A row is to be made under an id that another has."""

    code = "price_row_exists"

    def __init__(self, kind: str, row_id: UUID, path: str) -> None:
        remedy = f"is that of a {kind} with other values; PUT {path}/{row_id} replaces it, another id makes another"
        super().__init__(f"id {remedy}", fields={"id": remedy})
        self.kind = kind
        self.row_id = row_id


class RemainingOvertakenError(ConflictError):
    """What is left of an agreement is to be written by somebody who did not see what orders took of it meanwhile."""

    code = "remaining_overtaken"

    def __init__(self, field: str, now: int, seen_field: str) -> None:
        remedy = f"is {now} by now, for orders take from it; give {now} to leave it so, or {seen_field} {now} to change it"
        super().__init__(f"{field} {remedy}", fields={field: remedy})
        self.now = now


_LASTING: Final = {"price_revision": "the record of its changes stays, and it with that; let it end with valid_until_ms"}
"""What is kept for good, by the name of its table, with what to do instead of deleting what it refers to."""


class ReferredToError(ConflictError):
    """Others refer to the row; `fields` has for each table how many rows do, and one of them."""

    code = "referred_to"

    def __init__(self, kind: str, row_id: UUID, referrers: Mapping[str, tuple[int, UUID]]) -> None:
        said = {table: f"{count} of it, such as {example}" for table, (count, example) in referrers.items()}
        listed = ", ".join(f"{table} ({text})" for table, text in said.items())
        lasting = next((remedy for table, remedy in _LASTING.items() if table in referrers), None)
        super().__init__(
            f"{kind} {row_id} is referred to by {listed}; {lasting or 'delete these or change them first'}",
            fields={
                table: f"refers to it: {text}; {_LASTING.get(table, 'delete or change it first')}" for table, text in said.items()
            },
        )
        self.kind = kind
        self.row_id = row_id
        self.referrers = dict(referrers)


class PriceSheetUnreadableError(InvalidRequestError):
    """A file of prices of which no line can be read."""

    code = "price_sheet_unreadable"

    def __init__(self, fault: str) -> None:
        super().__init__(f"the file {fault}", fields={"file": fault})
        self.fault = fault


class UnfitPriceSheetError(InvalidRequestError):
    """A file of prices with lines that are refused, of which nothing was taken; `fields` names each with its remedy."""

    code = "unfit_price_sheet"

    def __init__(self, fields: Mapping[str, str], refused: int) -> None:
        lines = "1 line is" if refused == 1 else f"{refused} lines are"
        first = one_line(list(fields.items())[:1])
        super().__init__(f"{lines} refused and nothing was taken: {first}; correct them, or take the rest", fields=fields)
        self.refused = refused


class UnfitRevisionError(InvalidRequestError):
    """What was asked of a revision makes no sense; `fields` names each place with its remedy."""

    code = "unfit_revision"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(one_line(fields.items()), fields=fields)


class RevisionNotFoundError(NotFoundError):
    code = "revision_not_found"

    def __init__(self, revision_id: UUID) -> None:
        super().__init__(f"there is no revision {revision_id}; GET /pricing/revisions shows all")
        self.revision_id = revision_id


class RevisionNotDraftError(ConflictError):
    """It was published or discarded before."""

    code = "revision_not_draft"

    def __init__(self, revision_id: UUID, state: str, at_ms: int, by: str) -> None:
        super().__init__(f"revision {revision_id} was {state} at {iso(at_ms)} by {by}; nothing was changed, make another revision")
        self.revision_id = revision_id
        self.state = state


class RevisionNotRecallableError(ConflictError):
    """It is not published, or its prices are in force already."""

    code = "revision_not_recallable"

    def __init__(self, revision_id: UUID, why: str) -> None:
        super().__init__(f"revision {revision_id} {why}")
        self.revision_id = revision_id


class RevisionBuiltUponError(ConflictError):
    """Another revision was published after it and changes some of the same prices."""

    code = "revision_built_upon"

    def __init__(self, revision_id: UUID, other_id: UUID) -> None:
        super().__init__(
            f"revision {other_id} was published after {revision_id} and changes some of its prices; recall that one first"
        )
        self.revision_id = revision_id
        self.other_id = other_id
