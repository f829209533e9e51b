"""The wire cannot change by accident."""

import os
import re
import subprocess
import sys

import pytest

from sync_protocol.wire import version

FINGERPRINT = "39e02eaa2dc0476a53a2dda929ef9d40"
PROTOCOL_VERSION = 3
RULES_VERSION = 2


def test_what_travels_changes_only_with_the_protocol_version() -> None:
    seen = (version.PROTOCOL_VERSION, version.fingerprint())
    assert seen == (PROTOCOL_VERSION, FINGERPRINT), (
        "A type that travels has changed. Raise PROTOCOL_VERSION in sync_protocol/wire/version.py, write a line of history "
        "there, mark new fields with the version that brought them, and pin both here. Before the first release, while no "
        "device is out, pin the fingerprint alone."
    )


def test_the_rules_change_only_with_a_line_of_history() -> None:
    assert version.RULES_VERSION == RULES_VERSION


@pytest.mark.parametrize("what", ["PROTOCOL", "RULES"])
def test_every_version_has_a_dated_line_of_history(what: str) -> None:
    history = re.findall(rf"^{what} (\d+) \(\d{{4}}-\d\d-\d\d\): \S", version.__doc__ or "", re.MULTILINE)
    assert [int(number) for number in history] == list(range(1, getattr(version, f"{what}_VERSION") + 1))


def test_the_oldest_protocol_served_is_one_of_history() -> None:
    assert 1 <= version.OLDEST_PROTOCOL_SERVED <= version.PROTOCOL_VERSION


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_fingerprint_does_not_depend_on_the_process(seed: str) -> None:
    command = [sys.executable, "-c", "from sync_protocol.wire.version import fingerprint; print(fingerprint())"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert shown.stdout.strip() == version.fingerprint()
