"""What the fields of the API are called at the terminal: an error speaks of the options and arguments of its command."""

import re
from collections.abc import Iterator
from typing import Final

import click

from server.runtime.errors import ProblemError

_WORD: Final = re.compile(r"(?P<begins>^|; )?\b(?P<field>[a-z]+(?:_[a-z]+)*)\b(?:\[(?P<place>\d+)\])?")


def in_options(error: ProblemError, context: click.Context) -> str:
    """The sentence of an error, with the option for each field that it names, and what was given at a place of several."""
    known = {name: parameter for parameter in context.command.params for name in _names(parameter)}

    def told(found: re.Match[str]) -> str:
        field, place, begins = found["field"], found["place"], found["begins"]
        # `reason` is a field where a sentence begins with one, and a word elsewhere; `to_rep_id` is no word.
        is_field = "_" in field or (begins is not None and field in error.fields)
        if field not in known or not is_field:
            return found[0]
        parameter = known[field]
        shown = _shown(parameter)
        given = context.params.get(str(parameter.name))
        if place is not None and isinstance(given, tuple) and int(place) < len(given):
            shown = f"{shown} {given[int(place)]}"
        return f"{begins or ''}{shown}"

    return _WORD.sub(told, error.detail)


def _names(parameter: click.Parameter) -> Iterator[str]:
    """What the API may call a parameter: `to_rep_id` is `--to-rep`, and `customer_ids` is `--customer`."""
    yield str(parameter.name)
    if isinstance(parameter, click.Option):
        stem = _shown(parameter).removeprefix("--").replace("-", "_")
        yield from (stem, f"{stem}_id", f"{stem}_ids")


def _shown(parameter: click.Parameter) -> str:
    """A parameter as its command's help has it."""
    if isinstance(parameter, click.Option):
        return next((each for each in parameter.opts if each.startswith("--")), parameter.opts[0])
    return (parameter.metavar or str(parameter.name).upper()).removesuffix("...")
