"""The edge of `vitrine drift probe`: the gateway that params.yaml names, or another, asked what a bundle knows the answers to."""

import os
from collections.abc import Callable
from pathlib import Path

import typer

from components.contract import bind, read_params
from components.errors import GatewayFailed
from components.objects import open_store
from components.release.gateways import KEY
from flows.drift_watch import stable_of
from monitoring.probing.asker import client_of
from monitoring.probing.config import ProbingConfig
from monitoring.probing.prober import Probed, probe
from monitoring.probing.summary import lines


def probed(bundle: Path | None = None, address: str | None = None) -> Probed:
    """What came of one probing; the stable release, or the workspace's bundle without a channel record, and the address of params.yaml
    unless given. Raises VitrineError where it cannot begin; a gateway that fails is told of in what comes back."""
    params = read_params()
    cfg = bind(ProbingConfig, "probing", params.get("monitor", {}))
    if address:
        cfg = cfg.model_copy(update={"address": address.rstrip("/")})
    with client_of(cfg, os.environ.get(KEY)) as client:
        return probe(bundle or stable_of(params)[0], open_store(params["serve"]["store"]), cfg, client)


def summed_up(found: Probed, say: Callable[[str], object]) -> list[str]:
    """The lines that were said of one probing. Raises GatewayFailed, once what was answered is kept, where the gateway left questions
    open."""
    told = lines(found)
    for line in told:
        say(line)
    if found.failure is not None:
        raise found.failure
    if found.unanswered:
        raise GatewayFailed(f"{sum(found.unanswered.values())} questions stay unanswered; the same command in this hour asks them again")
    return told


def probe_at_terminal(bundle: Path | None = None, address: str | None = None) -> None:
    """Prints what came of one probing. Raises GatewayFailed where the gateway left questions open."""
    summed_up(probed(bundle, address), typer.echo)
