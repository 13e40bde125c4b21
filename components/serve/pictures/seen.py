"""From a picture's bytes to what each model says of it: limits, quarantine, one decoding for all models, each model once."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.images import MAX_PICTURE_BYTES
from components.serve.inference.backend import Inference
from components.serve.pictures.config import PicturesConfig
from components.serve.pictures.decoder import Decoder
from components.serve.pictures.guarded import COMMAND, Decoded
from components.serve.pictures.poison import Register
from components.serve.pictures.recent import Answer, Facts, Recent, is_afresh
from components.serve.problems import Refused

AT_ONCE = 16  # rows of one batch, so that no batch fills the decoder's queue
HASHED_AT_ONCE = 256 * 1024  # bytes; more is hashed on a thread

log = logging.getLogger("vitrine")

Key = tuple[str, tuple[str, ...], bool, bool]


@dataclass(frozen=True)
class Seen:
    """A picture as models see it: width and height upright in px, and schema.STATS where they were wanted.

    `answers` holds, by fingerprint, the (K,) float32 unit vector and the Image Score in [0, 1]; `refused` says why a model gave none.
    """

    image_id: str
    width: int
    height: int
    stats: Mapping[str, float] | None
    answers: Mapping[str, Answer]
    refused: Mapping[str, Refused] = field(default_factory=dict)


@dataclass
class Flight:
    """A picture that is being looked at, and how many wait for it."""

    task: asyncio.Task[Seen]
    num_waiting: int = 0


class Pictures:
    """The way in for pictures; open() makes one."""

    def __init__(self, decoder: Decoder, register: Register, *, max_bytes: int, remembered: int) -> None:
        self.decoder, self.register = decoder, register
        self._max_bytes = min(max_bytes, MAX_PICTURE_BYTES)
        self._recent = Recent(remembered)
        self._flights: dict[Key, Flight] = {}

    @classmethod
    async def open(cls, cfg: PicturesConfig, state: Path, *, max_bytes: int, command: Sequence[str] = COMMAND) -> "Pictures":
        """Pictures with workers that are ready, and the quarantine of the folder `state`. Raises VitrineError, OSError."""
        register = await asyncio.to_thread(
            lambda: Register(state, max_entries=cfg.max_quarantined, max_kept=cfg.max_kept, max_kept_mib=cfg.max_kept_mib)
        )

        async def condemn(data: bytes, cause: str) -> None:
            await register.condemn(await image_id_of(data), data, cause)

        decoder = await Decoder.open(cfg, condemn=condemn, command=command)
        return cls(decoder, register, max_bytes=max_bytes, remembered=cfg.remembered)

    async def see(self, data: bytes, inferences: Sequence[Inference], *, want_stats: bool = False) -> Seen:
        """What each model says of the picture, which is decoded once. The same bytes in flight are worked on once.

        Raises Refused: picture_quarantined, a reason of docs/quarantine.md, and what every model refused it for where none answers.
        """
        image_id = await self._admitted(data)
        key = (image_id, tuple(one.serving.fingerprint for one in inferences), want_stats, is_afresh())
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(asyncio.create_task(self._look(image_id, data, inferences, want_stats)))
        flight.num_waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.num_waiting -= 1
            if not flight.num_waiting:
                flight.task.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

    async def see_all(self, rows: Sequence[bytes], inferences: Sequence[Inference], *, want_stats: bool = False) -> list[Seen | Refused]:
        """For each row, in order, what see() returns or raises: a bad row fails alone."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(data: bytes) -> Seen | Refused:
            async with room:
                try:
                    return await self.see(data, inferences, want_stats=want_stats)
                except Refused as refused:
                    return refused
                except Exception:
                    log.exception("pictures: a row of a batch failed")
                    return Refused("internal", "this row could not be worked on")

        return await asyncio.gather(*(one(data) for data in rows))

    async def decode(self, data: bytes, sides_px: Sequence[int], *, want_stats: bool = False) -> Decoded:
        """The picture's squares by side, behind the same limits and quarantine. Raises Refused."""
        await self._admitted(data)
        return await self.decoder.decode(data, sides_px, want_stats)

    async def close(self) -> None:
        """Ends what is in flight, and the workers."""
        flights = [flight.task for flight in self._flights.values()]
        for task in flights:
            task.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self.decoder.close()

    async def _admitted(self, data: bytes) -> str:
        if len(data) > self._max_bytes:
            raise Refused("picture_too_many_bytes", f"{len(data)} bytes, limit {self._max_bytes}")
        image_id = await image_id_of(data)
        self.register.check(image_id)
        return image_id

    async def _look(self, image_id: str, data: bytes, inferences: Sequence[Inference], want_stats: bool) -> Seen:
        models = {one.serving.fingerprint: one for one in inferences}
        answers = {name: known for name in models if (known := self._recent.answer(image_id, name))}
        refused = {name: found for name in models if (found := self._quarantined(image_id, name))}
        missing = [one for name, one in models.items() if name not in answers and name not in refused]
        facts = self._recent.facts(image_id, want_stats)
        if missing or facts is None:
            decoded = await self.decoder.decode(data, [one.serving.image_px for one in missing], want_stats)
            facts = Facts(decoded.width, decoded.height, decoded.stats)
            outcomes = await asyncio.gather(*(self._embed(image_id, data, decoded, one) for one in missing))
            named = {one.serving.fingerprint: outcome for one, outcome in zip(missing, outcomes, strict=True)}
            refused |= {name: outcome for name, outcome in named.items() if isinstance(outcome, Refused)}
            fresh = {name: outcome for name, outcome in named.items() if not isinstance(outcome, Refused)}
            self._recent.keep(image_id, facts, fresh)
            answers |= fresh
        if refused and not answers:
            raise next(iter(refused.values()))
        return Seen(image_id, facts.width, facts.height, facts.stats if want_stats else None, answers, refused)

    async def _embed(self, image_id: str, data: bytes, decoded: Decoded, inference: Inference) -> Answer | Refused:
        try:
            return await inference.embed_square(decoded.squares[inference.serving.image_px])
        except Refused as refused:
            if (
                refused.code == "picture_poisonous"
            ):  # for this model only: a broken candidate must not take pictures from the stable release
                await self.register.condemn(image_id, data, refused.detail, inference.serving.fingerprint)
            return refused

    def _quarantined(self, image_id: str, fingerprint: str) -> Refused | None:
        try:
            self.register.check(image_id, fingerprint)
        except Refused as refused:
            return refused
        return None


async def image_id_of(data: bytes) -> str:
    """sha256 of the bytes, in hex."""
    if len(data) > HASHED_AT_ONCE:
        return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    return hashlib.sha256(data).hexdigest()
