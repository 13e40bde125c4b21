"""Makes the work pool POOL what k8s/jobs/TEMPLATE.yaml says, with the image, the disk and the namespace that the environment names.

Runs before each start of a worker. A pool that is there keeps all else: its limits, its pause, its runs.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

KIND = "kubernetes"


def template_of(text: str, defaults: Mapping[str, str]) -> dict[str, Any]:
    """The base job template, with these values where a run gives none."""
    template: dict[str, Any] = yaml.safe_load(text)
    for name, value in defaults.items():
        template["variables"]["properties"][name]["default"] = value
    return template


async def register(pool: str, template: dict[str, Any]) -> str:
    """What was done. Raises what Prefect's client raises: the pod is started again then."""
    async with get_client() as client:
        try:
            await client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))
        except ObjectNotFound:
            await client.create_work_pool(WorkPoolCreate(name=pool, type=KIND, base_job_template=template))
            return f"work pool {pool}: made"
    return f"work pool {pool}: brought up to date"


def main(environment: Mapping[str, str] = os.environ) -> None:
    """The pod's command."""
    path = Path(__file__).with_name(f"{environment['TEMPLATE']}.yaml")
    defaults = {"image": environment["JOB_IMAGE"], "disk": environment["JOB_DISK"], "namespace": environment["NAMESPACE"]}
    print(asyncio.run(register(environment["POOL"], template_of(path.read_text(encoding="utf-8"), defaults))))


if __name__ == "__main__":
    main()
