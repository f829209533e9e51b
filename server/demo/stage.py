"""Where the demo's story is told: a terminal that shows the commands a person would type, runs them, and checks them."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

_PLAIN_WIDTH: Final = 120
_COMMAND_SECONDS_MAX: Final = 120
_PAUSE_SECONDS: Final = 0.5


class StoryBrokenError(Exception):
    """What happened is not what the story tells: the demo fails, and says what it expected."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


def expect(holds: object, expected: str, found: object) -> None:
    """Go on only if it holds."""
    if not holds:
        raise StoryBrokenError(expected, found)


class Stage:
    """Tells the story. `device_store` is the file of the rep's device, `time_zone` where it is."""

    def __init__(self, device_store: Path, *, time_zone: str, pauses: bool) -> None:
        console = Console(highlight=False)
        self.console = console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)
        self._pause_seconds = _PAUSE_SECONDS if pauses and console.is_terminal else 0
        self._environment = {
            **os.environ,
            "ROADBOOK_DEVICE_STORE": str(device_store),
            "ROADBOOK_DEVICE_TIME_ZONE": time_zone,
            "PYTHONUTF8": "1",
        }
        self._began = time.monotonic()
        self.act_seconds: dict[str, float] = {}
        self._act = ""
        self._act_began = self._began

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._began

    def act(self, title: str) -> None:
        """Begin a chapter."""
        self.end_act()
        self._act = title
        self.console.print()
        self.console.rule(Text(f"{len(self.act_seconds) + 1}. {title}", "bold blue"), align="left")

    def end_act(self) -> None:
        now = time.monotonic()
        if self._act:
            self.act_seconds[self._act] = now - self._act_began
        self._act, self._act_began = "", now

    def tell(self, sentence: str) -> None:
        self.console.print(Text(sentence))
        time.sleep(self._pause_seconds)

    def note(self, sentence: str) -> None:
        """Something true beside the story."""
        self.console.print(Text(sentence, "dim"))

    def show_command(self, command: str) -> None:
        self.console.print(Text.assemble("\n", ("$ ", "bold green"), (command, "bold")), soft_wrap=True)

    def show_request(self, method: str, url: str, body: str = "") -> None:
        self.console.print(Text.assemble("\n", (f"{method} ", "bold cyan"), (f"{url} ", "bold"), body), soft_wrap=True)

    def device(self, *arguments: str, exit_code: int = 0) -> None:
        """Type a device command and show what it says; anything but `exit_code` breaks the story."""
        self.show_command(shlex.join(("roadbook", "device", *arguments)))
        sys.stdout.flush()
        # The command writes to this very terminal, so its colours and its progress bar are its own.
        done = subprocess.run(  # noqa: S603  # our own command
            (sys.executable, "-m", "client_sdk", *arguments),
            env=self._environment,
            timeout=_COMMAND_SECONDS_MAX,
            check=False,
            stderr=subprocess.STDOUT,
        )
        expect(done.returncode == exit_code, f"`roadbook device {arguments[0]}` to end with {exit_code}", done.returncode)
        time.sleep(self._pause_seconds)

    def ask_device(self, *arguments: str) -> Any:
        """What a device command answers with `--json`, unseen: how the story checks itself."""
        command = (sys.executable, "-m", "client_sdk", *arguments, "--json")
        done = subprocess.run(  # noqa: S603  # our own command
            command, env=self._environment, timeout=_COMMAND_SECONDS_MAX, check=False, capture_output=True
        )
        expect(done.returncode == 0, f"`roadbook device {arguments[0]} --json` to work", done.stderr.decode(errors="replace"))
        return msgspec.json.decode(done.stdout)
