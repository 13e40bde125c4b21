"""The command line. Heavy imports stand inside commands, so that `vitrine --help` answers at once."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.drift_cli import drift
from flows.release_cli import release

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a marketplace's image encoder and image score fresh and safe.",
)


app.add_typer(drift, name="drift")
app.add_typer(release, name="release")


Wait = Annotated[
    float | None,
    typer.Option("--wait", metavar="SECONDS", help="For another process at work here; workspace.wait_s unless given, 0: fail."),
]


@app.command("run")
def run_stage(name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.")], wait: Wait = None) -> None:
    """Run one stage here, as dvc.yaml does."""
    from components.contract import run
    from flows.workspace import wait_limit

    run(name, wait_limit(wait))


source = typer.Typer(no_args_is_help=True, help="Choose what the next run is made from: writes params.yaml and data/snapshot.json.")
app.add_typer(source, name="source")


@source.command("simulate")
def source_simulate() -> None:
    """The simulated market: needs no data."""
    from flows.snapshot import use_simulated

    use_simulated()


@source.command("folder")
def source_folder(
    path: Annotated[str, typer.Argument(help="Folder that holds the photos; written to params.yaml as typed.")],
    csv: Annotated[str, typer.Option(help="CSV of the listings in that folder.")] = "listings.csv",
) -> None:
    """A folder of photos beside a CSV; ingest.columns in params.yaml says which column holds what."""
    from flows.snapshot import use_folder

    use_folder(path, csv)


@source.command("events")
def source_events(
    path: Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix of the events; written to params.yaml as typed.")],
) -> None:
    """What a shop upserts and logs, in dated parquet partitions; see docs/events.md."""
    from flows.snapshot import use_events

    use_events(path)


@source.command("parquet")
def source_parquet(
    path: Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix of the tables; written to params.yaml as typed.")],
) -> None:
    """A shop's own tables as parquet files; ingest.columns and ingest.tables in params.yaml map them, see docs/tables.md."""
    from flows.snapshot import use_tables

    use_tables(path)


@app.command()
def snapshot(
    as_of: Annotated[str | None, typer.Option(help="Take rows until this time only, such as 2026-01-31 (UTC).")] = None,
    stable: Annotated[Path | None, typer.Option(help="Bundle that candidates are compared with from now on.")] = None,
    commit: Annotated[bool, typer.Option(help="Commit data/snapshot.json, data/history.json and params.yaml, nothing else.")] = False,
) -> None:
    """Pin what the next run is made from: the source that params.yaml names, as it is now. Prints what is new since the last time."""
    from flows.snapshot import take

    taken = take(as_of, stable, commit)
    for line in taken.news.lines:
        typer.echo(line)
    for warning in taken.news.warnings:
        typer.secho(f"warning: {warning}", fg="yellow", err=True)


@app.command()
def simulate(
    path: Annotated[str, typer.Argument(help="Folder or s3://bucket/prefix to write to.")],
    start: Annotated[str | None, typer.Option("--from", help="First day, such as 2026-01-01; else the day after the last.")] = None,
    days: Annotated[int, typer.Option(min=1, help="How many days.")] = 1,
) -> None:
    """Write what the simulated shop upserts and logs day by day, as a source of events. The same day twice gives the same bytes."""
    from flows.days import write_days

    write_days(path, start, days)


@app.command()
def retrain(
    wait: Wait = None,
    work_pools: Annotated[
        bool, typer.Option("--work-pools", help="Each stage on the pool that its meta names; needs a Prefect server.")
    ] = False,
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Begin with the data as they are now, committed.")] = False,
) -> None:
    """Run the stages of dvc.yaml that have something to do, as a Prefect flow. Stopped and started again, it goes on where it was."""
    from flows import server, workspace

    with workspace.taken(wait_s=workspace.wait_limit(wait)):
        pass  # a folder that cannot be used is told before a server is started; the flow takes it for good
    if work_pools:
        server.check_configured()
    server.at_hand()
    logging.getLogger().handlers.clear()  # Prefect brings its own, with the stage's name in each line
    from flows.retrain import at_terminal

    raise SystemExit(at_terminal(wait, work_pools, snapshot))


@app.command("train-node")
def train_on_this_node() -> None:
    """Be one process of a training on several machines: the environment says which, see docs/training.md. Rank 0 runs the stage."""
    from flows.train_node import train_node

    train_node()


@app.command("profile")
def use_profile(
    name: Annotated[str, typer.Argument(help="A file of profiles/: production, or demo for the way back.")],
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="What the profile asks for, as bucket=my-shop.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show only.")] = False,
) -> None:
    """Show what a profile changes in params.yaml, and commit it on the branch profile/NAME; no file of this checkout changes."""
    from flows.profile import show

    show(name, given or (), dry_run)


@app.command()
def validate(
    explain: Annotated[bool, typer.Option("--explain", help="Five rows of each gate that failed, and what usually causes it.")] = False,
) -> None:
    """Hold the tables that are there to their gates; changes nothing, ends with 1 where one fails."""
    from flows.validate import show

    raise SystemExit(0 if show(explain) else 1)


key = typer.Typer(no_args_is_help=True, help="API keys of the gateway; see docs/access.md.")
app.add_typer(key, name="key")


@key.command("create")
def key_create(
    scope: Annotated[list[str], typer.Option(help="read, write, admin or probe; once for each, none implies another.")],
    rate: Annotated[float | None, typer.Option(help="Requests a second; serve.access.new_key unless given.")] = None,
    burst: Annotated[int | None, typer.Option(min=1, help="Requests at once; serve.access.new_key unless given.")] = None,
    note: Annotated[str, typer.Option(help="Who uses it.")] = "",
    expires: Annotated[str | None, typer.Option(help="First day, in UTC, on which it is refused, such as 2027-01-31.")] = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    from flows.keys import create

    typer.echo(create(scope, rate, burst, note, expires))


@key.command("list")
def key_list() -> None:
    """Show the keys that there are, without what they are compared with."""
    from flows.keys import show

    show()


@key.command("revoke")
def key_revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The part of the key between the underscores.")]) -> None:
    """Refuse a key from now on; a gateway that runs does so within a second."""
    from flows.keys import withdraw

    typer.echo(f"revoked in {withdraw(key_id)}")


@app.command()
def explain(
    release: Annotated[str, typer.Argument(help="Digest of the release, or how it begins.")],
    every: Annotated[bool, typer.Option("--every", help="A line for each look, those that changed nothing too.")] = False,
) -> None:
    """Show what was decided on a release, and reach each verdict again from the files it stands on; ends with 1 where one cannot be."""
    from flows.explain import show

    raise SystemExit(0 if show(release, every=every) else 1)


@app.command()
def similar(
    item_id: Annotated[str | None, typer.Argument(help="An item of the bundle.")] = None,
    text: Annotated[str | None, typer.Option(help="Words to look for instead.")] = None,
    photo: Annotated[Path | None, typer.Option(help="A picture file to look for instead.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also draw the finds, as a PNG; their photos come from the workspace.")] = None,
    num: Annotated[int, typer.Option(min=1, max=100, help="How many finds.")] = 10,
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle; the workspace's own unless given.")] = None,
) -> None:
    """Show the items most similar to an item, a text or a photo, as the bundle answers."""
    from flows.similar import show

    show(item_id, text, photo, sheet, num, bundle)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback only with API keys, see `vitrine key`.")
    ] = "127.0.0.1",
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle; the workspace's own unless given.")] = None,
) -> None:
    """Serve similar items and image scores over HTTP, with a page to look at them, from a copy of the bundle."""
    from flows.serve import serve

    serve(host, port, bundle)


@app.command("show")
def show_releases(
    seed: Annotated[int | None, typer.Option(min=0, help="Of the shoppers and of the bad release; show.seed unless given.")] = None,
    fault: Annotated[
        str | None, typer.Option(help="The bad release: shuffled, preprocessing or slow; chosen by the seed unless given.")
    ] = None,
) -> None:
    """Play three releases before simulated shoppers: one becomes stable, a better one climbs, a bad one goes back."""
    from flows.show import show

    show(seed, fault)


@app.command("triton-repository")
def triton_repository(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Model repository to write to; models of other bundles in it stay.")],
    backend: Annotated[str, typer.Option(help="onnxruntime, or python, which needs numpy and onnxruntime beside it.")] = "onnxruntime",
    instances: Annotated[int, typer.Option(min=1, help="Of each model.")] = 1,
) -> None:
    """Write a bundle's towers as a model repository for a Triton server; serve.inference.backend: triton then asks that server."""
    from flows.triton_repository import write

    for name in write(bundle, folder, backend, instances):
        typer.echo(f"wrote {folder / name}")


@app.command("triton-follow")
def triton_follow(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of its own; the model repository is DIR/repository.")],
    backend: Annotated[str, typer.Option(help="As of triton-repository.")] = "onnxruntime",
    instances: Annotated[int, typer.Option(min=1, help="Of each model.")] = 1,
    once: Annotated[bool, typer.Option("--once", help="End once the stable release's models are there.")] = False,
) -> None:
    """Keep a Triton server's model repository at what the channel record asks for: stable release, candidate, and those to go back to."""
    from flows.triton_follow import follow

    follow(folder, backend, instances, once=once)


def main() -> None:
    """Entry point of `vitrine`: errors a user can act on are printed without a traceback and exit with 1."""
    sys.path.insert(0, os.getcwd())  # a stage runs the code of the workspace it stands in, which is what DVC hashed
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("vitrine").setLevel(logging.INFO)
    from components.errors import VitrineError

    try:
        app()
    except VitrineError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        raise SystemExit(1) from None
