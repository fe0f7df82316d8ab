"""The three tasks of a run. Each is a thin shell over the core, which is imported when the task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseXCom, XComArg
from airflow.sdk.exceptions import AirflowRescheduleException

from ocr_airflow.deployment import allowances, tasks_at_once
from ocr_airflow.draining import name_process
from ocr_airflow.failing import FAIL_FOR_GOOD, task_errors
from ocr_airflow.intervals import interval_names, next_due
from ocr_airflow.queries import run_query
from ocr_airflow.settings import run_settings
from ocr_airflow.stats import sender

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ocr_pipeline.reading.batch import Batch
    from ocr_pipeline.records import BatchRef
    from ocr_pipeline.run.staging import BatchProgress
    from ocr_pipeline.settings.run import RunSettings

RUN_KEY = "run"
"""XCom key under which the plan task publishes the URI of the run's folder."""

DATASET_KEY = "dataset"
"""XCom key under which the plan task publishes what it read, without logins and signatures."""


COUNTS_KEY = BaseXCom.XCOM_RETURN_KEY
"""XCom key under which the merge publishes its counts, also where it fails then: that of what it returns."""


class PlanRunOperator(BaseOperator):
    """Read the dataset, cut it into batches, and return them to be mapped over.

    The settings are ``settings`` overlaid with the params that the run gives a value. The former are the DAG
    author's, and templates in them are rendered; the latter are whoever's who triggers it, and are not. A run of the
    author's own dataset has the day of its data, in ``timezone``, in the name of its folder.
    """

    def __init__(self, *, settings: Mapping[str, Any] | None = None, timezone: str = "UTC", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retry_policy = self.retry_policy or FAIL_FOR_GOOD
        self.settings = dict(settings or {})
        self.timezone = timezone

    def execute(self, context: Context) -> list[str]:
        """Plan the run; the mapped values are :attr:`ocr_pipeline.records.BatchRef.text`."""
        from airflow.sdk.configuration import conf

        from ocr_pipeline.ocr.hub import stage_model
        from ocr_pipeline.planning.planning import plan_run
        from ocr_pipeline.run.folder import RunFolder
        from ocr_pipeline.settings.addresses import shown_dataset

        with task_errors(self, context):
            settings = self._run_settings(context)
            self.log.info("the dataset is %s", shown_dataset(settings.dataset))
            context["ti"].xcom_push(key=DATASET_KEY, value=shown_dataset(settings.dataset))
            stage_model(settings)  # once, instead of by every batch
            allowed = allowances()
            run = RunFolder.of(settings.output, self._folder_name(context), allowed)
            most = conf.getint("core", "max_map_length")
            plan = plan_run(settings, run, allowed, max_batches=most, run_query=run_query)
        self.log.info(
            "%d rows, %d distinct links to read and %d that earlier runs have read, %d batches of up to %d rows, in %s",
            plan.rows,
            plan.images,
            plan.known,
            len(plan.batches),
            plan.batch_size,
            run.uri,
        )
        if plan.batch_size > settings.batch_size:
            self.log.info("batches grew from %d rows to stay below max_map_length", settings.batch_size)
        context["ti"].xcom_push(key=RUN_KEY, value=run.uri)
        return [batch.text for batch in plan.batches]

    def _run_settings(self, context: Context) -> RunSettings:
        from ocr_pipeline.errors import RefusedRunError, SettingsError
        from ocr_pipeline.settings.run import RunSettings

        try:
            return RunSettings.parse(run_settings(self, self.settings, context, self.timezone))
        except SettingsError as error:
            if self.settings:
                raise  # the DAG's author may have to mend them, after which the run can be cleared
            raise RefusedRunError(
                f"{error}. Start a new run with that put right: clearing this one cannot help"
            ) from None

    def _folder_name(self, context: Context) -> str:
        day = interval_names(context, self.timezone).get("day")
        own = "dataset" in self.settings and not context["params"].get("dataset")
        return f"{day}_{context['run_id']}" if day and own else context["run_id"]


READ_TIMEOUT = timedelta(hours=6)
"""How long reading a batch may take where neither the DAG nor Airflow's default_task_execution_timeout says it."""


class ReadBatchOperator(BaseOperator):
    """Fetch and read the images of one batch and stage their results.

    A retry goes on where the last attempt ended and tries transient failures again. Clearing the task tries what
    failed for good as well, also when it succeeded. The batch ends a little before ``execution_timeout`` by itself,
    as an error that Airflow retries. When its process is told to stop (SIGTERM), it is handed back, with checkpoints:
    Airflow runs it anew at once, as the same try. It takes the share of what a host may be asked that one of
    ``max_active_tis_per_dagrun`` batches has, or without that one of all batches of the run.

    :param run: the URI of the run's folder, from the task that planned it.
    :param batch: what that task returned for the batch: :attr:`ocr_pipeline.records.BatchRef.text`.
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(
        self,
        *,
        run: str | XComArg,
        batch: str,
        execution_timeout: timedelta | None = READ_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        # A mapped task is given None where there is no default.
        super().__init__(execution_timeout=execution_timeout or READ_TIMEOUT, **kwargs)
        self.retry_policy = self.retry_policy or FAIL_FOR_GOOD
        self.run = run
        self.batch = batch
        self._running: Batch | None = None
        self._outcome = ""

    @property
    def label(self) -> str:
        """The batch's rows and, once it is done, its outcome, as the mapped task is named."""
        return f"{self._ref().span}{self._outcome}"

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the batch; returns its counts.

        :raises AirflowRescheduleException: when it was told to stop.
        """
        from ocr_pipeline.errors import BatchCancelledError
        from ocr_pipeline.reading.batch import Batch
        from ocr_pipeline.reading.watchdog import reading_seconds

        assert self.execution_timeout is not None
        instance = context["ti"]
        name_process()
        with task_errors(self):
            self._running = batch = Batch(
                self._ref(),
                allowances(),
                at_once=self.max_active_tis_per_dagrun,
                places=tasks_at_once(self.executor),
                dataset=_dataset(self, context),
                retry_permanent=_is_first_try(context),
                last_try=instance.try_number > instance.max_tries,
                observer=_observer(context),
                send_metric=sender(self.dag_id),
                seconds=reading_seconds(self.execution_timeout.total_seconds()),
            )
            try:
                statistics = batch.run()
            except BatchCancelledError as error:
                self.log.info("%s", error)
                raise AirflowRescheduleException(datetime.now(UTC)) from None
            finally:
                self._outcome = f" · {batch.progress.outcome}"
                # After an exit, Airflow does not render the name again.
                instance.rendered_map_index = self.label
        return {"images": statistics.images, "pages": statistics.pages, "statuses": statistics.statuses}

    def _ref(self) -> BatchRef:
        from ocr_pipeline.records import BatchRef

        return BatchRef.parse(str(self.run), self.batch)

    def on_kill(self) -> None:
        """End the batch promptly; what is finished stays in its checkpoints."""
        if self._running is not None:
            self._running.stop()


def _observer(context: Context) -> Callable[[BatchProgress], None] | None:
    """Shows how far a batch is in Airflow, as ``progress`` among what the task stores."""
    store = context.get("task_state_store")
    return None if store is None else lambda progress: store.set("progress", asdict(progress))


def _dataset(task: BaseOperator, context: Context) -> str:
    """The dataset that the run was told to read, as its plan task was; empty when that is not known."""
    plan = next((task for task in context["dag"].tasks if isinstance(task, PlanRunOperator)), None)
    own, timezone = (plan.settings, plan.timezone) if plan else ({}, "UTC")
    return str(run_settings(task, own, context, timezone).get("dataset", ""))


def _is_first_try(context: Context) -> bool:
    """Whether this is the first try since the run was triggered or a person cleared the task, and begins the batch.

    Clearing adds the task's retries to the tries it has had; Airflow counts in the same way for sensors.
    """
    instance = context["ti"]
    handed_back = context.get("task_reschedule_count", 0) > 0
    return not handed_back and instance.try_number == instance.max_tries - (context["task"].retries or 0) + 1


class MergeRunOperator(BaseOperator):
    """Write the results of a run, every row of them, and fail when a batch did not finish or too many images failed.

    :param run: the URI of the run's folder, from the task that planned it. Being a template field, it puts that task
        directly before this one, so that of the tasks before it one has succeeded whenever there is a plan.
    """

    template_fields: Sequence[str] = ("run",)

    def __init__(self, *, run: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retry_policy = self.retry_policy or FAIL_FOR_GOOD
        self.run = run

    def execute(self, context: Context) -> dict[str, Any]:
        """Merge; returns the counts of the summary.

        :raises TaskFailedForGood: when the results are incomplete, or too many images failed, saying what to do.
        """
        from ocr_pipeline.merging.merge import merge_run
        from ocr_pipeline.metrics import Metric
        from ocr_pipeline.run.catalog import Catalog
        from ocr_pipeline.run.folder import RunFolder
        from ocr_pipeline.run.plan import Plan

        with task_errors(self, context):
            allowed = allowances()
            run = RunFolder.open(str(self.run), allowed)
            merged = merge_run(run, Catalog.of(run, Plan.load(run).settings, allowed))
            self.log.info("%d rows in %s: %s", merged.result_rows, run.uri, merged.statuses)
            for asset in self.outlets:
                context["outlet_events"][asset].extra = {"run": run.uri, "rows": merged.rows}
            counts = {"rows": merged.rows, "result_rows": merged.result_rows, "statuses": merged.statuses}
            # Before it is judged: of a run that fails for it, what became of its rows is asked most.
            context["ti"].xcom_push(key=COUNTS_KEY, value=counts)
            merged.check()
        if due := next_due(self.dag, context):
            sender(self.dag_id)(Metric.NEXT_DUE, due.timestamp(), {})
        return {**counts, "new_images": merged.new_images, "new_failures": merged.new_failures}
