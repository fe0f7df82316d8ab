"""Settings: what a person who triggers a run chooses.

:class:`RunSettings` is the one list of a run's settings. The Airflow form, the command line and the
settings table of the documentation are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.addresses import shown_value, split_entries
from ocr_pipeline.settings.languages import CODES, unknown_codes
from ocr_pipeline.settings.models import DEFAULT_MODEL, MODELS
from ocr_pipeline.settings.reasons import why_refused
from ocr_pipeline.settings.suggestions import unknown_name

USER_AGENT = "airflow-bulk-ocr/0.1 (bulk image OCR; set user_agent to name a contact)"

PDF_DPI = 200
"""Resolution at which pages of PDFs are rendered: 10 point text gets lines of 28 pixels, about what scanners give."""

_MOST = 1_000_000_000_000
"""Of rows, bytes or pixels: more than there will be, and few enough for the 64 bits that libraries count with."""


PREVIEW_ROWS = 20
"""How many rows a preview reads: a minute at most, and a page of results."""


def _choice(default: str, title: str, description: str = "", **meanings: str) -> Any:
    """A field that takes one of a few values, each with what it does.

    The form shows a line for each of them; everywhere else they are told one after the other.
    """
    told = "; ".join(f"{value}: {meaning}" for value, meaning in meanings.items())
    return Field(
        default,
        title=title,
        description=f"{description} {told}.".strip(),
        json_schema_extra={"values_display": {value: f"{value}: {meaning}" for value, meaning in meanings.items()}},
    )


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check ``values`` and fill in defaults.

        :raises SettingsError: naming every setting that is wrong, its value, and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingsError(_explain(cls, error)) from None


class FetchSettings(_Settings):
    """How images are fetched. Times are in seconds."""

    concurrency: int = Field(
        32, ge=1, le=1000, title="Requests at once", description="Images requested at the same time in a batch."
    )
    per_host: int = Field(
        16,
        ge=1,
        le=1000,
        title="Requests at once to one host",
        description="Requests to one host at the same time, shared by the batches of the run that are read at the same "
        "time; each of them may always make one.",
    )
    host_rate: float | None = Field(
        None,
        gt=0,
        le=10_000,
        title="Requests a second to one host",
        description="Requests a second to one host at most, shared in the same way; empty: as fast as it answers.",
    )
    connect_timeout: float = Field(
        10, gt=0, le=600, title="Seconds to connect", description="Seconds to wait for a connection."
    )
    read_timeout: float = Field(
        15, gt=0, le=600, title="Seconds between bytes", description="Seconds to wait for the next bytes."
    )
    total_timeout: float = Field(
        60,
        gt=0,
        le=3600,
        title="Seconds an attempt may take",
        description="Seconds an attempt to fetch an image may take.",
    )
    attempts: int = Field(
        3,
        ge=1,
        le=10,
        title="Attempts an image",
        description="How often an image is requested when failures are transient.",
    )
    max_bytes: int = Field(
        50_000_000, ge=1, le=_MOST, title="Largest file, in bytes", description="Largest image file in bytes."
    )
    robots: Literal["tags", "all", "ignore"] = _choice(
        "tags",
        "What hosts ask of robots",
        tags="leave images alone whose X-Robots-Tag says noai, noimageai, noindex or noimageindex",
        all="obey robots.txt as well, asked for once a run, host and day",
        ignore="do neither",
    )
    user_agent: str = Field(
        USER_AGENT,
        min_length=1,
        pattern=r"^[\x20-\x7e]+$",
        title="User agent",
        description="The User-Agent header, in ASCII: say who is asking.",
    )

    def shared_by(self, batches: int) -> Self:
        """The settings of one of so many batches that are read at the same time: with its share of each host."""
        rate = None if self.host_rate is None else self.host_rate / batches
        return self.model_copy(update={"per_host": max(1, self.per_host // batches), "host_rate": rate})


class ReadSettings(_Settings):
    """How text is read from pixels."""

    engine: Literal["auto", "openvino", "onnxruntime", "paddle", "paddleocr"] = _choice(
        "auto",
        "Engine",
        auto="the fastest that is installed and can run the model",
        openvino="our pipeline on OpenVINO, for processors",
        onnxruntime="our pipeline on ONNX Runtime, also for GPUs",
        paddle="our pipeline on Paddle",
        paddleocr="the stock PaddleOCR pipeline",
    )
    model: str = Field(
        DEFAULT_MODEL,
        title="Model",
        description="PP-OCRv6 tiny, small or medium, or another official PP-OCR model such as korean_PP-OCRv5_mobile. "
        "small comes with the installation; others are downloaded once, when a run is planned or by make models.",
        json_schema_extra={"enum": list(MODELS)},
    )
    languages: tuple[str, ...] = Field(
        (),
        title="Languages",
        description="Language codes such as en, de, zh or ja; only their characters are read. Empty: every character.",
    )
    resize: Literal["keep", "stretch"] = _choice(
        "keep",
        "Shape of pages",
        keep="preserve the aspect ratio",
        stretch="squash every image to 640x640 first (less accurate)",
    )
    precision: Literal["auto", "float32"] = _choice(
        "auto",
        "Precision",
        auto="compute with what is fastest on the machine at about the same accuracy, such as 8-bit integers",
        float32="compute as PaddleOCR does, in two to three times the time",
    )
    orientation: Literal["auto", "none"] = _choice(
        "auto",
        "Turned pages and lines",
        auto="find pages and lines turned by 90, 180 or 270 degrees, in 3 to 4 % more time on upright pages",
        none="read upright and downwards only, as engine paddleocr always does",
    )
    words: bool = Field(
        False,
        title="Words as well as lines",
        description="Each line of ocr_lines also lists its words, with confidence and place; "
        "a Chinese or Japanese character is a word of its own.",
    )
    min_confidence: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Least confidence of a line",
        description="Lines the recogniser is less sure of are dropped.",
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        le=_MOST,
        title="Largest page, in pixels",
        description="Largest page in pixels (width times height).",
    )
    pdf_dpi: int = Field(
        PDF_DPI,
        ge=72,
        le=1200,
        title="PDF resolution",
        description="Dots an inch at which the pages of a PDF are rendered; "
        "fewer, down to 72, where a page would not fit max_pixels.",
    )
    detection_size: int = Field(
        960,
        ge=320,
        le=4000,
        multiple_of=32,
        title="Size at which lines are found",
        description="Longest side in pixels to which a page is reduced to find its lines, but never to less than a "
        "quarter of its size; they are read at full size.",
    )
    device: str = Field(
        "cpu",
        pattern=r"^(cpu|gpu(:\d{1,3})?)$",
        title="Device",
        description="cpu, gpu, or one GPU of several such as gpu:1. A GPU that is not there is an error.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        title="OCR threads",
        description="OCR threads of a batch; 0 takes every core that the task may use and has memory for, and on a GPU "
        "8 more.",
    )

    @field_validator("model")
    @classmethod
    def _model_exists(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(f"there is no such model; there are {', '.join(MODELS)}")
        return model

    @field_validator("languages")
    @classmethod
    def _languages_exist(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        unknown = unknown_codes(languages)
        if unknown:
            raise ValueError(f"there is no {', '.join(unknown)}; there are {', '.join(CODES)}")
        return languages

    @model_validator(mode="after")
    def _engine_and_languages_suit_the_model(self) -> Self:
        model = MODELS[self.model]
        for code in self.languages:
            if not model.reads(code):
                others = ", ".join(other.name for other in MODELS.values() if other.reads(code))
                raise ValueError(f"languages: model {self.model} cannot read {code}; these can: {others}")
        if self.engine not in ("auto", *model.engines):
            raise ValueError(
                f"model {self.model} {model.limits}, so engine {self.engine} cannot run it: "
                f"choose engine {', '.join(model.engines)} or auto"
            )
        if self.languages and (self.engine == "paddleocr" or model.engines == ("paddleocr",)):
            raise ValueError(
                "languages: engine paddleocr, which runs this model, always reads every character: "
                "leave languages empty"
            )
        return self


class CatalogSettings(_Settings):
    """What a run leaves out because an earlier one has read it."""

    catalog: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$",
        title="Catalog of what was read",
        description="Read only what is new: the name under which runs in the same output folder note what they have "
        "read, and leave out what others have. Empty: read everything.",
    )
    known_by: Literal["link", "content"] = _choice(
        "link",
        "What makes an image known",
        "Of a catalog.",
        link="an image whose link was read is not even fetched",
        content="every image is fetched, and those are read whose bytes are new",
    )
    reread_with_new_model: bool = Field(
        False,
        title="Read again with a new model",
        description="Of a catalog, count only what the same model has read, so that a new one reads all again.",
    )


Previews = Literal["none", "problems", "sample", "all"]


class PreviewSettings(_Settings):
    """Which pictures of pages are kept beside the results."""

    previews: Previews = _choice(
        "sample",
        "Pictures of pages",
        none="keep no pictures",
        problems="keep those of pages that failed, are empty, or were read with doubt",
        sample="keep those and the first 200 rows'",
        all="keep every page's",
    )
    preview_bytes: int = Field(
        1_000_000_000,
        ge=0,
        le=_MOST,
        title="Pictures, in bytes",
        description="About how many bytes of pictures a run keeps at most.",
    )


class RunSettings(FetchSettings, ReadSettings, CatalogSettings, PreviewSettings):
    """Everything that a run can be told."""

    dataset: str = Field(
        min_length=1,
        title="Dataset",
        description="File with one image a row (CSV, TSV, JSON, Parquet or a list of links), a glob or several "
        "of them, or a folder of images; local, http(s)://, s3:// or gs://. sql:CONNECTION for the setting query.",
    )
    query: str | None = Field(
        None, title="SQL query", description="SQL query whose rows are the dataset, on the connection it names."
    )
    image_column: str | None = Field(
        None,
        title="Column with the image links",
        description="Column with the links; empty: guessed from its name, or its values.",
    )
    output: str = Field(
        min_length=1,
        title="Folder for the results",
        description="Folder for the results, or s3://bucket/prefix or gs://…; the run makes its own inside.",
    )
    batch_size: int = Field(
        1000, ge=1, le=1_000_000, title="Rows a batch", description="Rows a task reads; grows when tasks get too many."
    )
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "list"] = _choice(
        "auto",
        "Format",
        "What the dataset's files are.",
        auto="tell from their names and content",
        csv="values separated by commas or the like",
        tsv="separated by tabs",
        jsonl="JSON objects, a line each or in an array",
        parquet="Apache Parquet",
        list="a link a line",
    )
    encoding: str = Field(
        "utf-8",
        title="Encoding",
        description="Encoding of a dataset that is text, such as cp1252; a byte order mark says more.",
    )
    csv_escape: Literal["quotes", "backslash"] = _choice(
        "quotes",
        "Quotes inside values",
        "Of a CSV dataset.",
        quotes='a quote inside a quoted value is written twice, ""',
        backslash="it is written with a backslash before it, as may be delimiters, line ends and backslashes",
    )
    csv_comment: str | None = Field(
        None,
        min_length=1,
        max_length=10,
        title="Comment lines",
        description="Lines of a CSV dataset that begin so, such as #, are left out; empty: none are.",
    )
    bad_rows: Literal["fail", "skip"] = _choice(
        "fail",
        "Rows that cannot be read",
        fail="name the first and end the run",
        skip="leave them out, count them, and note them in rejected.csv",
    )
    preview: bool = Field(
        False,
        title="Preview",
        description=f"Read the first {PREVIEW_ROWS} rows and stop, to look at the results before all is read.",
    )
    limit: int | None = Field(
        None, ge=1, le=_MOST, title="First rows only", description="Read only the first rows of the dataset."
    )
    max_failures: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Share of failures allowed",
        description="Largest share of the images that may fail, of all and of the new ones. A run in which more did "
        "fails once its results are written; a batch in which more did for transient reasons is tried again first. "
        "1: never.",
    )
    csv_formulas: Literal["guard", "keep"] = _choice(
        "guard",
        "Formulas in CSV files",
        guard="put a single quote before text that a spreadsheet would run as a formula",
        keep="leave every text as it is, for programs that read the CSV",
    )

    @property
    def rows_wanted(self) -> int | None:
        """How many rows of the dataset to read at most; None for all."""
        return min(self.limit or PREVIEW_ROWS, PREVIEW_ROWS) if self.preview else self.limit

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            raise ValueError("there is no such text encoding; common ones are utf-8, cp1252 and shift_jis") from None
        return encoding

    @model_validator(mode="after")
    def _a_query_has_a_connection(self) -> Self:
        if any(place.startswith("sql:") for place in split_entries(self.dataset)) != (self.query is not None):
            raise ValueError("query: is needed with a dataset sql:CONNECTION, and only then")
        return self

    @model_validator(mode="after")
    def _timeouts_agree(self) -> Self:
        if self.total_timeout < max(self.connect_timeout, self.read_timeout):
            raise ValueError("total_timeout must not be shorter than connect_timeout or read_timeout")
        return self


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            problems.append(f"{name}: {unknown_name('setting', name, model.model_fields)}")
        elif not name:
            problems.append(why_refused(item))
        elif item["type"] == "missing":
            problems.append(f"{name}: is needed ({model.model_fields[name].description})")
        else:
            reason = why_refused(item)
            if item["type"] == "string_pattern_mismatch":
                reason += f" ({model.model_fields[name].description})"
            problems.append(f"{name}: {shown_value(item['input'])} is not allowed: {reason}")
    return "settings refused: " + "; ".join(problems)
