"""The edge of `vitrine triton-follow`: beside a Triton server, its model repository is what the channel record asks for.

A repository that were written once would lack every candidate that comes later. Triton, in poll mode, loads what is moved in and lets go of
what is moved out; what a release is called there says which it is, so gateways ask for none but theirs.
"""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.contract import bind, read_params
from components.errors import VitrineError
from components.release.channel import Channel
from components.release.config import ReleaseConfig
from components.release.registry import Registry
from components.serve.config import ServeConfig
from components.serve.inference.repository import Layout, held, write_repository

REPOSITORY, FETCHED, GONE = "repository", ".fetched", ".gone-"

log = logging.getLogger("vitrine")


def follow(folder: Path, backend: str, instances: int, *, once: bool) -> None:
    """Works until it is told to end; with `once`, until the stable release's models are there."""
    from flows.triton_repository import layout_of

    params = read_params()
    cfg, registry = bind(ServeConfig, "serve", params), Registry.open(bind(ReleaseConfig, "release", params).registry)
    here = Follower(folder, registry, layout_of(cfg.inference, backend, instances), cfg.index.keep_generations, cfg.channel.linger_s)
    while not (here.look() and once):
        time.sleep(cfg.channel.retry_s if here.refused else cfg.channel.poll_s)


def wanted(channel: Channel, num_previous: int) -> list[str]:
    """Releases that gateways may ask for, the stable one first, then the candidate, then those to go back to."""
    candidate = [channel.candidate.release_id] if channel.candidate else []
    return [release_id for release_id in (channel.stable, *candidate, *channel.previous[:num_previous]) if release_id]


@dataclass
class Follower:
    """`folder` holds the repository, and what is on its way. A release stays `linger_s` after it was wanted last: a gateway may be behind.
    `refused` says why a release is not there; each reason is logged once."""

    folder: Path
    registry: Registry
    layout: Layout
    num_previous: int
    linger_s: float
    now: Callable[[], float] = time.monotonic
    refused: dict[str, str] = field(default_factory=dict)
    _wanted_s: dict[str, float] = field(default_factory=dict)

    def look(self) -> bool:
        """Whether the stable release's models are there, after what was missing came and what nobody wants any more went."""
        try:
            channel, _ = self.registry.channel()
        except VitrineError as error:  # the repository stays as it is
            self._tell("", error)
            return False
        self.refused.pop("", None)
        names = wanted(channel, self.num_previous)
        self.refused = {release_id: why for release_id, why in self.refused.items() if release_id in names}
        self._wanted_s |= dict.fromkeys(names, self.now())
        for release_id in names:
            if release_id not in held(self.folder / REPOSITORY):
                self._bring(release_id)
        self._let_go(names)
        return channel.stable in held(self.folder / REPOSITORY)

    def _bring(self, release_id: str) -> None:
        try:
            bundle = self.registry.fetch(release_id, self.folder / FETCHED)
            for name in write_repository(bundle, self.folder / REPOSITORY, self.layout):
                log.info("triton: %s is there", name)
            shutil.rmtree(bundle)
            self.refused.pop(release_id, None)
        except VitrineError as error:
            self._tell(release_id, error)

    def _let_go(self, names: Sequence[str]) -> None:
        for release_id, models in held(self.folder / REPOSITORY).items():
            since_s = self.now() - self._wanted_s.setdefault(release_id, self.now())
            if release_id in names or since_s <= self.linger_s:
                continue
            gone = Path(tempfile.mkdtemp(dir=self.folder, prefix=GONE))
            for model in models:
                os.rename(model, gone / model.name)  # in one step: the server never sees half of one
                log.info("triton: %s is gone", model.name)
            shutil.rmtree(gone)

    def _tell(self, release_id: str, error: VitrineError) -> None:
        if self.refused.get(release_id) != str(error):
            log.warning("triton: %s: %s", release_id[:12] or "the channel record", error)
        self.refused[release_id] = str(error)
