"""`vitrine profile`: what params.yaml says in another place, such as production, shown and committed on a branch of its own."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.contract import PARAMS
from components.errors import BadParams, BadWorkspace, Conflict
from flows.git import Entry, Git
from flows.knobs import Knob, differ, turned, value_of
from flows.merged_tree import FILE, edited
from flows.sections import check

PROFILES = Path("profiles")
BRANCH = "profile/"
GIVEN = re.compile(r"\$\{(\w+)\}")
PLAIN = re.compile(r"[^\s@${}]+")  # no address with a password in it: secrets come from the environment


@dataclass(frozen=True)
class Change:
    """A knob that the profile turns, from what params.yaml says now."""

    knob: Knob
    now: object
    then: object


def profile_text(name: str, folder: Path = PROFILES) -> str:
    """The profile's YAML. Raises BadParams for an unknown name, with the nearest known one."""
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise BadParams(f"{folder} has no profile {name!r}{_nearest(name, known)}")
    return known[name].read_text(encoding="utf-8")


def knobs_in(text: str, given: Mapping[str, str], params: Mapping[str, Any], where: str) -> dict[Knob, object]:
    """Every knob of a profile with its value, ${...} replaced by what is given.

    Raises BadParams for a knob that params do not have, what is not given, and what is given and nowhere asked for.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadParams(f"{where} is not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise BadParams(f"{where} must be a mapping of sections, found {type(tree).__name__}")
    asked = sorted({word for _, value in _leaves(tree, params, (), where) for word in _words(value)})
    for word in given:
        if word not in asked:
            raise BadParams(f"--set {word}: {where} asks for nothing of that name{_nearest(word, asked)}")
    if missing := [word for word in asked if word not in given]:
        raise BadParams(f"{where} needs {', '.join(missing)}: add {' '.join(f'--set {word}=...' for word in missing)}")
    return {knob: _filled(value, given) for knob, value in _leaves(tree, params, (), where)}


def _leaves(tree: Mapping[str, Any], params: Mapping[str, Any], above: Knob, where: str) -> Iterator[tuple[Knob, Any]]:
    for key, value in tree.items():
        knob = (*above, str(key))
        if key not in params:
            raise BadParams(f"{where}: params.yaml has no {'.'.join(knob)}{_nearest(str(key), params)}")
        if isinstance(value, dict) and isinstance(params[key], dict) and params[key]:
            yield from _leaves(value, params[key], knob, where)
        else:
            yield knob, value


def _words(value: object) -> list[str]:
    return (
        GIVEN.findall(value)
        if isinstance(value, str)
        else [word for one in value for word in _words(one)]
        if isinstance(value, list)
        else []
    )


def _filled(value: object, given: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_filled(one, given) for one in value]
    return GIVEN.sub(lambda match: given[match[1]], value) if isinstance(value, str) else value


def given_by(options: Iterable[str]) -> dict[str, str]:
    """What `--set NAME=VALUE` gives. Raises BadParams for another form, or a value with white space, braces, $ or @ in it."""
    pairs = [option.partition("=") for option in options]
    for name, _, value in pairs:
        if not PLAIN.fullmatch(value) or not name.isidentifier():
            raise BadParams(
                f"--set {name}: write --set NAME=VALUE, the value without spaces, braces, $ and @; secrets come from the environment"
            )
    return {name: value for name, _, value in pairs}


def changes_of(knobs: Mapping[Knob, object], params: Mapping[str, Any]) -> list[Change]:
    """The knobs that say something else in params, in the profile's order."""
    pairs = ((Change(knob, value_of(params, knob), value)) for knob, value in knobs.items())
    return [change for change in pairs if differ(change.now, change.then)]


@dataclass(frozen=True)
class Plan:
    """What the profile `name` would change, and the params.yaml that comes of it."""

    name: str
    changes: list[Change]
    text: str


def plan(name: str, given: Mapping[str, str], text: str, folder: Path = Path()) -> Plan:
    """The plan for a params.yaml of this text, after every section that changes was held to its Config. Raises BadParams."""
    where, params = f"{PROFILES / name}.yaml", yaml.safe_load(text)
    knobs = knobs_in(profile_text(name, folder / PROFILES), given, params, where)
    changes = changes_of(knobs, params)
    new = turned(text, {change.knob: change.then for change in changes})
    try:
        check(yaml.safe_load(new), dict.fromkeys(change.knob[0] for change in changes), folder)
    except BadParams as error:
        raise BadParams(f"{where}: {error}") from None
    return Plan(name, changes, new)


def committed_text(git: Git) -> str:
    """params.yaml as committed. Raises BadWorkspace where there is none, or where it was changed since."""
    if git.ask("status", "--porcelain", "--", str(PARAMS)):
        raise BadWorkspace(f"{PARAMS} has changes that are not committed: commit or undo them first, so that none is lost or swept in")
    if (data := git.blob("HEAD", f"./{PARAMS}")) is None:
        raise BadWorkspace(f"{PARAMS} is not committed here: run this in the folder that holds it, inside a git repository")
    return data.decode("utf-8")


def commit(git: Git, made: Plan) -> str:
    """The commit that holds the plan on its branch, on top of HEAD. Files stay as they are, unless that branch is checked out.

    Raises Conflict where the branch has commits that HEAD has not.
    """
    branch, head = f"{BRANCH}{made.name}", git.ask("rev-parse", "HEAD")
    ref, path = f"refs/heads/{branch}", git.ask("rev-parse", "--show-prefix") + str(PARAMS)
    old = git.commit_of(ref)
    if old and old != head and not git.is_ancestor(old, head):
        if git.is_ancestor(head, old) and git.blob(old, path) == made.text.encode():
            return old
        raise Conflict(
            f"branch {branch} has commits that HEAD has not: merge or rename it (`git branch -m {branch} OTHER`), then run this again"
        )
    blob = git.ask("hash-object", "-w", "--stdin", data=made.text.encode())
    new = git.ask("commit-tree", edited(git, head, {path: Entry(FILE, blob)}), "-p", head, data=f"Use the {made.name} profile\n".encode())
    if git.run("symbolic-ref", "--quiet", "HEAD").text == ref:
        git.ask("read-tree", "-m", "-u", head, new)  # refuses to go over a change that is not committed
    git.ask("update-ref", "-m", f"vitrine: use the {made.name} profile", ref, new, old or "0" * len(new))
    return new


def show(name: str, options: Iterable[str], dry_run: bool) -> None:
    """Prints what the profile changes and, unless told otherwise, commits it."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    git, console = Git(), Console()
    made = plan(name, given_by(options), committed_text(git))
    if not made.changes:
        console.print(Text(f"params.yaml says all that the {name} profile does: nothing to commit"))
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("knob", "now", "then"):
        table.add_column(title, overflow="fold")
    for change in made.changes:
        table.add_row(*map(Text, (".".join(change.knob), _shown(change.now), _shown(change.then))))
    console.print(table)
    if not dry_run:
        short = commit(git, made)[:12]
        console.print(Text(f"committed as {short} on branch {BRANCH}{name}; this checkout is as it was: `git switch {BRANCH}{name}`"))
    if any(change.knob[:2] == ("ingest", "source") for change in made.changes):
        console.print(
            Text("the source is another one: `vitrine snapshot --commit` there pins what the next run is made from"), soft_wrap=True
        )


def _shown(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(known) or 'none'}"
