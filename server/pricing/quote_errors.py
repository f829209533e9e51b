"""What can be wrong with asking for a quote."""

from uuid import UUID

from server.runtime.errors import ConflictError, ForbiddenError, InvalidRequestError, NotFoundError


class UnfitQuoteError(InvalidRequestError):
    """A basket that cannot be priced; `field` names the place."""

    code = "unfit_quote"

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}", fields={field: remedy})
        self.field = field


class QuoteForbiddenError(ForbiddenError):
    """Something in it that this role may not ask for."""

    code = "quote_forbidden"

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}", fields={field: remedy})
        self.field = field


class QuotedCustomerNotFoundError(NotFoundError):
    """There is no such customer, or it is not the caller's."""

    code = "quoted_customer_not_found"

    def __init__(self, customer_id: UUID) -> None:
        super().__init__(f"there is no customer {customer_id} among yours; check the id", fields={"customer_id": "not found"})
        self.customer_id = customer_id


class UnfitHonourPolicyError(InvalidRequestError):
    """A policy on overtaken quotations that makes no sense."""

    code = "unfit_honour_policy"

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}", fields={field: remedy})
        self.field = field


class HonourPolicyTakenError(ConflictError):
    """Another policy is for the same list, the same segment, or for everyone: of two that differ only one could count."""

    code = "honour_policy_taken"

    def __init__(self, target: str, other_id: UUID | None) -> None:
        other = f"policy {other_id}" if other_id is not None else "another policy"
        remedy = f"is not that of the policy for {target}: there is {other}; change that one with PUT, or DELETE it first"
        super().__init__(f"policy_id {remedy}", fields={"policy_id": remedy})
        self.other_id = other_id


class HonourPolicyNotFoundError(NotFoundError):
    code = "honour_policy_not_found"

    def __init__(self, policy_id: UUID) -> None:
        super().__init__(f"there is no honour policy {policy_id}; GET /honour-policies shows all")
        self.policy_id = policy_id
