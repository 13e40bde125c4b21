import pytest

from components.errors import RankLost
from components.finetune.meeting import lost_told
from components.finetune.place import Place


def told(text: str) -> None:
    with lost_told(Place(1, 2, 1, "127.0.0.1", 29400), 30):
        raise RuntimeError(text)


@pytest.mark.parametrize(
    "text",
    [
        "[/src/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234",
        "Connection closed by peer [127.0.0.1]:1234. This is a sentence more",
        "Connection reset by peer",
        "Socket closed [127.0.0.1]:1234",
        "Application timeout caused pair closure",
        "Timed out waiting 3000ms for recv operation to complete",
        "Operation timed out!",
        "Remote peer closed the connection.",
        "[/src/third_party/gloo/gloo/transport/tcp/pair.cc:547] writev: no route to host",
        "Broken pipe",
        "NCCL communicator was aborted on rank 1.",
        "NCCL error in: /src/ProcessGroupNCCL.cpp:1, remote process exited or there was a network error",
        "remote process exited or there was a network error",
    ],
)
def test_whatever_gloo_and_nccl_call_a_lost_process_it_is_told_as_one(text):
    with pytest.raises(RankLost, match=r"rank 1: another of the 2 processes .* silent for 30 s .* go on from the last checkpoint"):
        told(text)


def test_an_error_of_the_training_itself_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        told("mat1 and mat2 shapes cannot be multiplied (8x16 and 8x16)")
