"""A short run of the fuzzer over the gateway's decoder; `python -m tests.fuzz_decoder` is the long one."""

import asyncio

from components.serve.pictures.guarded import COMMAND
from tests.fuzz_decoder import MAX_FILE_S, fuzz
from tests.fuzz_pictures import growth_mib
from tests.serve.picture_pool import opened


def test_two_thousand_broken_pictures_are_decoded_or_refused_and_no_worker_is_lost():
    async def run():
        async with opened(command=COMMAND, timeout_s=10.0, max_pixels=64 * 2**20, memory_mib=1536) as decoder:
            return await fuzz(2000, 11, 200, decoder)

    found = asyncio.run(run())
    assert sum(found.codes.values()) == 2000
    assert found.lost == 0
    assert found.bad_files == {}
    assert set(found.codes) >= {"decoded", "picture_truncated", "picture_unreadable", "picture_bomb", "picture_too_many_pixels"}
    assert all(code == "decoded" or code.startswith("picture_") for code in found.codes)
    assert max(found.seconds) < MAX_FILE_S
    assert growth_mib(found.parent_mib) < 16
    assert growth_mib(found.workers_mib) < 32
