"""The guarded place: pictures come out as `components.images` makes them, and a picture that breaks a worker breaks nothing else."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvloop

from components import images
from components.errors import VitrineError
from components.images import to_square
from components.ingest.decode import measure
from components.serve.pictures.guarded import Decoded
from components.serve.problems import Refused
from tests.picture_files import CONVERTED, REFUSED, encoded, scene
from tests.serve.picture_pool import opened, together

SOUND = encoded(scene())


def alive(pids):
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_squares_sizes_and_statistics_are_those_of_ingest_and_of_images():
    async def run():
        async with opened() as decoder:
            for kind, (data, _) in CONVERTED.items():
                found, wanted = await decoder.decode(data, (32, 224), True), measure(data)
                assert (found.width, found.height, found.stats) == (wanted.width, wanted.height, wanted.stats), kind
                assert list(found.squares) == [32, 224]
                for side, square in found.squares.items():
                    assert np.array_equal(square, to_square(data, side)), kind

    asyncio.run(run())


def test_every_kind_of_bad_picture_is_refused_by_its_code_and_costs_no_worker():
    async def run():
        async with opened() as decoder:
            before = set(decoder.pids)
            for reason, files in REFUSED.items():
                for kind, data in files.items():
                    with pytest.raises(Refused) as refused:
                        await decoder.decode(data, (32,), True)
                    assert (refused.value.code, refused.value.kind.status) == (reason, 422), kind
            assert set(decoder.pids) == before

    asyncio.run(run())


def test_a_worker_is_given_nothing_of_the_gateway(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    async def run():
        with open(__file__) as _:
            async with opened() as decoder:
                with pytest.raises(Refused) as refused:
                    await decoder.decode(b"do:tell", (), False)
        return json.loads(refused.value.detail)

    told = asyncio.run(run())
    assert set(told["env"]) <= {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LANG", "LC_CTYPE",
                                "LD_LIBRARY_PATH"}  # fmt: skip
    assert told["files"] == ["/dev/null", "/dev/null", "/dev/null", "/memfd:picture", "socket"]
    assert told["limits"] | {"NOFILE": 0} == {"DATA": 512 * 2**20, "NOFILE": 0, "FSIZE": 0, "CORE": 0, "NPROC": 0}
    assert told["limits"]["NOFILE"] < 16
    assert told["session"] != os.getsid(0)


@pytest.mark.parametrize(
    ("order", "code", "cause"),
    [
        (b"do:spin", "picture_too_slow", "hung"),
        (b"do:crash", "picture_poisonous", "killed by SIGSEGV"),
        (b"do:eat", "picture_poisonous", "memory"),
        (b"do:fail", "picture_poisonous", "KeyError: 'a bug'"),
        (b"do:cut", "picture_poisonous", "PermissionError: [Errno 1] Operation not permitted"),
        (b"do:lie", "picture_poisonous", "an answer that cannot be read"),
    ],
)
def test_a_picture_that_breaks_a_worker_is_condemned_after_a_second_try_and_the_others_are_answered(order, code, cause):
    condemned = []

    async def run():
        async with opened(condemned=condemned) as decoder:
            before = decoder.pids
            bad, *good = await together(decoder.decode(order, (32,), False), *(decoder.decode(SOUND, (32,), False) for _ in range(40)))
            assert all(isinstance(one, Decoded) for one in good)
            assert (bad.code, bad.kind.status) == (code, 422)
            assert decoder.figures()["lost"] == decoder.figures()["condemned"] == 1
            await decoder.decode(SOUND, (32,), False)
            assert len(alive(before)) < len(before)

    asyncio.run(run())
    assert condemned == [(order, cause)]


def test_a_picture_that_was_slow_only_once_is_answered_and_not_condemned():
    condemned = []

    async def run():
        async with opened(condemned=condemned) as decoder:
            order = f"do:sleep_until {time.time() + 0.9}".encode()
            assert (await decoder.decode(order, (32,), False)).width == 1
            assert decoder.figures()["acquitted"] == 1

    asyncio.run(run())
    assert condemned == []


def test_a_trial_holds_other_pictures_up_for_a_moment_only():
    async def run():
        async with opened(timeout_s=2.5) as decoder:
            hanging = asyncio.create_task(decoder.decode(b"do:spin", (8,), False))
            while not decoder.figures()["lost"]:
                await asyncio.sleep(0.05)
            waited_s = 0.0
            while waited_s < 0.2:  # until the trial's worker has started
                began = time.monotonic()
                await decoder.decode(SOUND, (32,), False)
                waited_s = time.monotonic() - began
                assert not hanging.done()  # QUIET_S is 2, the trial takes about 3
            await together(hanging)

    asyncio.run(run())


def test_workers_that_were_killed_while_idle_are_replaced_and_no_picture_is_blamed():
    condemned = []

    async def run():
        async with opened(condemned=condemned) as decoder:
            before = set(decoder.pids)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            found = await asyncio.gather(*(decoder.decode(SOUND, (32,), False) for _ in range(20)))
            assert len(found) == 20
            assert not before & set(decoder.pids)

    asyncio.run(run())
    assert condemned == []


DEAF = """
import os, socket, sys
from tests.serve import poison_worker
number = len(os.listdir({folder!r}))
open(f"{folder}/{{number}}", "w").close()
if number in (2, 3):  # the first two that stand by after the start
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.shutdown(socket.SHUT_RD)
    channel.send(b"ready")
else:
    poison_worker.worker.main(poison_worker.decoding)
"""


def test_a_suspect_is_not_blamed_for_a_worker_that_was_gone_before_its_trial(tmp_path):
    condemned = []

    async def run():
        command = (sys.executable, "-P", "-s", "-c", DEAF.format(folder=str(tmp_path)))
        async with opened(command=command, condemned=condemned, workers=1) as decoder:
            assert (await decoder.decode(f"do:sleep_until {time.time() + 0.9}".encode(), (8,), False)).width == 1
            assert decoder.figures()["acquitted"] == 1

    asyncio.run(run())
    assert condemned == []
    assert len(list(tmp_path.iterdir())) >= 5


def test_a_full_queue_refuses_with_a_time_and_takes_pictures_again_once_askers_have_left():
    async def run():
        async with opened(workers=1, max_queued=3, timeout_s=5.0) as decoder:
            busy = asyncio.create_task(decoder.decode(b"do:wait 1.0", (8,), False))
            await asyncio.sleep(0.1)
            waiting = [asyncio.create_task(decoder.decode(SOUND, (32,), False)) for _ in range(3)]
            await asyncio.sleep(0.1)
            with pytest.raises(Refused) as refused:
                await decoder.decode(SOUND, (32,), False)
            assert (refused.value.code, refused.value.kind.status) == ("overloaded", 429)
            assert refused.value.retry_after_s >= 1
            waiting[1].cancel()
            await together(waiting[1])
            assert decoder.figures()["waiting"] == 2
            found = await asyncio.gather(busy, waiting[0], waiting[2], decoder.decode(SOUND, (32,), False))
            assert [one.width for one in found] == [1, 96, 96, 96]
            assert decoder.figures()["decoded"] == 4  # the one that was cancelled was never decoded

    asyncio.run(run())


def test_the_queue_is_bounded_by_bytes_too():
    async def run():
        async with opened(workers=1, max_queued_mib=1, timeout_s=5.0) as decoder:
            busy = asyncio.create_task(decoder.decode(b"do:wait 0.5", (8,), False))
            await asyncio.sleep(0.1)
            large = asyncio.create_task(decoder.decode(SOUND + bytes(2 * 2**20), (32,), False))  # alone it is taken in
            await asyncio.sleep(0)
            with pytest.raises(Refused, match="overloaded"):
                await decoder.decode(SOUND, (32,), False)
            await together(busy, large)

    asyncio.run(run())


def test_a_picture_of_more_pixels_than_the_gateway_takes_is_refused_before_it_is_decoded():
    async def run():
        async with opened(max_pixels=96 * 72 - 1) as decoder:
            with pytest.raises(Refused, match="picture_too_many_pixels: 96x72 px, limit 6911"):
                await decoder.decode(SOUND, (32,), False)

    asyncio.run(run())


def test_workers_are_replaced_after_their_share_without_a_picture_lost():
    async def run():
        async with opened(recycle_after=5) as decoder:
            before = set(decoder.pids)
            found = await asyncio.gather(*(decoder.decode(SOUND, (32,), False) for _ in range(40)))
            assert len(found) == 40
            assert decoder.figures()["recycled"] >= 6
            assert not before & set(decoder.pids)

    asyncio.run(run())


def test_closing_refuses_what_waits_and_leaves_no_process():
    async def run():
        async with opened(timeout_s=30.0) as decoder:
            pids = decoder.pids
            asked = [asyncio.create_task(decoder.decode(order, (8,), False)) for order in [b"do:spin"] * 3 + [SOUND] * 3]
            await asyncio.sleep(0.3)
        assert {one.code for one in await together(*asked)} == {"not_ready"}
        assert not alive(pids)
        with pytest.raises(Refused, match="not_ready"):
            await decoder.decode(SOUND, (8,), False)

    asyncio.run(run())


def test_workers_that_do_not_start_are_an_error_and_leave_no_process():
    async def run():
        async with opened(command=(sys.executable, "-c", "raise SystemExit(3)")):
            pass

    before = set(psutil.Process().children())
    with pytest.raises(VitrineError, match="did not start"):
        asyncio.run(run())
    assert not [child for child in set(psutil.Process().children()) - before if child.status() != psutil.STATUS_ZOMBIE]


GATEWAY = """
import asyncio
from tests.serve.picture_pool import opened

async def main():
    async with opened(timeout_s=600.0) as decoder:
        spinning = asyncio.create_task(decoder.decode(b"do:spin", (8,), False))
        await asyncio.sleep(0.2)
        print(*decoder.pids, flush=True)
        await spinning

asyncio.run(main())
"""


def test_a_gateway_that_is_killed_leaves_no_worker_not_even_one_that_spins():
    project = Path(__file__).resolve().parents[2]
    gateway = subprocess.Popen([sys.executable, "-c", GATEWAY], cwd=project, stdout=subprocess.PIPE, text=True)
    pids = [int(word) for word in gateway.stdout.readline().split()]
    assert len(alive(pids)) == 3
    gateway.kill()
    gateway.wait()
    end = time.monotonic() + 5
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(pids)


def test_it_works_on_uvloop_too():
    async def run():
        async with opened() as decoder:
            found = await asyncio.gather(*(decoder.decode(SOUND, (32,), False) for _ in range(20)), return_exceptions=True)
            bad = await together(decoder.decode(b"do:crash", (8,), False))
        return found, bad

    found, (bad,) = uvloop.run(run())
    assert all(np.array_equal(one.squares[32], to_square(SOUND, 32)) for one in found)
    assert bad.code == "picture_poisonous"


def test_the_largest_pictures_that_are_taken_in_pass_and_the_event_loop_goes_on_meanwhile():
    data = encoded(scene(1600, 1200), "PNG", compress_level=0)
    assert len(data) > 5 * 2**20
    gaps_s = []

    async def watch():
        while True:
            began = time.monotonic()
            await asyncio.sleep(0)
            gaps_s.append(time.monotonic() - began)

    async def run():
        async with opened(timeout_s=10.0) as decoder:
            watching = asyncio.create_task(watch())
            found = await decoder.decode(data, (224,), True)
            watching.cancel()
            assert np.array_equal(found.squares[224], to_square(data, 224))

    asyncio.run(run())
    assert np.quantile(gaps_s, 0.999) < 0.05
    assert len(gaps_s) > 20


def test_a_picture_beyond_the_room_is_refused():
    async def run():
        async with opened() as decoder:
            with pytest.raises(Refused, match="picture_too_many_bytes"):
                await decoder.decode(bytes(images.MAX_PICTURE_BYTES + 1), (32,), False)

    asyncio.run(run())
