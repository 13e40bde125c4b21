import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from components.serve.index.embedded.compaction import NICENESS, _give_way


def niceness_after(before):
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, before)
    _give_way()
    return os.getpriority(os.PRIO_PROCESS, thread)


@pytest.mark.parametrize("more", [0, 3])
def test_a_compaction_gives_way_and_never_takes_back_what_was_given(more):
    base = max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))  # who is not root may not go below it
    with ThreadPoolExecutor(1) as pool:  # a thread has a niceness of its own
        assert pool.submit(niceness_after, min(base + more, 19)).result() == min(base + more, 19)
