"""Which taxes are on a line, and what they come to (P-70 to P-72)."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sync_protocol.entities.customers import Address
from sync_protocol.entities.pricing import TaxTreatment
from sync_protocol.entities.taxes import TaxRate
from sync_protocol.rules.pricing.basket import Basket
from sync_protocol.rules.pricing.explanation import TaxPart
from sync_protocol.rules.pricing.terms import Terms, jurisdictions
from sync_protocol.rules.pricing.validity import is_valid
from sync_protocol.rules.rounding import round_half_up, share
from sync_protocol.values import PARTS_PER_MILLION


class Taxed(NamedTuple):
    """An amount without tax, and the taxes on it."""

    amount_minor: int
    parts: tuple[TaxPart, ...]

    @property
    def tax_minor(self) -> int:
        return sum(part.amount_minor for part in self.parts)


class TaxPlace:
    """Where a basket is taxed, and what holds there for each product's tax code."""

    def __init__(self, terms: Terms, basket: Basket) -> None:
        self._terms = terms
        self._instant_ms = basket.instant_ms
        self._jurisdictions = _places(terms.addresses, basket.address_id)
        self._known: dict[str, tuple[str, Sequence[TaxRate]]] = {}
        self.exemption_id = self._exemption()

    def _exemption(self) -> UUID | None:
        valid = [
            each.id
            for each in self._terms.exemptions
            if each.jurisdiction in self._jurisdictions and is_valid(each, self._instant_ms)
        ]
        return min(valid, key=lambda each: each.bytes, default=None)

    def rates(self, product_tax_code: str) -> tuple[str, Sequence[TaxRate]]:
        """The jurisdiction whose taxes hold for a product, and these; none where none are owed."""
        if product_tax_code not in self._known:
            self._known[product_tax_code] = self._found(product_tax_code)
        place, rates = self._known[product_tax_code]
        return place, () if self.exemption_id is not None else rates

    def _found(self, product_tax_code: str) -> tuple[str, Sequence[TaxRate]]:
        codes = (self._terms.customer.tax_code, product_tax_code)
        for place in self._jurisdictions:
            newest: dict[str, TaxRate] = {}
            for rate in self._terms.rates:
                is_meant = rate.jurisdiction == place and (rate.customer_tax_code, rate.product_tax_code) == codes
                if is_meant and is_valid(rate, self._instant_ms):
                    held = newest.get(rate.name)
                    if held is None or (-rate.valid_from_ms, rate.id.bytes) < (-held.valid_from_ms, held.id.bytes):
                        newest[rate.name] = rate
            if newest:
                return place, [newest[name] for name in sorted(newest)]
        return "", ()


def _places(addresses: Sequence[Address], address_id: UUID | None) -> tuple[str, ...]:
    chosen = [each for each in addresses if each.id == address_id] if address_id is not None else []
    address = min(chosen or addresses, key=lambda each: each.id.bytes, default=None)
    return jurisdictions(address) if address is not None else ()


def taxed(running_minor: int, treatment: TaxTreatment, rates: Sequence[TaxRate]) -> Taxed:
    """What a line comes to without tax, and its taxes (P-72)."""
    if treatment is TaxTreatment.EXCLUSIVE:
        amounts = [round_half_up(running_minor * rate.rate_ppm, PARTS_PER_MILLION) for rate in rates]
        return Taxed(running_minor, _parts(rates, amounts))
    together = sum(rate.rate_ppm for rate in rates)
    if not together:
        return Taxed(running_minor, _parts(rates, [0] * len(rates)))
    tax = round_half_up(running_minor * together, PARTS_PER_MILLION + together)
    amounts = share(tax, [rate.rate_ppm for rate in rates])
    return Taxed(running_minor - tax, _parts(rates, amounts))


def _parts(rates: Sequence[TaxRate], amounts: Sequence[int]) -> tuple[TaxPart, ...]:
    return tuple(
        TaxPart(rule_id=rate.id, name=rate.name, rate_ppm=rate.rate_ppm, amount_minor=amount)
        for rate, amount in zip(rates, amounts, strict=True)
    )
