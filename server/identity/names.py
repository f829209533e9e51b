"""Logins and names of users: one line of text each, as lists, logs and terminals show them."""

import re
from typing import Annotated, Final

from msgspec import Meta

from server.identity.errors import UnfitUserError
from sync_protocol.values import normal_text

CHARACTERS_MAX: Final = 200
LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*$"
"""No control character, no line break, and no half of a character, which no database takes."""

UserText = Annotated[str, Meta(min_length=1, max_length=CHARACTERS_MAX, pattern=LINE)]


def normal_login(login: str) -> str:
    """A login in its one spelling: case does not count."""
    return normal_text(login).casefold()


def check_names(login: str, name: str) -> None:
    """Refuse what is not one line of text, both in their one spelling already. Raises UnfitUserError."""
    faults = {field: fault for field, text in (("login", login), ("name", name)) if (fault := _fault(text))}
    if faults:
        raise UnfitUserError(faults)


def _fault(text: str) -> str:
    """What is wrong with a text, and how it is mended; nothing where nothing is."""
    if not text:
        return "is empty; give one"
    if len(text) > CHARACTERS_MAX:
        return f"has {len(text)} characters; give {CHARACTERS_MAX} at the most"
    if not re.fullmatch(LINE, text):
        return "contains a control character or a line break; remove it"
    return ""
