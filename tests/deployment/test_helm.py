"""deploy/helm against docker-compose.yaml, the code, Kubernetes' schemas, and the Airflow chart where it is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deployment.files import ROOT, offered, passed_on
from tests.deployment.helm import HELM, OVERLAYS, read_values, variables, worker_sets

KUBERNETES = "1.37.0"
CHART = Path(os.environ.get("AIRFLOW_CHART") or ROOT / ".chart" / "airflow")
needs_chart = pytest.mark.skipif(
    not ((CHART / "values.schema.json").exists() and shutil.which("helm")),
    reason="needs helm, and the Airflow chart, which make chart gets",
)

SCHEMA = Path(__file__).parent / "airflow-chart" / "values.schema.json"
"""The chart's own, unchanged, with its licence; ``make chart`` brings another version's."""

BY_THE_CHART = {
    "AIRFLOW__API_AUTH__JWT_SECRET": "jwtSecretName",
    "AIRFLOW__API__SECRET_KEY": "apiSecretKeySecretName",
    "AIRFLOW__CELERY__BROKER_URL": "data.brokerUrlSecretName",
    "AIRFLOW__CELERY__RESULT_BACKEND": "Airflow's default: the database",
    "AIRFLOW__CORE__AUTH_MANAGER": "the chart's default",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "the chart's own service",
    "AIRFLOW__CORE__EXECUTOR": "executor",
    "AIRFLOW__CORE__FERNET_KEY": "fernetKeySecretName",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "the chart's default",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "data.metadataSecretName",
    "AIRFLOW__METRICS__STATSD_HOST": "the chart's own service",
    "AIRFLOW__METRICS__STATSD_ON": "statsd.enabled, which is the chart's default",
    "AIRFLOW__METRICS__STATSD_PORT": "the chart's own service",
    "DUMB_INIT_SETSID": "the chart sets it for workers",
}
"""What docker-compose.yaml sets and the chart sets by itself, and from what."""

DIFFERENT = {
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY",
    "AIRFLOW_VAR_OCR_ALLOW",
    "OCR_CACHE",
    "OCR_QUEUE",
    "OCR_SLOTS",
}
"""What rightly has another value than in docker-compose.yaml."""


@pytest.fixture(params=OVERLAYS, ids=lambda overlays: "+".join(("values", *overlays)))
def overlays(request: pytest.FixtureRequest) -> tuple[str, ...]:
    names: tuple[str, ...] = request.param
    return names


def test_every_file_of_values_is_checked() -> None:
    names = {f"values-{overlay}" for overlays in OVERLAYS for overlay in overlays}
    assert {path.stem for path in HELM.glob("values*.yaml")} == {"values", *names}


def test_its_variables_are_those_of_compose(services: dict[str, dict[str, Any]], overlays: tuple[str, ...]) -> None:
    environment = services["worker"]["environment"]
    given = environment.keys() - passed_on(environment)
    assert variables(read_values(*overlays)).keys() == given - BY_THE_CHART.keys()
    assert given >= BY_THE_CHART.keys()


def test_what_is_the_same_everywhere_has_the_same_value(services: dict[str, dict[str, Any]]) -> None:
    environment = services["worker"]["environment"]
    found = variables(read_values())
    assert {name for name, value in found.items() if value != environment[name]} == DIFFERENT


def test_secrets_are_names(overlays: tuple[str, ...]) -> None:
    values = read_values(*overlays)
    plain = {name for name in variables(values) if re.search("PASSWORD|SECRET|FERNET|TOKEN|_KEY|CONN", name)}
    assert plain == set()
    for item in values["migrateDatabaseJob"]["env"]:
        assert item.keys() == {"name", "valueFrom"}
        assert item["valueFrom"].keys() == {"secretKeyRef"}
    assert "://" not in json.dumps([values.get("data"), values["extraEnvFrom"]])


def test_outside_kind_every_secret_is_named() -> None:
    values = read_values()
    named = [values[f"{key}SecretName"] for key in ("fernetKey", "apiSecretKey", "jwt")] + list(values["data"].values())
    named += [item["valueFrom"]["secretKeyRef"]["name"] for item in values["migrateDatabaseJob"]["env"]]
    named += [item["secretRef"]["name"] for item in yaml.safe_load(values["extraEnvFrom"])]
    page = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    assert {name for name in named if f"create secret generic {name} " not in page} == set()


def test_the_page_names_what_opens_a_bucket() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    assert {name for name in offered(ROOT / ".env.example") if f"`{name}`" not in page} == set()


def test_the_job_runs_the_script_with_its_variables(overlays: tuple[str, ...]) -> None:
    values = read_values(*overlays)
    script = "scripts/init_airflow.sh"
    job = values["migrateDatabaseJob"]
    assert job["args"] == ["bash", f"/opt/airflow/{script}"]
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / script).read_text(encoding="utf-8")))
    assert asked == {"OCR_SLOTS", "ADMIN_USER", "ADMIN_PASSWORD"}
    assert asked <= variables(values).keys() | {item["name"] for item in job["env"]}
    assert values["createUserJob"]["enabled"] is False


def test_every_queue_has_workers(overlays: tuple[str, ...]) -> None:
    values = read_values(*overlays)
    assert worker_sets(values).keys() == {"default", variables(values)["OCR_QUEUE"]}


def test_there_are_workers_for_the_slots_of_the_pool(overlays: tuple[str, ...]) -> None:
    values = read_values(*overlays)
    given = variables(values)
    keda = worker_sets(values)[given["OCR_QUEUE"]]["keda"]
    assert values["config"]["celery"]["worker_concurrency"] == 1
    if keda["enabled"]:
        assert keda["maxReplicaCount"] == int(given["OCR_SLOTS"])


def test_workers_have_what_they_need_to_stop_and_to_bound_their_memory(
    services: dict[str, dict[str, Any]], overlays: tuple[str, ...]
) -> None:
    values = read_values(*overlays)
    grace = services["worker"]["stop_grace_period"]
    for workers in [*worker_sets(values).values(), values["workers"]["kubernetes"]]:
        assert f"{workers['terminationGracePeriodSeconds'] // 60}m" == grace
        # The reader's limit is a share of the container's, which without one is the node's memory.
        assert workers["resources"]["limits"].keys() >= {"cpu", "memory"}


def test_workers_are_asked_as_in_compose(services: dict[str, dict[str, Any]], overlays: tuple[str, ...]) -> None:
    for workers in worker_sets(read_values(*overlays)).values():
        assert workers["livenessProbe"]["command"] == services["worker"]["healthcheck"]["test"][1:]
    scheduler = read_values(*overlays)["scheduler"]["livenessProbe"]["command"]
    assert scheduler == services["scheduler"]["healthcheck"]["test"][1:]


def test_what_is_written_lies_on_the_shared_volume(overlays: tuple[str, ...]) -> None:
    values = read_values(*overlays)
    given = variables(values)
    shared = {mount["mountPath"] for mount in values["volumeMounts"] if mount["name"] == "shared"}
    assert shared == {given["OCR_OUTPUT"], given["OCR_MODELS"], given["OCR_CACHE"]}
    (claim,) = [volume["persistentVolumeClaim"] for volume in values["volumes"] if volume["name"] == "shared"]
    assert values["logs"]["persistence"]["existingClaim"] == claim["claimName"]
    for path in HELM.glob("shared-volume*.yaml"):
        assert yaml.safe_load(path.read_text())["metadata"]["name"] == claim["claimName"]


def test_the_gpu_is_asked_for() -> None:
    values = read_values("gpu")
    for workers in (worker_sets(values)["read"], values["workers"]["kubernetes"]):
        assert workers["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert values["images"]["airflow"]["repository"] == read_values()["images"]["airflow"]["repository"]


def invalid(manifest: dict[str, Any]) -> str:
    """What Kubernetes' schemas have against a manifest; unknown keys count."""
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{manifest['kind']} {manifest['metadata']['name']}: {error.message}"
    return ""


def pods(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A pod for each group of workers, of what the chart takes into its own as it is."""
    for queue, workers in worker_sets(values).items():
        container = {
            "name": "worker",
            "image": "{repository}:{tag}".format(**values["images"]["airflow"]),
            "env": values["env"] + values["migrateDatabaseJob"]["env"],
            "envFrom": yaml.safe_load(values["extraEnvFrom"]),
            "resources": workers["resources"],
            "securityContext": values["securityContexts"]["containers"],
            "volumeMounts": values["volumeMounts"],
        }
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": queue},
            "spec": {
                "containers": [container],
                "tolerations": workers.get("tolerations", []),
                "volumes": values["volumes"],
                "terminationGracePeriodSeconds": workers["terminationGracePeriodSeconds"],
            },
        }


def test_kubernetes_takes_what_goes_into_pods(overlays: tuple[str, ...]) -> None:
    assert [problem for pod in pods(read_values(*overlays)) if (problem := invalid(pod))] == []


@pytest.mark.parametrize("path", sorted(HELM.glob("shared-volume*.yaml")), ids=lambda path: path.name)
def test_kubernetes_takes_the_manifests(path: Path) -> None:
    assert invalid(yaml.safe_load(path.read_text(encoding="utf-8"))) == ""


def test_kubernetes_refuses_what_it_does_not_know() -> None:
    pod = next(pods(read_values()))
    pod["spec"]["terminationGracePeriod"] = 300
    assert "terminationGracePeriod" in invalid(pod)


def rendered(*options: str) -> list[dict[str, Any]]:
    """What the chart makes, the pod template of KubernetesExecutor too."""
    done = subprocess.run(
        ["helm", "template", "ocr", CHART, "--kube-version", KUBERNETES, *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    made = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    for manifest in list(made):
        if template := (manifest.get("data") or {}).get("pod_template_file.yaml"):
            made.append(yaml.safe_load(template))
    return made


def files(overlays: tuple[str, ...]) -> list[str]:
    return [f"{HELM}/{name}.yaml" for name in ("values", *(f"values-{overlay}" for overlay in overlays))]


@needs_chart
def test_the_chart_is_the_one_that_the_values_are_for() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    assert f"version {version} " in (HELM / "values.yaml").read_text(encoding="utf-8")
    assert f"\nCHART_VERSION := {version}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


def unknown(values: dict[str, Any], known: dict[str, Any], inside: str = "") -> list[str]:
    """The keys of ``values`` that the chart does not know: its schema lets them pass. What is empty there is free."""
    found = []
    for key, value in values.items():
        if key not in known:
            found.append(inside + key)
        elif isinstance(value, dict) and known[key]:
            found += unknown(value, known[key], f"{inside}{key}.")
    return found


def test_the_chart_takes_every_value(overlays: tuple[str, ...], tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA)]
    checked = subprocess.run([*check, *files(overlays)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    broken = tmp_path / "values.yaml"
    broken.write_text((HELM / "values.yaml").read_text().replace("GracePeriodSeconds: 300", "GracePeriodSeconds: 5m"))
    assert subprocess.run([*check, str(broken)], capture_output=True).returncode == 1


@needs_chart
def test_the_chart_knows_every_value(overlays: tuple[str, ...]) -> None:
    known = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for name in files(overlays):
        values = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        values.pop("config", None)  # Airflow's options, of which the chart lists some
        workers = values["workers"]["celery"]
        sets = workers.pop("sets")
        assert unknown(values, known) == []
        for group in sets:
            assert unknown(group, known["workers"]["celery"] | {"name": ""}) == []
    assert unknown({"workers": {"celery": {"gracePeriod": 1}}}, known) == ["workers.celery.gracePeriod"]


@needs_chart
@pytest.mark.parametrize("executor", ["CeleryExecutor", "KubernetesExecutor"])
def test_kubernetes_takes_what_the_chart_makes(overlays: tuple[str, ...], executor: str) -> None:
    chosen = [part for path in files(overlays) for part in ("--values", path)]
    made = rendered(*chosen, "--set", f"executor={executor}")
    kinds = {manifest["kind"] for manifest in made}
    assert {"Deployment", "Job", "ConfigMap"} <= kinds
    assert ("Pod" in kinds) == (executor == "KubernetesExecutor")
    own = [manifest for manifest in made if not manifest["apiVersion"].startswith("keda.sh/")]
    assert [problem for manifest in own if (problem := invalid(manifest))] == []
