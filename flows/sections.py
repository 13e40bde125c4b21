"""Which Config each section of params.yaml is held to."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from components.contract import Config, bind, contract_of
from flows.dag import DVC_YAML, entries_of


def check(params: Mapping[str, Any], sections: Iterable[str], folder: Path = Path()) -> None:
    """Raises BadParams where one of the sections has an unknown key, or a value that cannot be; BadContract for one that nothing reads."""
    for section in sections:
        if section != "paths":
            bind(config_of(section, params, folder), section, params)


def config_of(section: str, params: Mapping[str, Any], folder: Path = Path()) -> type[Config]:
    """The Config of a stage's section, by its signature, or of what is done around and after stages. Importing a stage takes seconds."""
    stages = entries_of((folder / DVC_YAML).read_text(encoding="utf-8"), params)
    readers = [name for name, stage in stages.items() if section in stage.get("params", ())]
    for name in sorted(readers, key=lambda name: name != section):
        if section in (sections := contract_of(name).sections):
            return sections[section]
    return _others()[section]


def _others() -> dict[str, type[Config]]:
    from components.release.config import ReleaseConfig
    from components.serve.config import ServeConfig
    from components.work_cache import CacheConfig
    from flows.bot import WriterConfig
    from flows.cost import PricesConfig
    from flows.pools.config import PoolsConfig
    from flows.show import ShowConfig
    from flows.workspace import WorkspaceConfig
    from monitoring.config import MonitorConfig

    return {
        "cache": CacheConfig,
        "workspace": WorkspaceConfig,
        "writer": WriterConfig,
        "pools": PoolsConfig,
        "cost": PricesConfig,
        "serve": ServeConfig,
        "release": ReleaseConfig,
        "show": ShowConfig,
        "monitor": MonitorConfig,
    }
