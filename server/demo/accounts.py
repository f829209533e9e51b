"""The demo company's market: six territories, eight reps, three warehouses and six hundred customers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from server.demo.seeds import Dice
from server.demo.words import CUSTOMER_NOTES, HOLD_NOTES, MARKETS, PLACES, ROLES, SITE_LABELS, Market, Place
from sync_protocol.entities.customers import Address, Contact, Customer, CustomerStatus, Rep, Territory
from sync_protocol.entities.inventory import StockLocation
from sync_protocol.entities.pricing import PriceList

CUSTOMERS: Final = 600


class TerritoryTerms(NamedTuple):
    """A territory and its defaults; `share` is its part of the customers."""

    code: str
    name: str
    country: str
    time_zone: str
    price_list: str
    stock_location: str
    share: int


TERRITORIES: Final = (
    TerritoryTerms("RAN", "Randstad", "NL", "Europe/Amsterdam", "NL-TRADE", "UTR", 170),
    TerritoryTerms("NOO", "North and East Netherlands", "NL", "Europe/Amsterdam", "NL-TRADE", "UTR", 90),
    TerritoryTerms("ZUI", "Brabant and Limburg", "NL", "Europe/Amsterdam", "NL-TRADE", "UTR", 95),
    TerritoryTerms("VLA", "Flanders", "BE", "Europe/Brussels", "BE-TRADE", "ANR", 115),
    TerritoryTerms("NRW", "Lower Rhine", "DE", "Europe/Berlin", "DE-TRADE", "DUI", 80),
    TerritoryTerms("KEN", "Kent", "GB", "Europe/London", "UK-TRADE", "ANR", 50),
)

STOCK_LOCATIONS: Final = (("UTR", "Utrecht distribution centre"), ("ANR", "Antwerp warehouse"), ("DUI", "Duisburg warehouse"))

REPS: Final = (
    ("R01", "Femke de Groot", ("RAN",)),
    ("R02", "Ruben Visser", ("RAN",)),
    ("R03", "Lotte Dijkstra", ("NOO",)),
    ("R04", "Thijs Smits", ("ZUI",)),
    ("R05", "Sofie Claes", ("VLA",)),
    ("R06", "Joris Wouters", ("VLA", "ZUI")),
    ("R07", "Katrin Terhorst", ("NRW",)),
    ("R08", "Callum Marsh", ("KEN",)),
)

_PLAIN_LETTERS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", " ": ""})

_CONTRACT_LISTS: Final = ("SILVER", "GOLD", "KEY", "PROJECT")
_CONTRACT_WEIGHTS: Final = (46, 26, 12, 16)
_REVIEW_LIMITS: Final = (250_000, 500_000, 750_000, 1_000_000, 2_500_000)


class Account(NamedTuple):
    """A customer with all that hangs on it. `size` is how much it buys, 1 to 10."""

    customer: Customer
    territory: Territory
    addresses: tuple[Address, ...]
    contacts: tuple[Contact, ...]
    size: int


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """Who buys and who sells. `rep_territories` pairs the ids of reps and territories."""

    stock_locations: tuple[StockLocation, ...]
    territories: tuple[Territory, ...]
    reps: tuple[Rep, ...]
    rep_territories: tuple[tuple[UUID, UUID], ...]
    accounts: tuple[Account, ...]


def make_accounts(dice: Dice, price_lists: Sequence[PriceList]) -> Accounts:
    """The market, with customers that buy from these lists."""
    lists = {price_list.code: price_list.id for price_list in price_lists}
    locations = {code: StockLocation(id=dice.id(), code=code, name=name) for code, name in STOCK_LOCATIONS}
    territories = {
        terms.code: Territory(
            id=dice.id(),
            code=terms.code,
            name=terms.name,
            time_zone=terms.time_zone,
            price_list_id=lists[terms.price_list],
            stock_location_id=locations[terms.stock_location].id,
        )
        for terms in TERRITORIES
    }
    reps = tuple(Rep(id=dice.id(), code=code, name=name) for code, name, _ in REPS)
    worked = tuple((rep.id, territories[code].id) for rep, (_, _, codes) in zip(reps, REPS, strict=True) for code in codes)
    return Accounts(
        stock_locations=tuple(locations.values()),
        territories=tuple(territories.values()),
        reps=reps,
        rep_territories=worked,
        accounts=tuple(account for terms in TERRITORIES for account in _accounts(dice, terms, territories[terms.code], lists)),
    )


def _accounts(dice: Dice, terms: TerritoryTerms, territory: Territory, lists: Mapping[str, UUID]) -> Iterator[Account]:
    market, taken = MARKETS[terms.country], set[str]()
    for number in range(1, terms.share + 1):
        place = dice.pick(PLACES[terms.code])
        builder = dice.percent(18)
        name, surname = _company_name(dice, market, place, taken, builder=builder)
        size = dice.between(4, 10) if builder else dice.weighted(range(1, 9), (20, 22, 18, 14, 10, 8, 5, 3))
        customer = _customer(dice, territory, f"{terms.code}-{number:03}", name, size=size, lists=lists, builder=builder)
        addresses = tuple(_addresses(dice, customer, market, place))
        contacts = tuple(_contacts(dice, customer, market, surname))
        yield Account(customer, territory, addresses, contacts, size)


def _company_name(dice: Dice, market: Market, place: Place, taken: set[str], *, builder: bool) -> tuple[str, str]:
    """A company's name, nobody else's in the territory, and the surname of its owner."""
    while True:
        surname = dice.pick(market.surnames)
        name = dice.pick(market.builders if builder else market.companies).format(surname=surname, city=place.city)
        if name in taken:
            name = f"{name}, {place.city}"
        if name not in taken:
            taken.add(name)
            return name, surname


def _customer(
    dice: Dice, territory: Territory, code: str, name: str, *, size: int, lists: Mapping[str, UUID], builder: bool
) -> Customer:
    # Contracts are in euro; the customers of the pound list all buy from it, and one with a small order needs no contract.
    contract = territory.code != "KEN" and (builder or dice.percent(20 + 6 * size))
    chosen = "PROJECT" if builder and dice.percent(60) else dice.weighted(_CONTRACT_LISTS, _CONTRACT_WEIGHTS)
    on_hold = dice.percent(3)
    return Customer(
        id=dice.id(),
        code=code,
        name=name,
        status=CustomerStatus.ON_HOLD if on_hold else CustomerStatus.CLOSED if dice.percent(1) else CustomerStatus.ACTIVE,
        territory_id=territory.id,
        price_list_id=lists[chosen] if contract else None,
        review_above_minor=dice.pick(_REVIEW_LIMITS) if dice.percent(12) else None,
        note=dice.pick(HOLD_NOTES) if on_hold else dice.pick(CUSTOMER_NOTES) if dice.percent(15) else "",
    )


def _addresses(dice: Dice, customer: Customer, market: Market, place: Place) -> Iterator[Address]:
    for label in ("Office", *dice.sample(SITE_LABELS, dice.weighted((0, 1, 2), (60, 30, 10)))):
        yield Address(
            id=dice.id(),
            customer_id=customer.id,
            label=label,
            street=f"{dice.pick(market.streets)} {dice.between(1, 240)}",
            postal_code=_postal_code(dice, market, place),
            city=place.city,
            country=market.country,
        )


def _postal_code(dice: Dice, market: Market, place: Place) -> str:
    letters = [dice.pick("ABDEGHJLNPRSTUWXYZ") for _ in range(2)]
    if market.country == "GB":
        area = {"Chatham": "ME", "Maidstone": "ME", "Tonbridge": "TN", "Ashford": "TN"}.get(place.city, "CT")
        return market.postal.format(f"{area}{place.postal_code}", dice.between(1, 9), *letters)
    spread = {"NL": 79, "BE": 1, "DE": 9}[market.country]
    return market.postal.format(place.postal_code + dice.below(spread), *letters)


def _contacts(dice: Dice, customer: Customer, market: Market, surname: str) -> Iterator[Contact]:
    for place in range(dice.weighted((1, 2, 3), (55, 33, 12))):
        first = dice.pick(market.first_names)
        family = surname if place == 0 else dice.pick(market.surnames)
        mailbox = f"{first}.{family}".lower().translate(_PLAIN_LETTERS)
        yield Contact(
            id=dice.id(),
            customer_id=customer.id,
            name=f"{first} {family}",
            role="owner" if place == 0 else dice.pick(ROLES[1:]),
            email=f"{mailbox}@{customer.code.lower()}.{market.mail}",
            phone=_phone(dice, market),
        )


def _phone(dice: Dice, market: Market) -> str:
    return "".join(str(dice.below(10)) if sign == "#" else sign for sign in market.phone)
