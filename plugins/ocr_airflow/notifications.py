"""Who is told when a scheduled dataset fails, when its day does not come, and when many of its images fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, Self

from airflow.sdk import BaseNotifier
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ImportString,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)

Occasion = Literal["failure", "missing", "failures"]
Callback = Callable[[Any], None]
"""Called by Airflow with the context of a run or a task."""


_IMPORTED = TypeAdapter(ImportString[Any])


def _notifier(path: object) -> type[BaseNotifier]:
    try:
        found = _IMPORTED.validate_python(path)
    except ValidationError as error:
        raise ValueError(f"{error.errors()[0]['msg']}; is its provider installed?") from None
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise ValueError("it is no notifier of Airflow, a subclass of airflow.sdk.BaseNotifier")
    return found


class Notification(BaseModel):
    """A notifier of Airflow, by its import path, its arguments, and what it is to tell of.

    ``failure`` is a run that failed; ``missing`` a day whose dataset never came, so that the run was skipped;
    ``failures`` a run that succeeded with a larger share of failures among its new images than ``above``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    notifier: Annotated[type[BaseNotifier], PlainValidator(_notifier)]
    arguments: dict[str, Any] = Field(default_factory=dict)
    when: Annotated[tuple[Occasion, ...], Field(strict=False, min_length=1)] = ("failure", "missing")
    above: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def _a_share_belongs_to_failures(self) -> Self:
        if ("failures" in self.when) != (self.above is not None):
            raise ValueError("above: a share such as 0.1 is needed with when: [failures], and only then")
        return self

    @model_validator(mode="after")
    def _notifier_takes_the_arguments(self) -> Self:
        self.make()
        return self

    def make(self) -> BaseNotifier:
        """The notifier itself.

        :raises ValueError: when it does not take the arguments.
        """
        try:
            return self.notifier(**self.arguments)
        except Exception as error:  # whatever a notifier raises about its arguments
            raise ValueError(f"arguments: the notifier refuses them: {error}") from None


def callbacks(notifications: Iterable[Notification], occasion: Occasion) -> list[Callback]:
    """What Airflow is to call on an occasion."""
    return [
        notification.make() if notification.above is None or occasion != "failures" else _WhenMany(notification)
        for notification in notifications
        if occasion in notification.when
    ]


class _WhenMany:
    """Tells of a merged run in which more images failed than a share of those that are new."""

    def __init__(self, notification: Notification) -> None:
        assert notification.above is not None
        self._above = notification.above
        self._notifier = notification.make()

    def __call__(self, context: Any) -> None:
        merged = context["ti"].xcom_pull(task_ids=context["task"].task_id)
        if merged and merged["new_failures"] > self._above * merged["new_images"]:
            self._notifier(context)
