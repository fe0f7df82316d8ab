"""The processes in which systems read, each with its system's own Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from benchmarks.ocr.systems import PEERS

_WORKER = Path(__file__).with_name("worker.py")


class Worker:
    """A system's process, run by the ``python`` of the environment that has it, with ``images`` in memory."""

    def __init__(self, system: str, python: Path, readers: int, threads: int, models: Path, images: list[Path]) -> None:
        self._name = system
        self.readers, self.threads = readers, threads
        command = [python, _WORKER, system, readers, threads, models, *images]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if system in PEERS else None,
            text=True,
            env=environment,
        )
        if system in PEERS:
            _drain(self._process)
        self._answer()

    def read(self, count: int = 0) -> dict[str, object]:
        """Read the first ``count`` images, or all of them."""
        assert self._process.stdin is not None
        print(count, file=self._process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, object]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._name} ended with {self._process.wait()}")
        answer: dict[str, object] = json.loads(line)
        return answer


def _drain(process: subprocess.Popen[str]) -> None:
    """Keep what a peer prints about itself out of the way, but show it when it dies."""

    def drain() -> None:
        assert process.stderr is not None
        last = ""
        for line in process.stderr:
            last = line.strip() or last
        if process.wait() > 0:
            print(last, file=sys.stderr)

    threading.Thread(target=drain, daemon=True).start()
