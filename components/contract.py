"""A stage is one function whose signature is its contract; this module reads the signature, binds it and runs it.

    def split(listings: In, splits: Out, *, cfg: SplitConfig) -> SplitSummary: ...

`In` and `Out` parameters are paths, named after their entries under `paths:` in params.yaml. A keyword-only parameter without a
default is a section of params.yaml, bound to the frozen Config it is annotated with: `cfg` is the stage's own section, any other
is named after its section. One annotated `AllParams` receives every section but `paths:`, unchecked, for the record. A keyword-only
parameter with a default is an edge (a store, a client), which tests replace.
"""

import ast
import csv
import dataclasses
import difflib
import functools
import gc
import hashlib
import importlib
import inspect
import json
import logging
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from components import shortage, stage_log
from components.errors import BadContract, BadParams, BadWorkspace
from components.process import alone, die_with_parent

In = Annotated[Path, "in"]
Out = Annotated[Path, "out"]
AllParams = Annotated[Mapping[str, Any], "all params"]

PARAMS = Path("params.yaml")
STATE = Path(".vitrine")
CACHE = "cache"
AROUND = (CACHE, "workspace", "writer", "cost", "pools")  # a run, of which no result depends on them
NO_SECTIONS = ("paths", *AROUND, "serve", "release", "show", "monitor")  # the last four: what is done with a bundle, which changes none
PROJECT_PACKAGES = ("components", "flows", "monitoring")

log = logging.getLogger("vitrine")

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A section of params.yaml: frozen, exact in types, and closed to unknown keys. Defaults live in params.yaml alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """What a stage did, as written to reports/<stage>.json. Counts only what the data decides: no times, hosts or costs."""

    rows_in: int
    rows_out: int
    rows_quarantined: int = 0


@dataclasses.dataclass(frozen=True)
class Contract:
    """A stage's signature, read: names of inputs and outputs in `paths:`, Config by params section, and who gets all params."""

    name: str
    function: Callable[..., Summary]
    ins: tuple[str, ...]
    outs: tuple[str, ...]
    sections: Mapping[str, type[Config]]
    all_params: tuple[str, ...]

    def argument_of(self, section: str) -> str:
        """The parameter that receives `section`: `cfg` for the stage's own."""
        return "cfg" if section == self.name else section


@contextmanager
def _uncollected() -> Iterator[None]:
    """While libraries are imported, whose objects stay: looking for garbage among them would take a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def contract_of(name: str) -> Contract:
    """The contract of the stage `name`, from the function of that name in components/<name>/component.py.

    Raises BadContract where there is no such stage or a parameter fits no kind.
    """
    try:
        with _uncollected():
            module = importlib.import_module(f"components.{name}.component")
    except ModuleNotFoundError as error:
        if error.name in (f"components.{name}", f"components.{name}.component"):
            raise BadContract(f"no stage named {name!r}: components/{name}/component.py does not exist") from None
        raise
    function = getattr(module, name)
    hints = get_type_hints(function, include_extras=True)
    ins, outs, all_params, sections = [], [], [], {}
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if kind == In:
            ins.append(parameter.name)
        elif kind == Out:
            outs.append(parameter.name)
        elif kind == AllParams:
            all_params.append(parameter.name)
        elif parameter.default is not inspect.Parameter.empty:
            continue
        elif isinstance(kind, type) and issubclass(kind, Config):
            sections[name if parameter.name == "cfg" else parameter.name] = kind
        else:
            raise BadContract(f"{name}({parameter.name}): annotate it In, Out, a Config or AllParams, or give it a default")
    return Contract(name, function, tuple(ins), tuple(outs), sections, tuple(all_params))


def read_params(path: Path = PARAMS) -> dict[str, Any]:
    """params.yaml as a mapping. Raises BadWorkspace where there is none, BadParams where it is no mapping."""
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadWorkspace(f"{path} not found: run this in the folder that holds params.yaml and dvc.yaml") from None
    except yaml.YAMLError as error:
        raise BadParams(f"{path} is not valid YAML: {error}") from None
    if not isinstance(params, dict):
        raise BadParams(f"{path} must be a mapping of sections, found {type(params).__name__}")
    return params


def bind(kind: type[C], section: str, params: Mapping[str, Any]) -> C:
    """The section of params as a Config. Raises BadParams that names the key, what was found, and the nearest known key."""
    if section not in params:
        raise BadParams(f"params.yaml has no section {section!r}{_nearest(section, params)}")
    try:
        return kind.model_validate(params[section])
    except ValidationError as error:
        raise BadParams("\n".join(_explain(section, kind, problem) for problem in error.errors())) from None


def _explain(section: str, kind: type[BaseModel], problem: Mapping[str, Any]) -> str:
    where = ".".join([section, *map(str, problem["loc"])])
    if problem["type"] == "extra_forbidden":
        return f"params.yaml: unknown key {where}{_nearest(str(problem['loc'][-1]), _fields_at(kind, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"params.yaml: {where} is missing"
    return f"params.yaml: {where} = {problem['input']!r}: {problem['msg']}"


def _fields_at(kind: type[BaseModel], loc: Iterable[Any]) -> Iterable[str]:
    for step in loc:
        field = kind.model_fields.get(str(step))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ()
        kind = inner
    return kind.model_fields


def _nearest(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(sorted(known))}"


def sections_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Every section of params.yaml that a result may depend on."""
    return {name: section for name, section in params.items() if name not in NO_SECTIONS}


def path_of(name: str, params: Mapping[str, Any]) -> Path:
    """The path that params.yaml gives `name` under `paths:`. Raises BadParams for an unknown name."""
    paths = params.get("paths", {})
    if name not in paths:
        raise BadParams(f"params.yaml: paths has no {name!r}{_nearest(name, paths)}")
    return Path(paths[name])


def report_of(name: str) -> Path:
    """Where the stage's metrics lie."""
    return Path("reports") / f"{name}.json"


def run(name: str, wait_s: float = 0.0) -> Summary:
    """What the stage did, after its outs are in place: written under temporary names, then renamed together, the report last.

    Raises StageBusy where another process still runs the stage in this workspace after `wait_s` seconds, DiskFull or OutOfMemory where
    the machine falls short, and whatever the stage itself raises; in all these cases no out changes.
    """
    die_with_parent()
    contract, params = contract_of(name), read_params()
    configs: dict[str, Any] = {contract.argument_of(s): bind(kind, s, params) for s, kind in contract.sections.items()}
    configs |= {argument: sections_of(params) for argument in contract.all_params}
    inputs = {n: path_of(n, params) for n in contract.ins}
    targets = {n: path_of(n, params) for n in contract.outs}
    for n, path in inputs.items():
        if not path.exists():
            raise BadWorkspace(f"{name} needs {n} at {path}, which does not exist: run `dvc repro {name}`, which makes it first")
    partial = STATE / "tmp" / name
    told = functools.partial(shortage.told, name, partial, params)
    with told(), alone(name, STATE / "locks", wait_s), _emptied(partial), told():
        started = _started()
        _when_placed.clear()  # what a run that failed had asked for is not this one's
        with _accounted(name, started):
            summary = contract.function(**inputs, **{n: partial / t.name for n, t in targets.items()}, **configs)
        for n, target in targets.items():
            if not (partial / target.name).exists():
                raise BadContract(f"{name} ended without writing its out {n}")
        write_json(partial / "report.json", dataclasses.asdict(summary))  # before the renames, which need no room
        for target in targets.values():
            _replace(partial / target.name, target)
        _replace(partial / "report.json", report_of(name))
        while _when_placed:
            _when_placed.pop()()
        _log_run(name, started)
    return summary


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """The folder, for outs in the making, is empty at the start, whatever a killed run left there, and gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_when_placed: list[Callable[[], None]] = []


def when_placed(act: Callable[[], None]) -> None:
    """Has `act` called once the running stage's outs are in place: only then may it let go of what a killed run needs to go on."""
    _when_placed.append(act)


def _replace(source: Path, target: Path) -> None:
    """Puts the out in place. An old folder is moved away first: removing it there takes time, in which a kill would leave half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        os.rename(target, source.with_name(f"{source.name}.old"))
    os.replace(source, target)


def _started() -> float:
    """The time; from here on, the work cache counts for this run alone."""
    from components import work_cache

    work_cache.begin()
    stage_log.noted()
    return time.time()


@contextmanager
def _accounted(name: str, started: float) -> Iterator[None]:
    """Logs what a stage noted before it failed, such as what was paid for meanwhile."""
    try:
        yield
    except BaseException:
        if noted := stage_log.noted():
            with suppress(OSError):  # the stage's own error counts
                stage_log.append({**_row(name, started), "failed": True, **noted})
        raise


def _row(name: str, started: float) -> dict[str, Any]:
    return {
        "stage": name,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 2),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _log_run(name: str, started: float) -> None:
    from components import work_cache  # here, since it reads its params through this module

    row = _row(name, started) | stage_log.noted()
    if cache := work_cache.settle(name, stage_log.last_cache(name)):
        row["cache"] = cache
    stage_log.append(row)
    log.info("%s: %.1f s, %d MiB at its peak", name, row["seconds"], row["peak_memory_mib"])


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as sorted JSON with floats rounded to six significant digits, so that equal results are equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_curve(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a training curve as CSV, as `dvc plots` reads it, with floats rounded to six places; a value that a row lacks stays empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def code_files(name: str, root: Path | None = None) -> list[Path]:
    """Every project file that the stage can import, as sorted paths relative to the project: its own folder, and the closure of imports.

    Imports inside functions count, since they run too.
    """
    root = root or Path(__file__).resolve().parents[1]
    queue = sorted((root / "components" / name).rglob("*.py"))
    seen: set[Path] = set()
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue.extend(_imported_by(path, root))
    return sorted(path.relative_to(root) for path in seen)


def _imported_by(path: Path, root: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    files = (root.joinpath(*n.split(".")).with_suffix(".py") for n in names if n.split(".")[0] in PROJECT_PACKAGES)
    return [file for file in files if file.is_file()]


@functools.cache
def code_digest(name: str) -> str:
    """sha256 over the names and bytes of the stage's code files: the part of a cache key that says which code made a value."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in code_files(name, root):
        data = (root / path).read_bytes()
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
