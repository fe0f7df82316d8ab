"""What is a key to a dataset or an image is in no message, no log and no file of the run, however things go."""

from __future__ import annotations

import base64
import csv
import json
import logging
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from ocr_pipeline.dataset import QueryRows, check_places, dataset_exists, open_dataset
from ocr_pipeline.errors import OcrPipelineError, PlanError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.opening import open_folder
from tests.conftest import reading_with
from tests.misbehaving_server import MisbehavingServer

KEY = "S3CR3T"
"""In the address of a dataset."""
LINK_KEY = "L1NKK3Y"
"""In links, which are a column of the results, as they stand in the dataset."""


class Site:
    """A web server that asks for a login, and for a signature where the dataset lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.login = f"Basic {base64.b64encode(f'user:{KEY}'.encode()).decode()}"

    def __enter__(self) -> Site:
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, self.headers.get("Authorization")))
                if self.headers.get("Authorization") != site.login:
                    self.send_error(401)
                elif ".csv" in self.path and not self.path.endswith(f"?sig={KEY}"):
                    self.send_error(403)
                else:
                    super().do_GET()

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        handler = partial(Handler, directory=str(self.folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def dataset(self, name: str) -> str:
        return f"http://user:{KEY}@{self.host}/{name}?sig={KEY}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


@pytest.fixture
def allowed(tmp_path: Path, site: Site) -> Allowances:
    return Allowances.parse([str(tmp_path), site.host, "sql://shop"])


Refuse = Callable[[Callable[[], Any]], str]


@pytest.fixture
def refuse(caplog: pytest.LogCaptureFixture) -> Refuse:
    """Calls what must raise an error of the pipeline; returns all that anybody would get to read of it."""
    caplog.set_level(logging.DEBUG)

    def call(function: Callable[[], Any]) -> str:
        with pytest.raises(OcrPipelineError) as refused:
            function()
        chain = "".join(traceback.format_exception(refused.value))
        # The source lines in a traceback are this file's.
        said = "\n".join(line for line in chain.splitlines() if not line.startswith("    "))
        return said + caplog.text + "".join(str(record.__dict__) for record in caplog.records)

    return call


def opened(place: str, allowed: Allowances, scratch: Path, **settings: Any) -> None:
    values = {"dataset": place, "output": "/x", "attempts": 1, "connect_timeout": 1, **settings}
    found = open_dataset(RunSettings.parse(values), allowed, scratch)
    list(found.record_batches())


@pytest.mark.parametrize(
    "place",
    [
        f"http://user:{KEY}@HOST/none.csv?sig={KEY}#{KEY}",
        f"http://HOST/d.csv?sig={KEY}",
        f"http://{KEY}@HOST/d.csv",
        f"http://user:{KEY}@10.0.0.1/d.csv?{KEY}",
        f"http://user:{KEY}@no-such-host.invalid/d.csv?{KEY}",
        f"http://user:{KEY}@127.0.0.1:1/d.csv?{KEY}",
        f"http://user:{KEY}/@HOST/d.csv",
        f"http://user:{KEY}@HOST:99999/d.csv?{KEY}",
        f"http://user:{KEY}@[::1/d.csv?{KEY}",
        f"https://user:{KEY}@HOST/d.csv?sig={KEY}",
        f"https://user:{KEY}@/d.csv",
        f"http:/user:{KEY}@HOST/d.csv?{KEY}",
        f"user:{KEY}@HOST/d.csv?{KEY}",
        f"ftp://user:{KEY}@HOST/d.csv?{KEY}",
        f"abfss://box@account.example/d.csv?sv=1&sig={KEY}",
        f"s3://id:{KEY}@bucket/d.csv",
        f"s3://bucket/d.csv?X-Amz-Signature={KEY}",
        f"s3://id:{KEY}@bucket/[z-a].csv",
        f"gs://id:{KEY}@bucket/../d.csv",
        f"sql:postgresql://user:{KEY}@HOST/db?password={KEY}",
        f"file://user:{KEY}@HOST/d.csv?{KEY}",
        f"/data/none.csv\nhttp://user:{KEY}@HOST/none.csv?{KEY}",
    ],
)
def test_errors_about_a_place(
    place: str, site: Site, allowed: Allowances, tmp_path: Path, refuse: Refuse, caplog: pytest.LogCaptureFixture
) -> None:
    place = place.replace("HOST", site.host)
    query = {"query": "SELECT 1"} if place.startswith("sql:") else {}
    assert KEY not in refuse(lambda: opened(place, allowed, tmp_path, **query))
    settings = RunSettings.parse({"dataset": place, "output": "/x", "attempts": 1, "connect_timeout": 1, **query})
    for look in (lambda: check_places(place), lambda: dataset_exists(settings, allowed)):
        said = ""
        try:
            look()
        except OcrPipelineError as error:
            said = "".join(traceback.format_exception(error))
        assert KEY not in "".join(line for line in said.splitlines() if not line.startswith("    "))
    assert KEY not in caplog.text


@pytest.mark.parametrize("content", ["id,image\na,b,c\n", "id\n1\n", "a,a\n1,2\n", '"a\nb\n', "", "image\n\xe4\n"])
def test_errors_about_a_file(content: str, site: Site, allowed: Allowances, tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "d.csv").write_bytes(content.encode("latin-1"))
    (tmp_path / "e.csv").write_text("image\nx\n")
    for place in (site.dataset("d.csv"), f"{site.dataset('e.csv')}\n{site.dataset('d.csv')}"):
        said = refuse(lambda: opened(place, allowed, tmp_path))  # noqa: B023 (called here)
        assert KEY not in said
        assert f"http://{site.host}/" in said


@pytest.mark.parametrize(
    "settings",
    [
        {"format": "parquet"},
        {"encoding": "utf-16"},
        {"image_column": "none"},
        {"batch_size": f"http://user:{KEY}@h/?{KEY}"},
        {"dataset": [f"http://user:{KEY}@h/?{KEY}"]},
        {"query": f"SELECT '{KEY}'"},
        {"catalog": f"http://user:{KEY}@h/"},
        {"output": {f"http://user:{KEY}@h/": 1}},
    ],
)
def test_errors_about_settings(
    settings: dict[str, Any], site: Site, allowed: Allowances, tmp_path: Path, refuse: Refuse
) -> None:
    (tmp_path / "d.csv").write_text("image\nx\n")
    assert KEY not in refuse(lambda: opened(site.dataset("d.csv"), allowed, tmp_path, **settings))


def test_links_that_stand_where_the_names_of_columns_should(
    tmp_path: Path, allowed: Allowances, refuse: Refuse
) -> None:
    link = f"https://user:{LINK_KEY}@h/a b.png?sig={LINK_KEY}"
    (tmp_path / "a.csv").write_text(f"1,{link}\n2,{link}\n")
    (tmp_path / "b.csv").write_text(f"1,{link}x\n2,{link}\n")
    (tmp_path / "c.csv").write_text(f"{link},{link}\n")
    for dataset in ("a.csv", "*.csv", "c.csv"):
        assert LINK_KEY not in refuse(lambda: opened(f"{tmp_path}/{dataset}", allowed, tmp_path))  # noqa: B023
    assert LINK_KEY not in refuse(lambda: opened(f"{tmp_path}/a.csv", allowed, tmp_path, image_column="none"))


def test_rows_that_cannot_be_read(tmp_path: Path, allowed: Allowances, refuse: Refuse) -> None:
    link = f"https://user:{LINK_KEY}@h/a.png?sig={LINK_KEY}"
    (tmp_path / "a.csv").write_text(f"id,image\n1,{link},{link}\n")
    (tmp_path / "a.jsonl").write_text(f'{{"image": "{link}"}}\n{{"image": "{link}\n')
    (tmp_path / "a.tsv").write_text(f'image\n"{link}\n')
    for dataset in ("a.csv", "a.jsonl", "a.tsv"):
        assert LINK_KEY not in refuse(lambda: opened(f"{tmp_path}/{dataset}", allowed, tmp_path))  # noqa: B023


def test_outputs_and_what_is_allowed(refuse: Refuse) -> None:
    for uri in (f"https://user:{KEY}@h/x?{KEY}", f"s3://id:{KEY}@bucket/x", f"gs://id:{KEY}@bucket/../x"):
        assert KEY not in refuse(lambda: open_folder(uri, Allowances()))  # noqa: B023
        assert KEY not in refuse(lambda: Allowances.parse([uri]))  # noqa: B023


@pytest.fixture
def planned(site: Site, allowed: Allowances, tmp_path: Path) -> Callable[..., tuple[RunFolder, Plan]]:
    """Plans a run of ``d.csv`` on the site."""

    def plan(dataset: str = "", **settings: Any) -> tuple[RunFolder, Plan]:
        values = {"dataset": dataset or site.dataset("d.csv"), "output": str(tmp_path / "out"), "attempts": 1}
        parsed = RunSettings.parse({**values, **settings})
        run = RunFolder.of(parsed.output, "run", allowed)
        return run, plan_run(parsed, run, allowed, max_batches=10)

    return plan


def test_a_run_leaves_no_key_behind(
    site: Site,
    allowed: Allowances,
    tmp_path: Path,
    draw_image: Callable[[int], str],
    planned: Callable[..., tuple[RunFolder, Plan]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with MisbehavingServer() as others:
        links = [
            draw_image(20),
            "images/none.png",
            others.url("status", code=404).replace("://", f"://user:{LINK_KEY}@") + f"&sig={LINK_KEY}",
            others.url("redirect", to=f"ftp://user:{LINK_KEY}@h/?{LINK_KEY}"),
            others.url("short") + f"&sig={LINK_KEY}",
            f"http://user:{LINK_KEY}@no-such-host.invalid/?{LINK_KEY}",
            f"http://user:{LINK_KEY}@10.0.0.1/?{LINK_KEY}",
            f"http://user:{LINK_KEY}/@h:99999/?{LINK_KEY}",
            f"s3://id:{LINK_KEY}@bucket/a.png",
            f"data:image/png;base64,{LINK_KEY}",
            f"ftp://user:{LINK_KEY}@h/?{LINK_KEY}",
        ]
        (tmp_path / "d.csv").write_text("id,image\n" + "".join(f'1,"{link}"\n' for link in [*links, "x,y"]))
        with (tmp_path / "d.csv").open("a") as file:
            file.write("2,a,b\n")  # a bad row, for rejected.csv
        allowances = Allowances.parse([str(tmp_path), site.host, others.address])
        run, plan = planned(bad_rows="skip", max_failures=1)
        for batch in plan.batches:
            Batch(batch, allowances, reading_with(), dataset=site.dataset("d.csv")).run()
        merge_run(run)

    folder = Path(run.uri)
    with (folder / "results.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["ocr_status"] for row in rows[:2]] == ["ok", "fetch_failed"]
    assert [row["ocr_error"] for row in rows[1:4]] == ["not_found", "not_found", "bad_response"]
    written = [json.dumps([row | {"image": ""} for row in rows])]
    for path in folder.rglob("*"):
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
            # The dataset's own column is the user's data, in the results and in the index of them.
            names = [name for name in table.schema.names if name not in ("image", "link")]
            written.append(str(table.select(names).to_pylist()))
        elif path.suffix == ".json":
            written.append(path.read_text())
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    written += [caplog.text, *(str(record.__dict__) for record in caplog.records)]
    assert len(written) > 5
    for text in written:
        assert KEY not in text
        assert LINK_KEY not in text
    assert Plan.load(run) == plan
    assert plan.settings.dataset == f"http://{site.host}/d.csv"


def test_relative_links_have_the_login_of_the_dataset_and_others_have_not(
    site: Site,
    allowed: Allowances,
    tmp_path: Path,
    draw_image: Callable[[int], str],
    planned: Callable[..., tuple[RunFolder, Plan]],
) -> None:
    image = draw_image(20)
    (tmp_path / "d.csv").write_text(f"image\n{image}\n/{draw_image(21)}\nhttp://{site.host}/{draw_image(22)}\n")
    run, plan = planned()
    assert plan.base == f"http://{site.host}/"
    site.asked.clear()
    for batch in plan.batches:
        Batch(batch, allowed, reading_with(), dataset=site.dataset("d.csv")).run()
    merge_run(run)
    assert pyarrow.parquet.read_table(Path(run.uri, "results.parquet"))["ocr_error"].to_pylist() == [
        None,
        None,
        "http_refused",
    ]
    assert dict(site.asked)[f"/{image}"] == site.login


def test_planning_again_tells_what_differs_without_showing_it(
    site: Site, tmp_path: Path, planned: Callable[..., tuple[RunFolder, Plan]], refuse: Refuse
) -> None:
    link = f"https://user:{LINK_KEY}@h/a.png?sig={LINK_KEY}"
    (tmp_path / "d.csv").write_text(f"image\n{link}\n")
    (tmp_path / "e.csv").write_text(f"image\n{link}\n")
    _, plan = planned()
    assert planned()[1] == plan

    said = refuse(lambda: planned(site.dataset("e.csv")))
    assert f"dataset was 'http://{site.host}/d.csv' and is now 'http://{site.host}/e.csv'" in said
    assert KEY not in said
    (tmp_path / "d.csv").write_text(f"image\n{link}&x={LINK_KEY}\n")
    said = refuse(planned)
    assert "column 'image' of row 1 was 'https://h/a.png' and is now another" in said
    assert LINK_KEY not in said
    (tmp_path / "d.csv").write_text(f"{link}\n{link}\n")
    said = refuse(lambda: planned(image_column=link))
    assert LINK_KEY not in said


def test_planning_again_notices_another_login_or_another_signature(
    site: Site, tmp_path: Path, planned: Callable[..., tuple[RunFolder, Plan]]
) -> None:
    (tmp_path / "d.csv").write_text("image\nx\n")
    planned()
    text = (tmp_path / "out" / "run" / "plan.json").read_text()
    # The site takes no other, so it is the plan that says another.
    seal = json.loads(text)["dataset_seal"]
    (tmp_path / "out" / "run" / "plan.json").write_text(text.replace(seal[-8:], "00000000"))
    with pytest.raises(PlanError, match="dataset has another login or other parameters"):
        planned()


def test_a_query_that_fails(tmp_path: Path, allowed: Allowances, refuse: Refuse) -> None:
    def run_query(connection: str, query: str, portion: int) -> Generator[QueryRows, None, None]:
        yield QueryRows((f"https://user:{KEY}@h/?{KEY}",), [(f"https://user:{KEY}@h/?{KEY}",)])

    settings = RunSettings.parse({"dataset": "sql:shop", "query": "SELECT 1", "output": "/x"})
    assert KEY not in refuse(lambda: open_dataset(settings, allowed, tmp_path, run_query))
