"""What a process may use, by control groups as the kernel shows them in a folder, and by real ones."""

from __future__ import annotations

import math
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ocr_pipeline.machine import ControlGroups, usable_cores, usable_memory

CORES = len(os.sched_getaffinity(0))
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
Show = Callable[..., ControlGroups]


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Makes the files of a kernel: the membership of a process, and limits by path."""

    def make(membership: str, **limits: str) -> ControlGroups:
        (tmp_path / "membership").write_text(membership)
        for name, limit in limits.items():
            file = tmp_path / "mounted" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(limit + "\n")
        return ControlGroups(tmp_path / "mounted", tmp_path / "membership")

    return make


def test_a_container_of_version_2_sees_its_own_limits_at_the_top(show: Show) -> None:
    groups = show("0::/\n", **{"cpu.max": "50000 100000", "memory.max": str(1 << 30)})
    assert (groups.cores(), groups.memory()) == (0.5, 1 << 30)
    assert (usable_cores(groups), usable_memory(groups)) == (1, 1 << 30)


def test_the_least_of_its_own_limits_and_those_above_counts(show: Show) -> None:
    limits = {
        "cpu.max": "900000 100000",
        "pods/cpu.max": "150000 100000",
        "pods/ocr/cpu.max": "max 100000",
        "pods/memory.max": "max",
        "pods/ocr/memory.max": "5000",
        "others/memory.max": "1",
        "others/cpu.max": "1 100000",
    }
    groups = show("0::/pods/ocr\n", **limits)
    assert (groups.cores(), groups.memory()) == (1.5, 5000)
    assert usable_cores(groups) == min(CORES, 2)


def test_version_1_has_a_folder_for_each_controller(show: Show) -> None:
    limits = {
        "cpu/cpu.cfs_quota_us": "20000",
        "cpu/cpu.cfs_period_us": "10000",
        "cpu/docker/cpu.cfs_quota_us": "-1",
        "cpu/docker/cpu.cfs_period_us": "10000",
        "memory/memory.limit_in_bytes": "7000",
    }
    # The path in memory is that of the host, which is not there inside.
    groups = show("5:memory:/docker/0f3a\n4:cpu,cpuacct:/docker\n3:cpuset:/\n0::/\n", **limits)
    assert (groups.cores(), groups.memory()) == (2.0, 7000)


@pytest.mark.parametrize(
    ("membership", "limits"),
    [
        ("0::/\n", {}),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}),
        ("1:memory:/\n", {"memory/memory.limit_in_bytes": str((1 << 63) - 4096)}),
        ("", {"cpu.max": "1 100000"}),
    ],
)
def test_without_a_limit_the_machine_is_the_limit(show: Show, membership: str, limits: dict[str, str]) -> None:
    groups = show(membership, **limits)
    assert groups.cores() == math.inf
    assert (usable_cores(groups), usable_memory(groups)) == (CORES, MEMORY)


def test_where_the_kernel_says_nothing_the_machine_is_the_limit(tmp_path: Path) -> None:
    groups = ControlGroups(tmp_path / "mounted", tmp_path / "membership")
    assert (usable_cores(groups), usable_memory(groups)) == (CORES, MEMORY)


@pytest.fixture
def limited() -> Iterator[list[Path]]:
    """Real control groups for half a core and 2 GB, as their lists of processes; skips where none can be made."""
    name, made = f"ocr-test-{secrets.token_hex(4)}", []
    limits = {
        "cpu": {"cpu.cfs_quota_us": 50_000, "cpu.cfs_period_us": 100_000},
        "memory": {"memory.limit_in_bytes": 2 << 30},
    }
    try:
        for controller, values in limits.items():
            folder = Path("/sys/fs/cgroup") / controller / name
            folder.mkdir()
            made.append(folder)
            for file, value in values.items():
                (folder / file).write_text(str(value))
        yield [folder / "cgroup.procs" for folder in made]
    except OSError as error:
        pytest.skip(f"no control group of version 1 can be made here: {error}")
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def test_a_process_in_a_real_group_knows_its_limits(limited: list[Path]) -> None:
    code = (
        "import os, sys; from pathlib import Path; from ocr_pipeline.machine import usable_cores, usable_memory\n"
        "for file in sys.argv[1:]: Path(file).write_text(str(os.getpid()))\n"
        "print(usable_cores(), usable_memory())"
    )
    asked = subprocess.run([sys.executable, "-c", code, *map(str, limited)], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == ["1", str(min(2 << 30, MEMORY))]
