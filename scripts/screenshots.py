"""Makes the pictures of the documentation: runs the demo on an Airflow of its own and photographs its pages.

``make screenshots`` writes them into docs/images. They are made with the system's Chromium (``OCR_CHROMIUM``, or
``chromium`` on the path), in few colours so that they stay small.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from ocr_local.airflow import DAG_ID, Running, airflow_for, connect
from ocr_local.home import CHECKOUT, USER, Home
from ocr_local.run import RunRequest, run_demo

IMAGES = CHECKOUT / "docs" / "images"
_WIDE = (1280, 860)
_NARROW = (400, 860)
_IMAGES = 60
_ROW = 6
_COLOURS = (128, 64, 32)
_MOST_BYTES = 300_000


def main() -> int:
    """Make all of them."""
    chromium = os.environ.get("OCR_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        print("no Chromium: apt-get install chromium, or name one in OCR_CHROMIUM", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    console = Console()
    # The pages show where things are; nobody needs to see where that was on the machine that made the pictures.
    folder = Path(tempfile.gettempdir()) / "bulk-ocr"
    folder.mkdir()
    try:
        os.environ["OCR_OUTPUT"] = str(folder / "output")
        home = Home(folder / "airflow")
        with airflow_for(home, console.print) as running:
            request = RunRequest(None, None, None, None, _IMAGES)
            run_demo(home, running, folder / "demo", request, console)
            ((run_id, _),) = connect(home, running).recent_runs(DAG_ID, 1)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                for theme in ("light", "dark"):
                    _photograph(browser, home, running, run_id, theme, console)
                browser.close()
    finally:
        shutil.rmtree(folder)
    return 0


def _photograph(browser: Browser, home: Home, running: Running, run_id: str, theme: str, console: Console) -> None:
    run = f"/dags/{DAG_ID}/runs/{quote(run_id, safe='')}"
    with _visit(browser, home, running, theme) as page:
        page.goto(f"{running.url}{run}/plugin/ocr_results")
        page.frame_locator("iframe[title='OCR results']").locator("#rows").wait_for()
        page.wait_for_load_state("networkidle")
        _save(page, f"run-{theme}", console)
        image = f"{running.url}/ocr{run}/rows/{_ROW}/pages/0"
        page.goto(image)
        page.wait_for_load_state("networkidle")
        page.keyboard.press("j")
        page.keyboard.press("j")
        _save(page, f"image-{theme}", console)
        if theme == "light":
            page.set_viewport_size({"width": _NARROW[0], "height": _NARROW[1]})
            page.goto(image)
            page.wait_for_load_state("networkidle")
            _save(page, "image-narrow", console)
            page.set_viewport_size({"width": _WIDE[0], "height": _WIDE[1]})
            page.goto(f"{running.url}/ocr{run}/files/report.html")
            page.wait_for_load_state("networkidle")
            _save(page, "report", console)


@contextmanager
def _visit(browser: Browser, home: Home, running: Running, theme: str) -> Iterator[Page]:
    """A page of somebody who has logged in and likes ``theme``."""
    context = browser.new_context(viewport={"width": _WIDE[0], "height": _WIDE[1]})
    page = context.new_page()
    page.goto(f"{running.url}/")
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", home.secrets().password)
    page.click("button[type=submit]")
    page.get_by_text("Dags").first.wait_for()
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    yield page
    context.close()


def _save(page: Page, name: str, console: Console) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = IMAGES / f"{name}.png"
    for colours in _COLOURS:
        picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if (size := path.stat().st_size) <= _MOST_BYTES:
            console.print(f"{path.relative_to(CHECKOUT)}: {size:,} bytes")
            return
    raise SystemExit(f"{path} is too large for the repository: {size:,} bytes, at most {_MOST_BYTES:,}")


if __name__ == "__main__":
    sys.exit(main())
