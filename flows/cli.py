"""The command line. Heavy imports stand inside commands, so that `vitrine --help` answers at once."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a marketplace's image encoder and image score fresh and safe.",
)


@app.command("run")
def run_stage(name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.")]) -> None:
    """Run one stage here, as dvc.yaml does."""
    from components.contract import run

    run(name)


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


@app.command()
def retrain() -> None:
    """Run the stages of dvc.yaml that have something to do, as a Prefect flow. Stopped and started again, it goes on where it was."""
    from flows import server, workspace

    with workspace.taken():
        pass  # a folder that cannot be used is told before a server is started; the flow takes it for good
    server.at_hand()
    logging.getLogger().handlers.clear()  # Prefect brings its own, with the stage's name in each line
    from flows.retrain import at_terminal

    raise SystemExit(at_terminal())


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
