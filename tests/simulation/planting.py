"""Planting a bug: a module's source is changed in one place, and what runs is what that source says.

The functions that are there already are given the changed code, wherever they are kept; so nothing need be imported anew,
and a process that is forked for one bug has it and no other has. A fragment that is not in the source exactly once is an
error: a bug that cannot be planted any more would be one that nobody looks for.
"""

import gc
import importlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from tests.simulation.plan import Swarm
from tests.simulation.run import prepare_anew

T = TypeVar("T")
_CONSTANTS: Final = (str, bytes, int, float, tuple, frozenset, Mapping)
_FORKS: Final = multiprocessing.get_context("fork")


Change = tuple[str, str, str]
"""A module's name, a text that its source has once, and what stands there instead."""


class RottenBugError(Exception):
    """The source is not any more what a planted bug says that it is."""


class PlantedBug(NamedTuple):
    """One defect: `fragment`, which the module has once, becomes `replacement`; and so on in the other places of `also`.

    `swarm` is the tendency that it is looked for with; `in_template` says that it takes effect when a database is made.
    """

    name: str
    breaks: str
    module: str
    fragment: str
    replacement: str
    swarm: Swarm | None = None
    in_template: bool = False
    also: tuple[Change, ...] = ()

    def changes(self) -> tuple[Change, ...]:
        return ((self.module, self.fragment, self.replacement), *self.also)


def plant(bug: PlantedBug) -> None:
    """Let this process have the bug, for good. Raises RottenBugError where it cannot be planted, or would change nothing."""
    for change in bug.changes():
        try:
            _plant(*change)
        except RottenBugError as error:
            raise RottenBugError(f"{bug.name}: {error}") from error
    if bug.in_template:
        prepare_anew()


def _plant(name: str, fragment: str, replacement: str) -> None:
    module = importlib.import_module(name)
    file = str(module.__file__)
    source = Path(file).read_text(encoding="utf-8")
    if (found := source.count(fragment)) != 1:
        raise RottenBugError(f"{name} has this {found} times, it must be there once: {fragment!r}")
    changed = source.replace(fragment, replacement)
    before, after = (_codes(compile(text, file, "exec")) for text in (source, changed))
    touched = {key for key in before if key not in after or _essence(before[key]) != _essence(after[key])}
    reached = [function for function in _functions_of(file) if _key_of(function.__code__, before) in touched]
    if not reached and not (not touched and _replace_constants(module, changed)):
        raise RottenBugError(f"nothing that runs in {name} is changed by it")
    for function in _functions_of(file):
        _swap(function, before, after)


Key = tuple[str, int]
"""What a function is found by in its module: its qualified name, and which of that name it is."""


def _codes(module: CodeType) -> dict[Key, CodeType]:
    """The code of every function of a module, nested ones too, in the order of the source."""
    found: dict[Key, CodeType] = {}

    def walk(code: CodeType) -> None:
        for each in code.co_consts:
            if isinstance(each, CodeType):
                number = sum(name == each.co_qualname for name, _ in found)
                found[each.co_qualname, number] = each
                walk(each)

    walk(module)
    return found


def _essence(code: CodeType) -> tuple[Any, ...]:
    """What a code does, wherever its lines stand."""
    inner = tuple(_essence(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, inner


def _functions_of(file: str) -> Iterator[FunctionType]:
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename == file:
            yield each


def _swap(function: FunctionType, before: dict[Key, CodeType], after: dict[Key, CodeType]) -> bool:
    """Give a function the code that the changed source has for it."""
    old = function.__code__
    key = _key_of(old, before)
    if key is None or key not in after or after[key].co_freevars != old.co_freevars:
        return False
    function.__code__ = after[key]
    return True


def _key_of(code: CodeType, codes: dict[Key, CodeType]) -> Key | None:
    """Which of a module's functions a code is: that which begins on its line."""
    same = (key for key, each in codes.items() if key[0] == code.co_qualname and each.co_firstlineno == code.co_firstlineno)
    return next(same, None)


def _replace_constants(module: ModuleType, changed: str) -> int:
    """Run the changed module beside the one that is there, and put what it says otherwise wherever that was imported."""
    namespace: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(changed, str(module.__file__), "exec"), namespace)  # it is the project's own source
    replaced = 0
    for name, old in list(vars(module).items()):
        new = namespace.get(name)
        if name.startswith("__") or not isinstance(old, _CONSTANTS) or new == old:
            continue
        for other in list(sys.modules.values()):
            if getattr(other, "__dict__", {}).get(name) is old:
                setattr(other, name, new)
                replaced += 1
    return replaced


def in_child(act: Callable[[], T]) -> T:
    """What `act` returns in a fork of this process, which it may spoil. Raises RuntimeError where it raised."""
    here, there = _FORKS.Pipe(duplex=False)

    def run() -> None:
        try:
            there.send((act(), ""))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the parent says it
            there.send((None, f"{type(error).__name__}: {error}"))

    child = _FORKS.Process(target=run)
    child.start()
    there.close()
    try:
        result, failure = here.recv()
    except EOFError:
        result, failure = None, "it died"
    child.join()
    if failure:
        raise RuntimeError(failure)
    return result  # type: ignore[no-any-return]  # what a pipe brings is not typed
