"""A browser for the tests: the system's Chromium, as a person has it open on the Airflow of the tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, FrameLocator, Page, expect, sync_playwright

from ocr_local.airflow import DAG_ID
from ocr_local.home import USER, Home
from tests.e2e.conftest import LocalAirflow

expect.set_options(timeout=20_000)

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """Where the browser is: ``OCR_CHROMIUM``, or a usual name on the path.

    Where there is none the test is skipped; in continuous integration (``CI``) it fails, so that it is never lost.
    """
    found = os.environ.get("OCR_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if not found:
        missing = "no Chromium: apt-get install chromium, or name one in OCR_CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser without a window. It visits nothing but the tests' own server, so it needs no sandbox of its own."""
    executable = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A page of the browser, and whatever went wrong in it: errors of scripts, refusals of the policy, dialogs."""

    page: Page
    airflow: LocalAirflow
    wrong: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where Airflow is."""
        return self.airflow.api.url

    def log_in(self) -> None:
        """As a person does it."""
        self.page.goto(f"{self.url}/")
        self.page.fill("input[name=username]", USER)
        self.page.fill("input[name=password]", Home(self.airflow.home).secrets().password)
        self.page.click("button[type=submit]")
        expect(self.page.get_by_text("Dags").first).to_be_visible()
        self.watch()

    def watch(self) -> None:
        """Note from now on what goes wrong."""
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", self._note_dialog)
        self.page.on("console", self._note_message)

    def _note_dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.wrong.append(f"{message.type}: {message.text} {message.location['url']}")

    def open_tab(self, run_id: str, dag_id: str = DAG_ID) -> FrameLocator:
        """Airflow's page of a run with the tab of its results, which is in a frame."""
        run = f"{self.url}/dags/{dag_id}/runs/{quote(run_id, safe='')}"
        self.page.goto(f"{run}/plugin/ocr_results")
        # Airflow's page makes the frame anew once it knows the run.
        self.page.wait_for_load_state("networkidle")
        return self.page.frame_locator("iframe[title='OCR results']")

    def pages_of(self, run_id: str, dag_id: str = DAG_ID) -> str:
        """The address of the results of a run, without Airflow's page around them."""
        return f"{self.url}/ocr/dags/{dag_id}/runs/{quote(run_id, safe='')}"
