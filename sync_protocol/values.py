"""Every scalar that travels, with its limits.

An amount is an integer of the currency's minor unit (cents for EUR, yen for JPY, fils for BHD). A unit price is an
integer of ten-thousandths of the *major* unit, whatever the currency. A quantity is an integer of the product's base
unit. An instant is milliseconds since 1970-01-01 UTC. Nothing here is ever a float.
"""

import types
import typing
import unicodedata
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

UNIT_PRICE_SCALE: Final = 10_000
_PRICE_DIGITS: Final = len(str(UNIT_PRICE_SCALE)) - 1
BASIS_POINTS: Final = 10_000
INT64_MAX: Final = 2**63 - 1
QUANTITY_MAX: Final = 10_000_000
UNIT_PRICE_MAX: Final = 10**13
INSTANT_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
PARTS_PER_MILLION: Final = 1_000_000
RANGES: Final = 256
"""The ranges of a shared bucket, by the last byte of the row id."""

SINCE_3: Final = Meta(extra={"since": 3})
"""Marks a field that protocol 3 brought."""

_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]*$"

CommitSeq = Annotated[int, Meta(ge=0, le=INT64_MAX, description="position of a server transaction in the change log")]
RowChecksum = Annotated[int, Meta(ge=0, le=2**40 - 1, description="the first forty bits of the MD5 of a row's canonical text")]
Instant = Annotated[int, Meta(ge=0, le=INSTANT_MAX, description="milliseconds since 1970-01-01 UTC")]
Skew = Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX, description="milliseconds the device clock is ahead")]
Quantity = Annotated[int, Meta(ge=1, le=QUANTITY_MAX, description="base units")]
StockQuantity = Annotated[int, Meta(ge=-(10**12), le=10**12, description="base units")]
MinorAmount = Annotated[int, Meta(ge=-(10**15), le=10**15, description="minor units of the currency")]
UnitPrice = Annotated[int, Meta(ge=0, le=UNIT_PRICE_MAX, description="ten-thousandths of the major unit")]
RemainingQuantity = Annotated[
    int, Meta(ge=-(10**12), le=10**12, description="base units; below zero, more was honoured than was left")
]
Uses = Annotated[int, Meta(ge=0, le=10**12)]
Priority = Annotated[int, Meta(ge=0, le=1_000_000, description="the larger comes first")]
TaxRatePpm = Annotated[int, Meta(ge=0, le=PARTS_PER_MILLION, description="parts per million")]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
BasisPoints = Annotated[int, Meta(ge=0, le=BASIS_POINTS, description="hundredths of a percent")]
LineNumber = Annotated[int, Meta(ge=1, le=100_000)]
Revision = Annotated[int, Meta(ge=0, le=1_000_000)]

Code = Annotated[str, Meta(min_length=1, max_length=64)]
CodeOfVerdict = Annotated[str, Meta(min_length=1, max_length=64, extra={"is_verdict_code": True})]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(max_length=200)]
Note = Annotated[str, Meta(max_length=4_000)]
Currency = Annotated[str, Meta(min_length=3, max_length=3, description="ISO 4217")]
Country = Annotated[str, Meta(min_length=2, max_length=2, description="ISO 3166-1 alpha-2")]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA name")]

# What a person typed: the same limits, and no control characters (PostgreSQL cannot store NUL; a lone surrogate is no text).
EnteredCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=_TEXT)]
EnteredName = Annotated[str, Meta(min_length=1, max_length=200, pattern=_TEXT)]
EnteredLabel = Annotated[str, Meta(max_length=200, pattern=_TEXT)]
EnteredCurrency = Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$", description="ISO 4217")]
EnteredCountry = Annotated[str, Meta(min_length=2, max_length=2, pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
DocumentNumber = Annotated[str, Meta(max_length=40, pattern=r"^R[0-9]{1,9}-[0-9]{6,12}$", description="such as R17-000123")]
QuoteNumber = Annotated[str, Meta(max_length=40, pattern=r"^R[0-9]{1,9}-Q[0-9]{6,12}$", description="such as R17-Q000012")]
PriceDigest = Annotated[str, Meta(min_length=32, max_length=32, pattern=r"^[0-9a-f]{32}$", description="BLAKE2b-128")]
EnteredNote = Annotated[str, Meta(max_length=4_000, pattern=_TEXT)]

_MINOR_DIGITS: Final = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def minor_digits(currency: str) -> int:
    """How many decimals the currency's minor unit has, after ISO 4217: 0, 2 or 3."""
    return _MINOR_DIGITS.get(currency, 2)


def amount_text(amount_minor: int, currency: str) -> str:
    """An amount for people, with as many decimals as its currency has: `1,234.50 EUR`, `1,235 JPY`."""
    return f"{decimal_text(amount_minor, minor_digits(currency))} {currency}"


def unit_price_text(unit_price: int, currency: str) -> str:
    """A unit price with the currency's decimals, and more where it has them: `12.50 EUR`, `0.0935 EUR`."""
    whole, _, decimals = decimal_text(unit_price, _PRICE_DIGITS).partition(".")
    kept = decimals.rstrip("0").ljust(minor_digits(currency), "0")
    return f"{whole}.{kept} {currency}" if kept else f"{whole} {currency}"


def decimal_text(number: int, digits: int) -> str:
    """A whole number of parts, `digits` decimals each, with thousands set apart. Nothing passes through a float."""
    sign = "-" if number < 0 else ""
    whole, part = divmod(abs(number), 10**digits)
    return f"{sign}{whole:,}.{part:0{digits}}" if digits else f"{sign}{whole:,}"


def normal_text(text: str) -> str:
    """Text in one spelling: Unicode NFC without surrounding white space, so that "Café" is one name on every device."""
    return unicodedata.normalize("NFC", text).strip()


def uuid7(unix_ms: int, random_bits: int) -> UUID:
    """A UUID version 7 (RFC 9562, 5.7) of a clock reading in milliseconds and 74 random bits, both handed in."""
    assert 0 <= unix_ms < 2**48
    assert 0 <= random_bits < 2**74
    high, low = random_bits >> 62, random_bits & (2**62 - 1)
    return UUID(int=(unix_ms << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


E = TypeVar("E", bound=StrEnum)


def open_value(kind: type[E], text: str) -> E:
    """The member of this text; or where a newer version made it, one of the same type, named `UNKNOWN`, that keeps the text.

    Such a value is no member, and is stored and sent as it came.
    """
    try:
        return kind(text)
    except ValueError:
        # Not by `_missing_`: the server shares these types, and takes no value that it does not know.
        unknown = str.__new__(kind, text)
        unknown._name_, unknown._value_ = "UNKNOWN", text
        return unknown


def is_known(value: StrEnum) -> bool:
    """Whether this version of the code knows the value; what it does not know is of a newer server."""
    return value._value_ in type(value)._value2member_map_


def plain_type(annotation: Any) -> Any:
    """The type of a field without its limits, and of one that may be None the other one."""
    if typing.get_origin(annotation) is Annotated:
        return plain_type(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        (inner,) = [part for part in typing.get_args(annotation) if part is not types.NoneType]
        return plain_type(inner)
    return annotation


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A synced row: as it travels, as the device stores it, as the rules read it. Every row has a UUIDv7 `id`.

    A field is a UUID, an int, a str or a StrEnum, or one of these or None. New fields come last, with a default.
    """

    id: UUID
