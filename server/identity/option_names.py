"""What the fields of the API are called at the terminal: an error speaks of the options and arguments of its command."""

import re
from typing import Final

import click

from server.runtime.errors import ProblemError, one_line

_FIELD: Final = re.compile(r"(?P<name>\w+)(?:\[(?P<place>\d+)\])?")


def in_options(error: ProblemError, context: click.Context) -> str:
    """The sentence of an error, with the options in the place of the fields that it begins with.

    A parameter of a command has the name of its field. All else stays as it is: a remedy holds what somebody typed, which
    may look like the name of a field.
    """
    said = str(error)  # who operates the server is told more than who calls it
    of_fields = one_line(error.fields.items())
    if not said.startswith(of_fields):
        return said
    of_options = one_line((_option(field, context), remedy) for field, remedy in error.fields.items())
    return of_options + said.removeprefix(of_fields)


def _option(field: str, context: click.Context) -> str:
    """The option or argument behind a field, with what was given at a place of several; the field where there is none."""
    found = _FIELD.fullmatch(field)
    parameter = next((each for each in context.command.params if found and each.name == found["name"]), None)
    if found is None or parameter is None:
        return field
    place, given = found["place"], context.params.get(str(parameter.name))
    shown = _shown(parameter)
    return f"{shown} {given[int(place)]}" if place and isinstance(given, tuple) and int(place) < len(given) else shown


def _shown(parameter: click.Parameter) -> str:
    """A parameter as its command's help has it."""
    if isinstance(parameter, click.Option):
        return next((each for each in parameter.opts if each.startswith("--")), parameter.opts[0])
    return (parameter.metavar or str(parameter.name).upper()).removesuffix("...")
