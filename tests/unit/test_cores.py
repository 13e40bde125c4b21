import asyncio

import pytest

from components.serve.inference.cores import Cores


def test_cores_are_handed_out_in_order_and_never_more_than_there_are():
    async def scene():
        cores, order, held = Cores(2), [], [0]

        async def use(name, wanted):
            async with cores.taken(wanted):
                held[0] += min(wanted, 2)
                assert held[0] <= 2
                order.append(name)
                await asyncio.sleep(0.001)
                held[0] -= min(wanted, 2)

        await asyncio.gather(use("a", 1), use("b", 2), use("c", 1), use("d", 1), use("e", 9))
        assert order == ["a", "b", "c", "d", "e"]
        assert cores.free == 2

    asyncio.run(scene())


@pytest.mark.parametrize("granted", [False, True])
def test_whoever_gives_up_waiting_takes_nothing_and_blocks_nobody(granted):
    async def scene():
        cores = Cores(2)
        holder = cores.taken(1)
        await holder.__aenter__()
        wide = asyncio.create_task(_hold(cores, 2))
        narrow = asyncio.create_task(_hold(cores, 1))
        await asyncio.sleep(0)
        if granted:  # its turn comes in the same moment
            await holder.__aexit__(None, None, None)
        wide.cancel()
        await asyncio.wait_for(narrow, 1)
        if not granted:
            await holder.__aexit__(None, None, None)
        await asyncio.gather(wide, return_exceptions=True)
        assert cores.free == 2

    asyncio.run(scene())


async def _hold(cores, wanted):
    async with cores.taken(wanted):
        await asyncio.sleep(0)


def test_an_error_inside_gives_the_cores_back():
    async def scene():
        cores = Cores(1)
        with pytest.raises(ValueError, match="inside"):
            async with cores.taken(1):
                raise ValueError("inside")
        assert cores.free == 1

    asyncio.run(scene())
