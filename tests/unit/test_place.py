import pytest

from components.errors import BadEnvironment
from components.finetune.place import Place

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29400"}


def test_without_a_word_from_the_environment_a_process_is_alone():
    assert Place.of({}) == Place.of({"LOCAL_RANK": "0", "MASTER_PORT": "x"}) == Place()
    assert Place.of({"WORLD_SIZE": "1", "RANK": "0"}) == Place()
    assert Place.of({"JOB_COMPLETION_INDEX": "3"}) == Place(), "an Indexed Job of something else"


def test_a_place_is_read_as_torchrun_and_accelerate_write_it_and_written_so_again():
    place = Place.of(TORCHRUN)
    assert place == Place(3, 4, 1, "10.0.0.1", 29400)
    assert place.variables() == TORCHRUN
    agents = TORCHRUN | {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    assert Place.of(agents).is_kept_apart
    assert Place.of(agents).variables() == agents


def test_a_pod_of_an_indexed_job_has_its_rank_from_its_index():
    env = {"JOB_COMPLETION_INDEX": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "train-0.train", "MASTER_PORT": "29500"}
    assert Place.of(env) == Place(1, 2, 0, "train-0.train", 29500)
    assert Place.of(env | {"RANK": "0"}).rank == 0, "a launcher in the pod knows better"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"WORLD_SIZE": None}, "WORLD_SIZE is not set"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE = '0': it must be a whole number from 1 to"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = 'two'"),
        ({"RANK": None}, "JOB_COMPLETION_INDEX is not set"),
        ({"RANK": "4"}, "RANK = '4': it must be a whole number from 0 to 3"),
        ({"RANK": "-1"}, "RANK = '-1'"),
        ({"RANK": "1.0"}, "RANK = '1.0'"),
        ({"LOCAL_RANK": "9"}, "LOCAL_RANK = '9': it must be a whole number from 0 to 3"),
        ({"MASTER_ADDR": " "}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": None}, "MASTER_PORT is not set"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT = '70000': it must be a whole number from 1 to 65535"),
    ],
)
def test_what_is_missing_or_no_number_is_named(changes, said):
    env = {name: value for name, value in (TORCHRUN | changes).items() if value is not None}
    with pytest.raises(BadEnvironment, match=said):
        Place.of(env)
