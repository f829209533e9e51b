"""`roadbook demo`: the story, told in a terminal."""

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Final

import click
import httpx2

from server.demo.premises import FolderNotOursError, Premises, ServerFailedError
from server.demo.stage import Stage, StoryBrokenError
from server.demo.story import TIME_ZONE, Story

_SEED: Final = 2026
_INTERRUPTED: Final = 130


@click.command(
    epilog="\b\nExamples:\n  roadbook demo\n  roadbook demo --folder /tmp/wholesaler --seed 7\n  roadbook demo --fast | less",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where everything is made; a folder that an earlier demo made is made anew.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=_SEED, show_default=True, help="Another seed is another company."
)
@click.option(
    "--pauses/--no-pauses", " /--fast", default=True, show_default=True, help="Pause to read, where a terminal reads along."
)
def demo(folder: Path, seed: int, *, pauses: bool) -> None:
    """Make a company, start its server, and sell on the road without a network: the whole of Roadbook in a minute.

    Every step checks what it tells, and the command fails where one does not come out as told.
    """
    signal.signal(signal.SIGTERM, _end)
    with Premises(folder) as premises:
        try:
            Story(Stage(premises.device_store, time_zone=TIME_ZONE, pauses=pauses), premises, seed).tell()
        except (FolderNotOursError, ServerFailedError) as error:
            raise click.ClickException(str(error)) from error
        except StoryBrokenError as error:
            raise click.ClickException(f"the story broke: {error}\nThe server's log is {premises.log}") from error
        except subprocess.TimeoutExpired as error:
            raise click.ClickException(f"a command did not end: {error}") from error
        except httpx2.HTTPError as error:
            raise click.ClickException(f"the API did not answer as told: {error}\nThe server's log is {premises.log}") from error


def _end(_signal: int, _frame: FrameType | None) -> None:
    # Leaving by an exception stops the server on the way out.
    sys.exit(_INTERRUPTED)
