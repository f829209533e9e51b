"""Tax: what kind of customer times what kind of product makes which rate where, and who is exempt."""

from uuid import UUID

from sync_protocol.values import Code, Instant, Row, TaxRatePpm


class TaxRate(Row, frozen=True, kw_only=True):
    """One tax of a jurisdiction, such as VAT. Several of different names add up.

    A jurisdiction is a country, `DE`, or a country and a region of it, `US-CA`; the narrower one stands for itself alone.
    """

    jurisdiction: Code
    customer_tax_code: Code
    product_tax_code: Code
    name: Code
    rate_ppm: TaxRatePpm
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None


class TaxExemption(Row, frozen=True, kw_only=True):
    """A customer pays no tax in a jurisdiction while its certificate is valid."""

    customer_id: UUID
    jurisdiction: Code
    certificate: Code
    valid_from_ms: Instant = 0
    valid_until_ms: Instant | None = None
