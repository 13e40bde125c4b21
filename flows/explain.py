"""`vitrine explain`: a release's decision log at a terminal, each verdict reached again from the files that it stands on."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.contract import bind, read_params
from components.objects import ObjectStore, open_store
from components.release.again import Told
from components.release.config import ReleaseConfig
from components.release.decisions import Decision, DecisionLog
from components.release.explain import Explained, explained, resolved
from components.serve.config import ServeConfig

COLOURS = {"PASS": "green", "FAIL": "bold red", "MISMATCH": "bold red", "HOLD": "yellow", "NOT_YET": "dim"}
QUIET = ("look", "shadow", "inputs")
MAX_PROBLEMS = 40


def show(release: str, *, every: bool = False, console: Console | None = None) -> bool:
    """Prints what was decided on the release and whether all of it follows from the files; True where it does. With `every`, looks that
    changed nothing have a line each. Raises BadParams for an unknown release, StoreFailed."""
    params = read_params()
    registry = open_store(bind(ReleaseConfig, "release", params).registry)
    return show_from(registry, open_store(bind(ServeConfig, "serve", params).store), release, every=every, console=console or Console())


def show_from(registry: ObjectStore, store: ObjectStore, release: str, *, every: bool, console: Console) -> bool:
    """The same of a registry and the gateway's store."""
    found = explained(DecisionLog(registry, resolved(registry, release)), store)
    console.print(table_of(found, every))
    for line in problem_lines(found):
        console.print(f"[red]{escape(line)}[/]", highlight=False, soft_wrap=True)
    console.print(closing(found), highlight=False)
    return found.is_sound


def table_of(found: Explained, every: bool) -> Table:
    """The log, a line an entry; looks in a row that change nothing share one."""
    table = Table(title=f"release {found.release_id[:12]}", title_justify="left", header_style="dim", box=None, pad_edge=False)
    for name in ("", "when (UTC)", "who", "what", "verdict", "counted"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", ratio=1)
    for run in _runs(found.told, every):
        table.add_row(*_cells(run))
    return table


def _runs(told: Sequence[Told], every: bool) -> Iterator[list[Told]]:
    """Neighbours that tell the same: quiet entries of the same strata and verdict, with nothing wrong."""

    def same(one: Told) -> object:
        entry = one.entry
        return one.entry.seq if every or one.problems or entry.kind not in QUIET else (entry.kind, entry.strata, entry.verdict)

    for _, run in groupby(told, same):
        yield list(run)


def _cells(run: Sequence[Told]) -> list[str]:
    first, last = run[0].entry, run[-1].entry
    numbers = str(last.seq) if len(run) == 1 else f"{first.seq}–{last.seq}"
    verdict = last.verdict or ""
    sign = "[bold red]not derived[/] " if run[-1].problems else "[green]✓[/] " if run[-1].is_derived else ""
    coloured = f"[{COLOURS.get(verdict, 'default')}]{escape(verdict)}[/]" if verdict else ""
    what = " ".join(filter(None, [last.kind, last.group or ", ".join(last.platforms), _weight(last)]))
    return [numbers, f"{last.at:%Y-%m-%d %H:%M:%S}", escape(last.actor), escape(what), sign + coloured, figures(last), escape(last.reason)]


def _weight(entry: Decision) -> str:
    weight = entry.look.weight_percent if entry.look and entry.weight_percent is None else entry.weight_percent
    return "" if weight is None else f"{weight} %"


def figures(entry: Decision) -> str:
    """The counts that an entry stands on, in a few words."""
    if entry.look is not None:
        left_out = entry.look.left_out.get("crossed_users", 0)
        return " v. ".join(f"{count:,} {arm}" for arm, count in sorted(entry.look.users.items())) + (
            f", {left_out:,} in both" if left_out else ""
        )
    if entry.shadow is not None:
        return f"{entry.shadow.num_compared:,} compared, {entry.shadow.num_errors:,} errors"
    if entry.baseline is not None:
        limits = entry.baseline.limits
        return f"{entry.baseline.num_answers:,} answers: {limits.latency_ms:.0f} ms, {limits.score_low:.2f} to {limits.score_high:.2f}"
    return f"{len(entry.inputs):,} files" if entry.inputs else ""


def problem_lines(found: Explained) -> list[str]:
    """What is wrong, the first lines of it."""
    lines = [*found.problems, *(f"entry {one.entry.seq} ({one.entry.kind}): {problem}" for one in found.told for problem in one.problems)]
    return lines[:MAX_PROBLEMS] + ([f"and {len(lines) - MAX_PROBLEMS} more"] if len(lines) > MAX_PROBLEMS else [])


def closing(found: Explained) -> str:
    """The last line."""
    entries, verdicts = len(found.told), sum(one.entry.verdict is not None for one in found.told)
    if found.is_sound:
        return f"\n[green]Every verdict follows from the files[/]: {found.num_derived} of {verdicts} derived again, {entries} entries."
    return (
        f"\n[bold red]Not every verdict follows from the files[/]: {found.num_derived} of {verdicts} derived again, {entries} entries. "
        "A log or a file was changed or removed, or another version of vitrine decided."
    )
