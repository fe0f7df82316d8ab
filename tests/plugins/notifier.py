"""A notifier that writes a line to a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class FileNotifier(BaseNotifier):
    """Appends ``text``, a template, to ``file``."""

    template_fields: Sequence[str] = ("text",)

    def __init__(self, file: str, text: str = "") -> None:
        super().__init__()
        self.file = file
        self.text = text

    def notify(self, context: Any) -> None:
        """Write the line."""
        with Path(self.file).open("a") as file:
            file.write(f"{self.text}\n")
