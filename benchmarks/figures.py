"""What a benchmark finds, and how it is measured: time, the processor, memory, and who else was at work meanwhile."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psutil

MEGABYTE: Final = 1024 * 1024


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One budget, measured. `cost` is how many times dearer than the limit the figure is; `cost_max` is its budget.

    `aim` is what the figure itself should be on a quiet machine of the kind that benchmarks/README.md describes.
    """

    budget: str
    what: str
    engine: str
    value: float
    unit: str
    aim: float
    limit: float
    limit_what: str
    limit_unit: str
    cost_max: float
    more_is_better: bool = False
    note: str = ""
    foreign_cores: float = 0.0

    @property
    def cost(self) -> float:
        return self.limit / self.value if self.more_is_better else self.value / self.limit

    @property
    def is_within(self) -> bool:
        met = self.value >= self.aim if self.more_is_better else self.value <= self.aim
        return met and self.cost <= self.cost_max


class Spent(msgspec.Struct):
    """What a stretch of work took. `processor` is of the watched processes, `foreign_cores` what others used of the machine."""

    seconds: float = 0.0
    processor: float = 0.0
    foreign_cores: float = 0.0


def tree(*roots: psutil.Process) -> list[psutil.Process]:
    """Processes with their children."""
    return [each for root in roots for each in (root, *root.children(recursive=True))]


def processor_seconds(*roots: psutil.Process) -> float:
    """What the processes and their children, ended ones too, have used of the processor."""
    total = 0.0
    for process in tree(*roots):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq + times.steal)


@contextmanager
def spending(*processes: psutil.Process) -> Iterator[Spent]:
    """Measure a stretch of work of this process (with its children) and of `processes`."""
    own = psutil.Process()
    roots = [own, *(each for each in processes if own not in each.parents())]
    spent = Spent()
    began, used, machine = time.perf_counter(), processor_seconds(*roots), _machine_seconds()
    yield spent
    spent.seconds = time.perf_counter() - began
    spent.processor = processor_seconds(*roots) - used
    spent.foreign_cores = max(0.0, (_machine_seconds() - machine - spent.processor) / max(spent.seconds, 1e-6))


def forget_peak(pid: int) -> None:
    """Let the peak of a process's resident memory begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def resident_megabytes(pid: int, *, peak: bool = False) -> float:
    """The resident memory of a process now, or the most since the start or `forget_peak` (Linux)."""
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"this system does not tell the memory of process {pid}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> str:
    """One line about this machine."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    return f"{os.cpu_count()} x {model}, {psutil.virtual_memory().total / MEGABYTE / 1024:.0f} GB"
