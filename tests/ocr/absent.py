"""Python processes in which packages are not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_FINDER = """\
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
"""Python runs it when it starts, also in the processes that a process starts."""


def python_without(folder: Path, absent: set[str], *arguments: str, **variables: str) -> tuple[str, str]:
    """Run Python with ``arguments`` where the top-level modules ``absent`` cannot be found.

    :param folder: an empty one, where the hook is laid.
    :param variables: of the environment, besides those there are.
    :returns: what it printed, and the last line of its errors.
    """
    (folder / "sitecustomize.py").write_text(_FINDER.format(absent=absent))
    paths = os.pathsep.join([str(folder), *(path for path in sys.path if path)])
    environment = os.environ | {"PYTHONPATH": paths} | variables
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1]
