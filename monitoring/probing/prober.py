"""One probing, from a bundle and a store to answers in the store."""

import datetime as dt
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow as pa

from components.errors import BadPicture, GatewayFailed
from components.objects import ObjectStore
from components.serve.photo_store import kept_photo
from monitoring.probing.asker import Asker
from monitoring.probing.config import ProbingConfig
from monitoring.probing.kept import keep, kept, key_of, rows_of
from monitoring.probing.known import Known, read_known
from monitoring.probing.questions import Moment, Question, questions
from monitoring.probing.round import Round, prefix_of
from monitoring.probing.written import written

DIGEST = re.compile("[0-9a-f]{64}")

log = logging.getLogger("vitrine")

Now = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """This moment."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Probed:
    """What came of a probing. `rows` are all that the hour's file `key` holds now, `num_before` of them from an earlier probing of that
    hour. Items that had gone and photos that cannot be used are no answers and no failures. `failure` is why it ended early."""

    key: str
    rows: pa.Table
    num_before: int
    num_gone: int
    num_bad_photos: int
    unanswered: Mapping[str, int]
    num_not_asked: int
    num_requests: int
    seconds: float
    failure: GatewayFailed | None

    @property
    def is_whole(self) -> bool:
        """Whether every question was asked and answered."""
        return self.failure is None and not self.unanswered


def probe(
    bundle: Path,
    store: ObjectStore,
    cfg: ProbingConfig,
    client: httpx.Client,
    *,
    now: Now = utc_now,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Probed:
    """Asks the gateway what it has not answered in this hour yet, and keeps the answers. Raises BadBundle, StoreFailed.

    A gateway that fails raises nothing: what it answered is kept, and the rest told."""
    began_s, at, known = clock(), now(), read_known(bundle, cfg.num_anchors)
    log.info("probe: asking %s as release %s", cfg.address, known.release_id[:12])
    key = key_of(at, known.release_id)
    before = kept(store, key)
    asker = Asker(client, known.release_id, known.fingerprint, cfg, clock, sleep)
    one = Round(asker, prefix_of(at), cfg.max_unanswered)
    one.go(_new(known, store, cfg, at, before), lambda: written(store, _since(at, cfg), now()))
    rows = pa.concat_tables([before, rows_of(one.answers, at, known.release_id)])
    if one.answers:
        keep(store, key, rows)
    return _told(one, key, rows, before.num_rows, clock() - began_s)


def _new(known: Known, store: ObjectStore, cfg: ProbingConfig, at: dt.datetime, before: pa.Table) -> Iterator[Question]:
    """The hour's questions that were not answered before. What was written since the hour began is the next hour's."""
    done = set(zip(before["kind"].to_pylist(), before["name"].to_pylist(), strict=True))
    lately = written(store, _since(at, cfg), _hour(at))
    asked = questions(known, lately, lambda image_id: _photo(store, image_id), cfg, Moment(at, cfg.seed))
    return (one for one in asked if (one.kind, one.name) not in done)


def _hour(at: dt.datetime) -> dt.datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _since(at: dt.datetime, cfg: ProbingConfig) -> dt.datetime:
    return _hour(at) - dt.timedelta(hours=cfg.lately_hours)


def _photo(store: ObjectStore, image_id: str) -> bytes:
    if DIGEST.fullmatch(image_id) is None or (data := kept_photo(store, image_id)) is None:
        raise BadPicture("picture_missing", f"the photo {image_id[:12]} is not in the store, or is not what it is named")
    return data


def _told(one: Round, key: str, rows: pa.Table, num_before: int, seconds: float) -> Probed:
    log.info(
        "probe: %d answers, %d of them new, %d unanswered, %d not asked, %d gone, %d bad photos, %d requests, %.1f s",
        *(rows.num_rows, len(one.answers), one.unanswered.total(), one.num_not_asked, one.num_gone, one.num_bad_photos),
        *(one.asker.num_requests, seconds),
    )
    return Probed(
        key=key,
        rows=rows,
        num_before=num_before,
        num_gone=one.num_gone,
        num_bad_photos=one.num_bad_photos,
        unanswered=dict(one.unanswered),
        num_not_asked=one.num_not_asked,
        num_requests=one.asker.num_requests,
        seconds=seconds,
        failure=one.failure,
    )
