"""Scheduled datasets: one YAML file each, checked before a DAG is made of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable
from croniter import croniter
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ocr_airflow.dags import ocr_dag
from ocr_airflow.deployment import default_output
from ocr_airflow.notifications import Notification
from ocr_airflow.templates import check_template
from ocr_airflow.waiting import Waiting
from ocr_airflow.yaml_errors import explain_yaml
from ocr_pipeline.settings.addresses import shown_dataset, shown_text, shown_value
from ocr_pipeline.settings.reasons import why_refused
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.settings.suggestions import unknown_name

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}")
_ON_DEMAND = "ocr_images"
_NODES = 10_000


def _duration(value: object) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})\s*([smhd])", value.strip()) if isinstance(value, str) else None
    if not found or not int(found[1]):
        raise ValueError("write a number and s, m, h or d, such as 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A time such as ``90s``, ``30m``, ``6h`` or ``2d``."""

_SELDOM = timedelta(seconds=10)
"""A task's supervisor may end five seconds after its task; Airflow takes one that runs again by then for lost."""


def _not_too_often(value: timedelta) -> timedelta:
    if value < _SELDOM:
        raise ValueError("10s is the shortest")
    return value


def _schedule(value: object) -> str | tuple[Asset, ...] | None:
    if value is None or (isinstance(value, str) and croniter.is_valid(value)):
        return value
    return tuple(map(_asset, (value or [None]) if isinstance(value, list) else [value]))


def _asset(entry: object) -> Asset:
    match entry:
        case {"asset": str(name), **more} if not more:
            return Asset(name)
        case {"asset": str(name), "uri": str(uri), **more} if not more:
            return Asset(name, uri)
    raise ValueError(
        "write a cron expression such as 30 6 * * 1-5, or @hourly, @daily, @weekly or @monthly; or asset: NAME, "
        "with uri: URI if it has another, or a list of these"
    )


Schedule = Annotated[str | tuple[Asset, ...] | None, PlainValidator(_schedule)]
"""When a dataset is read: a cron expression, or assets, after an event of each of them."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WaitFor(_Strict):
    """What a run does while its dataset is not there."""

    timeout: Duration
    every: Annotated[Duration, AfterValidator(_not_too_often)] = timedelta(minutes=5)
    otherwise: Literal["skip", "fail"] = "skip"


class DatasetFile(_Strict):
    """The content of one file: what is read, when, and how. The file's name is the name of the DAG."""

    source: str = Field(min_length=1)
    description: str | None = None
    schedule: Schedule = None
    start_date: Annotated[date | None, Field(strict=False)] = None
    end_date: Annotated[date | None, Field(strict=False)] = None
    timezone: str = "UTC"
    catchup: bool = False
    max_active_runs: int | None = Field(None, ge=1)
    wait: WaitFor | None = None
    retries: int | None = Field(None, ge=0, le=100)
    retry_delay: Duration | None = None
    owner: str | None = Field(None, min_length=1)
    only_new: bool = False
    tags: Annotated[tuple[str, ...], Field(strict=False)] = ()
    notify: Annotated[tuple[Notification, ...], Field(strict=False)] = ()
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("source")
    @classmethod
    def _source_is_a_template(cls, source: str) -> str:
        return check_template(source)

    @field_validator("end_date")
    @classmethod
    def _end_is_not_before_the_start(cls, end: date | None, info: ValidationInfo) -> date | None:
        start = info.data.get("start_date")
        if end and start and end < start:
            raise ValueError(f"it is before start_date, {start}")
        return end

    @field_validator("end_date", "catchup")
    @classmethod
    def _days_are_scheduled(cls, value: date | bool | None, info: ValidationInfo) -> date | bool | None:
        # Without the key, the schedule was refused already.
        if value and not isinstance(info.data.get("schedule", ""), str):
            raise ValueError("it belongs to a schedule that is a cron expression")
        return value

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError("write the name of a time zone, such as Europe/Berlin") from None
        return timezone

    @field_validator("settings")
    @classmethod
    def _dataset_is_the_source(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if "dataset" in settings:
            raise ValueError("say the dataset as source, beside settings")
        return settings

    @model_validator(mode="after")
    def _schedule_has_a_start(self) -> Self:
        if isinstance(self.schedule, str) and not self.start_date:
            raise ValueError("start_date: is needed with a schedule; it is the first day whose data is read")
        return self

    @property
    def runs_at_once(self) -> int | None:
        """How many runs there may be at the same time; None for as many as Airflow's configuration says.

        One where nobody said more and the runs may be many or build on each other: each of ``only_new`` leaves out
        what those before it have read, and not what is being read.
        """
        return self.max_active_runs or (1 if self.catchup or self.only_new else None)


@dataclass(frozen=True, slots=True)
class ScheduledDataset:
    """A dataset that was declared and can be scheduled; ``settings`` are those that its file names, checked.

    ``content`` is what the file says.
    """

    name: str
    content: dict[str, Any]
    file: DatasetFile
    settings: dict[str, Any]

    def dag(self, *, register: bool = True) -> DAG:
        """Its DAG. The run of an interval starts when the interval is over.

        :param register: whether Airflow, which is parsing the file that calls this, is to find it.
        """
        file = self.file
        arguments = {"owner": file.owner, "retries": file.retries, "retry_delay": file.retry_delay}
        zone = ZoneInfo(file.timezone)
        options: dict[str, Any] = {"schedule": file.schedule}
        if isinstance(file.schedule, str):
            # Said outright: with a plain cron expression, Airflow's configuration decides whether runs have intervals.
            options["schedule"] = CronDataIntervalTimetable(file.schedule, timezone=file.timezone)
        if file.start_date:
            options["start_date"] = datetime.combine(file.start_date, time.min, zone)
        if file.end_date:
            # Airflow compares the interval's beginning with it: every interval that begins on this day is read.
            options["end_date"] = datetime.combine(file.end_date, time.max, zone)
        if file.runs_at_once:
            options["max_active_runs"] = file.runs_at_once
        return ocr_dag(
            self.name,
            source=file.source,
            timezone=file.timezone,
            settings=self.settings,
            auto_register=register,
            waiting=Waiting(file.wait.timeout, file.wait.every, file.wait.otherwise) if file.wait else None,
            notifications=file.notify,
            description=file.description,
            doc_md=_as_code(self.content),
            catchup=file.catchup,
            tags=["ocr", *file.tags],
            default_args={name: value for name, value in arguments.items() if value is not None},
            **options,
        )


def _as_code(content: dict[str, Any]) -> str:
    """What a file says, as Markdown shows it, without logins, signatures, and what a notifier is given."""
    text = yaml.safe_dump(_shown(content), sort_keys=False, allow_unicode=True, width=1000).strip()
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)  # CommonMark: one that is longer than any inside
    return f"{fence}yaml\n{text}\n{fence}"


def _shown(value: Any, key: object = None) -> Any:
    if key == "arguments":
        return "…"
    if isinstance(value, dict):
        return {name: _shown(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_shown(part) for part in value]
    return shown_dataset(value) if isinstance(value, str) else value


class DatasetFileError(Exception):
    """A file that declares a dataset and cannot be used; the message has a line for each thing that is wrong."""


@dataclass(frozen=True, slots=True)
class DeclaredDatasets:
    """What a folder declares: the datasets, and what is wrong with the files that were refused."""

    datasets: tuple[ScheduledDataset, ...]
    problems: tuple[DatasetFileError, ...]


def datasets_folder() -> Path:
    """Where the files are: ``OCR_DATASETS``, or ``include/datasets`` of this project."""
    return Path(os.environ.get("OCR_DATASETS") or Path(__file__).parents[2] / "include" / "datasets")


def declared_datasets() -> DeclaredDatasets:
    """Everything that the folder declares. A file that is wrong keeps no other from being used."""
    datasets, problems = [], []
    for path in sorted([*datasets_folder().glob("*.yaml"), *datasets_folder().glob("*.yml")]):
        try:
            dataset = read_dataset_file(path)
            dataset.dag(register=False)
            datasets.append(dataset)
        except DatasetFileError as error:
            problems.append(error)
        except Exception as error:  # what nobody thought of is this file's error, too
            problems.append(DatasetFileError(f"{path}: {type(error).__name__}: {shown_text(str(error))}"))
    return DeclaredDatasets(tuple(datasets), tuple(problems))


def read_dataset_file(path: Path) -> ScheduledDataset:
    """The dataset that the file at ``path`` declares.

    :raises DatasetFileError: naming the file, the line and the key of everything that is wrong.
    """
    if path.suffix != ".yaml":
        raise DatasetFileError(f"{path}: its name must end in .yaml")
    if not _NAME.fullmatch(path.stem) or path.stem == _ON_DEMAND:
        raise DatasetFileError(
            f"{path}: the file's name becomes the name of a DAG: use letters, digits, - and _, and not {_ON_DEMAND}"
        )
    root, content = _parse(path)
    problems = list(_repeated_keys(root))
    file, settings = None, {}
    try:
        file = DatasetFile.model_validate(content)
    except ValidationError as error:
        problems.extend(_explain(error, root, ()))
    given = content.get("settings")
    if isinstance(given, dict):
        try:
            settings = _check_settings(given)
        except ValidationError as error:
            problems.extend(_explain(error, root, ("settings",)))
    if file is None or problems:
        raise DatasetFileError("\n".join(f"{path}:{line}: {text}" for line, text in sorted(set(problems))))
    if file.only_new:
        settings = {"catalog": path.stem, **settings}
    # Scheduled runs of several DAGs have the same names.
    return ScheduledDataset(path.stem, content, file, {"output": f"{default_output()}/{path.stem}", **settings})


_Problem = tuple[int, str]
"""The line, from 1, and what is wrong there."""


class _Loader(yaml.SafeLoader):
    """Leaves dates the text that they are, so that a wrong one is refused where it is used."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- as PyYAML declares it
        first: [resolver for resolver in resolvers if resolver[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _parse(path: Path) -> tuple[yaml.MappingNode, dict[str, Any]]:
    """The file as nodes, which know their lines, and as values."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise DatasetFileError(f"{path}:1: must have keys, such as source: /data/links.csv")
        if _size(root, {}) > _NODES:
            raise DatasetFileError(
                f"{path}: it has more than {_NODES:,} values, aliases such as *name counted as what they stand for"
            )
        return root, loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        line, problem = explain_yaml(error, text)
        raise DatasetFileError(f"{path}:{line}: {problem}") from None
    except (yaml.YAMLError, OSError, ValueError) as error:
        raise DatasetFileError(f"{path}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise DatasetFileError(f"{path}: its values are nested too deep") from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values ``node`` stands for, as many as anybody counts if it contains itself."""
    if id(node) not in known:
        known[id(node)] = _NODES + 1
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = chain.from_iterable(inside) if isinstance(node, yaml.MappingNode) else inside
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _repeated_keys(node: yaml.Node, above: str = "") -> Iterator[_Problem]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.start_mark.line + 1, f"{above}{key.value}: is there twice"
            seen.add(key.value)
            yield from _repeated_keys(value, f"{above}{key.value}.")


def _check_settings(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that a file names, as a form holds them.

    :raises ValidationError: when one is wrong.
    """
    dataset = "sql:CONNECTION" if given.get("query") else "/"  # the source is a template, filled in by each run
    checked = RunSettings.model_validate({"output": default_output(), **given, "dataset": dataset})
    return checked.model_dump(mode="json", include=set(given))


def _explain(error: ValidationError, root: yaml.Node, above: tuple[str, ...]) -> Iterator[_Problem]:
    """What pydantic found, with the lines of the keys."""
    known: dict[tuple[str, ...], type[BaseModel]] = {
        (): DatasetFile,
        ("wait",): WaitFor,
        ("notify",): Notification,
        ("settings",): RunSettings,
    }
    for item in error.errors():
        location = (*above, *item["loc"])
        name, line = ".".join(map(str, location)), _line(root, location)
        reason = why_refused(item)
        if item["type"] == "extra_forbidden":
            names = set(known[_keys(location[:-1])].model_fields) - {"dataset"}
            yield line, f"{name}: {unknown_name('key', str(location[-1]), names)}"
        elif item["type"] == "missing":
            yield line, f"{name}: is needed"
        elif not item["loc"] or (isinstance(location[-1], int) and _keys(location) in known):
            yield line, f"{name}: {reason}" if name else reason
        else:
            yield line, f"{name}: {shown_value(item['input'])} is not allowed: {reason}"


def _keys(location: Sequence[str | int]) -> tuple[str, ...]:
    """A location without the numbers of what is in lists."""
    return tuple(part for part in location if isinstance(part, str))


def _line(node: yaml.Node, location: Sequence[str | int]) -> int:
    """The line of the key at ``location``, or of what is nearest above it."""
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            line, node = found[-1][0].start_mark.line + 1, found[-1][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
