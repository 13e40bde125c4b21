"""From bytes to answers: each picture is decoded once for all models, a bad row fails alone, and what did harm is not tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.images import to_square
from components.ingest.decode import measure
from components.serve.pictures.recent import Latest, afresh
from components.serve.pictures.seen import Pictures, Seen
from components.serve.problems import Refused
from components.towers import Serving
from tests.picture_files import REFUSED, encoded, scene
from tests.serve.picture_pool import pictures_config, together
from tests.serve.poison_worker import COMMAND

SOUND = encoded(scene())
RED = encoded(Image.new("RGB", (64, 64), (255, 0, 0)), "PNG")


class MeanColour:
    """A model whose vector is the square's mean colour; red breaks it, as a real one is broken by some picture or other."""

    def __init__(self, fingerprint: str = "one", image_px: int = 32, breaks_on_red: bool = True) -> None:
        self.serving = Serving(fingerprint, 3, image_px, 16, 0, "fp32", "")
        self.breaks_on_red, self.num_asked, self.gate = breaks_on_red, 0, asyncio.Event()
        self.gate.set()

    async def embed_square(self, square: np.ndarray) -> tuple[np.ndarray, float]:
        self.num_asked += 1
        await self.gate.wait()
        assert square.shape == (self.serving.image_px, self.serving.image_px, 3)
        colour = square.mean((0, 1)).astype(np.float32)
        if self.breaks_on_red and colour[0] > 250 and colour[1] < 5:
            raise Refused("picture_poisonous", "the model gives no number for this picture")
        return colour / np.linalg.norm(colour), float(colour.mean() / 255)

    async def embed_texts(self, texts):
        raise NotImplementedError

    async def close(self) -> None:
        return None


@asynccontextmanager
async def pictures_in(state: Path, *, max_bytes: int = 2**20, **changes) -> AsyncIterator[Pictures]:
    pictures = await Pictures.open(pictures_config(**changes), state, max_bytes=max_bytes, command=COMMAND)
    try:
        yield pictures
    finally:
        await pictures.close()


def test_a_picture_is_seen_by_two_models_after_one_decoding(tmp_path):
    async def run():
        small, large = MeanColour("small", 16), MeanColour("large", 48)
        async with pictures_in(tmp_path) as pictures:
            seen = await pictures.see(SOUND, [small, large], want_stats=True)
            return seen, pictures.decoder.figures()["decoded"]

    seen, num_decoded = asyncio.run(run())
    wanted = measure(SOUND)
    assert (seen.width, seen.height, seen.stats, num_decoded) == (wanted.width, wanted.height, wanted.stats, 1)
    for name, side in (("small", 16), ("large", 48)):
        colour = to_square(SOUND, side).mean((0, 1)).astype(np.float32)
        assert np.array_equal(seen.answers[name][0], colour / np.linalg.norm(colour))
    assert seen.refused == {}


def test_each_row_of_a_batch_is_answered_or_refused_for_itself(tmp_path):
    rows = [SOUND, REFUSED["picture_truncated"]["jpeg half"], RED, b"do:crash", encoded(scene(number=9)), b"", b"do:spin", bytes(2**20 + 1)]

    async def run():
        async with pictures_in(tmp_path) as pictures:
            return await pictures.see_all(rows, [MeanColour()])

    found = asyncio.run(run())
    assert [one.code if isinstance(one, Refused) else "seen" for one in found] == [
        "seen", "picture_truncated", "picture_poisonous", "picture_poisonous", "seen", "picture_empty", "picture_too_slow",
        "picture_too_many_bytes",
    ]  # fmt: skip


def test_what_broke_a_worker_is_refused_next_time_before_anything_touches_it_and_after_a_restart(tmp_path):
    model = MeanColour()

    async def run():
        async with pictures_in(tmp_path) as pictures:
            await together(pictures.see(b"do:crash", [model]), pictures.see(b"do:spin", [model]))
            before = pictures.decoder.figures()
            codes = [one.code for one in await pictures.see_all([b"do:crash", b"do:spin"], [model])]
            assert pictures.decoder.figures() == before
            assert sorted(entry.cause for entry in pictures.register.entries()) == ["hung", "killed by SIGSEGV"]
        async with pictures_in(tmp_path) as pictures:
            codes += [one.code for one in await pictures.see_all([b"do:crash", b"do:spin"], [model])]
            assert pictures.decoder.figures()["lost"] == 0
            crashed = next(entry.image_id for entry in pictures.register.entries() if entry.cause != "hung")
            assert pictures.register.kept(crashed) == b"do:crash"
        return codes

    assert asyncio.run(run()) == ["picture_quarantined"] * 4


def test_a_picture_that_breaks_one_model_is_still_seen_by_the_other(tmp_path):
    candidate, stable = MeanColour("candidate"), MeanColour("stable", breaks_on_red=False)

    async def run():
        async with pictures_in(tmp_path) as pictures:
            first = await pictures.see(RED, [candidate, stable])
            second = await pictures.see(RED, [candidate, stable])
            with pytest.raises(Refused, match="picture_quarantined"):
                await pictures.see(RED, [candidate])
        return first, second

    first, second = asyncio.run(run())
    assert [one.refused["candidate"].code for one in (first, second)] == ["picture_poisonous", "picture_quarantined"]
    assert list(first.answers) == list(second.answers) == ["stable"]
    assert candidate.num_asked == 1


def test_a_model_that_is_overloaded_or_gone_puts_nothing_into_quarantine(tmp_path):
    class Gone(MeanColour):
        async def embed_square(self, square):
            raise Refused(self.serving.fingerprint, "not now")

    async def run():
        async with pictures_in(tmp_path) as pictures:
            for code in ("overloaded", "inference_failed"):
                with pytest.raises(Refused, match=code):
                    await pictures.see(SOUND, [Gone(code)])
            return pictures.register.entries()

    assert asyncio.run(run()) == []


def test_equal_pictures_in_a_batch_are_worked_on_once_and_so_are_those_seen_a_moment_ago(tmp_path):
    model = MeanColour()

    async def run():
        async with pictures_in(tmp_path) as pictures:
            found = await pictures.see_all([SOUND] * 20, [model], want_stats=True)
            assert (model.num_asked, pictures.decoder.figures()["decoded"]) == (1, 1)
            again = await pictures.see(SOUND, [model], want_stats=True)
            assert (model.num_asked, pictures.decoder.figures()["decoded"]) == (1, 1)
            return [*found, again]

    first, *others = asyncio.run(run())
    assert all(one.stats == first.stats and np.array_equal(one.answers["one"][0], first.answers["one"][0]) for one in others)
    assert not first.answers["one"][0].flags.writeable


def test_statistics_that_were_not_wanted_at_first_are_measured_when_they_are(tmp_path):
    model = MeanColour()

    async def run():
        async with pictures_in(tmp_path) as pictures:
            return [(await pictures.see(SOUND, [model], want_stats=wanted)).stats for wanted in (False, True, False, True)]

    plain, first, without, again = asyncio.run(run())
    assert plain is None
    assert without is None
    assert first == again == measure(SOUND).stats
    assert model.num_asked == 1


def test_a_check_that_asks_afresh_reaches_the_model(tmp_path):
    model = MeanColour()

    async def run():
        async with pictures_in(tmp_path) as pictures:
            await pictures.see(SOUND, [model])
            with afresh():
                await asyncio.gather(pictures.see(SOUND, [model]))
            await pictures.see(SOUND, [model])
            return model.num_asked, pictures.decoder.figures()["decoded"]

    assert asyncio.run(run()) == (2, 2)


def test_nothing_is_remembered_where_nothing_should_be_and_no_more_than_allowed(tmp_path):
    model = MeanColour()

    async def run():
        async with pictures_in(tmp_path, remembered=0) as pictures:
            for _ in range(2):
                await pictures.see(SOUND, [model])

    asyncio.run(run())
    assert model.num_asked == 2
    latest = Latest(2)
    for number in (1, 2, 3):
        latest.put(number, number)
        latest.get(2)
    latest.put(4, 4)
    assert [latest.get(number) for number in (1, 2, 3, 4)] == [None, 2, None, 4]
    assert len(latest) == 2


def test_one_asker_who_leaves_does_not_take_the_answer_from_the_other_and_the_last_one_ends_the_work(tmp_path):
    model = MeanColour()
    model.gate.clear()

    async def run():
        async with pictures_in(tmp_path) as pictures:
            leaving, staying = (asyncio.create_task(pictures.see(SOUND, [model])) for _ in range(2))
            while not model.num_asked:
                await asyncio.sleep(0.01)
            leaving.cancel()
            await together(leaving)
            model.gate.set()
            assert isinstance(await staying, Seen)
            model.gate.clear()
            alone = asyncio.create_task(pictures.see(RED, [model]))
            await asyncio.sleep(0.1)
            alone.cancel()
            await together(alone)
            await asyncio.sleep(0)
            model.gate.set()
            assert [one.get_name() for one in asyncio.all_tasks() if "_look" in str(one.get_coro())] == []

    asyncio.run(run())


def test_an_asker_who_leaves_does_not_spare_a_picture_that_hangs(tmp_path):
    async def run():
        async with pictures_in(tmp_path) as pictures:
            leaving = asyncio.create_task(pictures.see(b"do:spin", [MeanColour()]))
            await asyncio.sleep(0.3)
            leaving.cancel()
            await together(leaving)
            async with asyncio.timeout(60):
                while not pictures.register.entries():
                    await asyncio.sleep(0.05)

    asyncio.run(run())


def test_a_picture_may_have_just_so_many_bytes(tmp_path):
    async def run():
        async with pictures_in(tmp_path, max_bytes=len(SOUND)) as pictures:
            assert isinstance(await pictures.see(SOUND, [MeanColour()]), Seen)
            with pytest.raises(Refused, match=f"picture_too_many_bytes: {len(SOUND) + 1} bytes, limit {len(SOUND)}"):
                await pictures.see(SOUND + b"\0", [MeanColour()])
            with pytest.raises(Refused, match="picture_too_many_bytes"):
                await pictures.decode(SOUND + b"\0", [32])

    asyncio.run(run())


def test_squares_can_be_had_without_a_model_behind_the_same_quarantine(tmp_path):
    async def run():
        async with pictures_in(tmp_path) as pictures:
            decoded = await pictures.decode(SOUND, [24], want_stats=True)
            assert np.array_equal(decoded.squares[24], to_square(SOUND, 24))
            for code in ("picture_poisonous", "picture_quarantined"):
                with pytest.raises(Refused, match=code):
                    await pictures.decode(b"do:crash", [24])

    asyncio.run(run())


def test_a_model_that_raises_what_it_should_not_fails_its_row_only(tmp_path, caplog):
    class Broken(MeanColour):
        async def embed_square(self, square):
            if square.mean() > 200:
                raise ZeroDivisionError
            return await super().embed_square(square)

    white = encoded(Image.new("RGB", (64, 64), "white"))

    async def run():
        async with pictures_in(tmp_path) as pictures:
            return await pictures.see_all([white, SOUND], [Broken()])

    failed, sound = asyncio.run(run())
    assert failed.code == "internal"
    assert isinstance(sound, Seen)
    assert "ZeroDivisionError" in caplog.text
