"""What a user typed that does not fit, in words: the codec's own are for programs."""

import re
from typing import Final, TypeVar

import msgspec

from client_sdk.errors import InvalidEntryError

S = TypeVar("S", bound=msgspec.Struct)

_AT: Final = re.compile(r" - at `\$\.?(?P<field>[^`]*)`$")
_FIELDS: Final = {
    "country": "is not two capital letters of ISO 3166, such as NL",
    "currency": "is not three capital letters of ISO 4217, such as EUR",
}
_SENTENCES: Final = (
    (re.compile(r"^Expected `str` of length >= 1$"), "is empty"),
    (re.compile(r"^Expected `str` of length <= (?P<most>\d+)$"), "has more than {most} characters"),
    (re.compile(r"^Expected `str` matching regex '\^\[\^\\+x00"), "contains a control character"),
    (re.compile(r"^'utf-8' codec can't encode"), "a text contains characters that are none"),
)


def unfit(error: Exception, field: str = "") -> InvalidEntryError:
    """What to raise for an error of the codec, about the field that it names or the one that is given."""
    said = str(error)
    place = _AT.search(said)
    named = place["field"] if place else field
    text = _FIELDS.get(named) or _sentence(_AT.sub("", said))
    return InvalidEntryError(f"{named}: {text}" if named else text)


def _sentence(said: str) -> str:
    for pattern, sentence in _SENTENCES:
        found = pattern.match(said)
        if found:
            return sentence.format(**found.groupdict())
    return said


def checked(entry: S) -> S:
    """An entry as it is, with its limits looked at. Raises InvalidEntryError."""
    try:
        return msgspec.convert(msgspec.to_builtins(entry), type(entry))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise unfit(error) from error
