"""The Jobs that Prefect makes of k8s/jobs, filled in by Prefect's own templating."""

import copy
from functools import cache
from typing import Any

import yaml

from tests.conftest import PROJECT

JOBS = PROJECT / "k8s/jobs"
DEFAULTS = {"image": "registry.shop.example/vitrine/train:0.1.0-cpu", "disk": "20Gi", "namespace": "vitrine"}
OF_PREFECT = ("parallelism", "completions")  # in the pod's spec, where Prefect's worker asks for them and the API server drops them


@cache
def template(pool: str) -> dict[str, Any]:
    """The base job template as k8s/jobs/register.py gives it to Prefect."""
    found: dict[str, Any] = yaml.safe_load((JOBS / f"{pool}.yaml").read_text(encoding="utf-8"))
    for name, value in DEFAULTS.items():
        found["variables"]["properties"][name]["default"] = value
    return found


def manifest(pool: str, **variables: Any) -> dict[str, Any]:
    """The Job of a run with these job variables, as Prefect's templating fills it in."""
    from prefect.utilities.templating import apply_values

    about = template(pool)
    defaults = {name: one["default"] for name, one in about["variables"]["properties"].items() if "default" in one}
    values = defaults | {"name": "finetune", "command": "prefect flow-run execute", "labels": {}} | variables
    filled: Any = apply_values(about["job_configuration"]["job_manifest"], values)
    return dict(filled)


def as_kubernetes_takes_it(job: dict[str, Any]) -> dict[str, Any]:
    """The Job without what the API server drops, and with the command as the worker splits it."""
    job = copy.deepcopy(job)
    pod = job["spec"]["template"]["spec"]
    for name in OF_PREFECT:
        pod.pop(name)
    args = pod["containers"][0].get("args")
    pod["containers"][0]["args"] = args.split() if isinstance(args, str) else args
    return job


def stage_pod(pool: str, **variables: Any) -> dict[str, Any]:
    """The Job of a run on the pool."""
    return as_kubernetes_takes_it(manifest(pool, **variables))
