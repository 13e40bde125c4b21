"""Where a process stands among those that train together, as torchrun, `accelerate launch` or an Indexed Job tell it."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.errors import BadEnvironment

COUNTED = "JOB_COMPLETION_INDEX"  # what Kubernetes calls the rank of an Indexed Job's pod


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `size`, on its machine the one of number `local_rank`. Rank 0 listens at `address` and `port`.

    Where `is_kept_apart`, the store through which the ranks find each other is not of the training process of rank 0: its launcher's.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0
    is_kept_apart: bool = False

    @classmethod
    def of(cls, env: Mapping[str, str]) -> "Place":
        """The place that the environment gives; alone where WORLD_SIZE is 1, or where neither it nor RANK is set.

        Raises BadEnvironment for what is missing or no such number.
        """
        if "WORLD_SIZE" not in env and "RANK" not in env:
            return cls()
        size = _number(env, "WORLD_SIZE", 1, 2**16)
        if size == 1:
            return cls()
        return cls(
            rank=_number(env, "RANK" if "RANK" in env else COUNTED, 0, size - 1),
            size=size,
            local_rank=_number({"LOCAL_RANK": "0", **env}, "LOCAL_RANK", 0, size - 1),
            address=_text(env, "MASTER_ADDR"),
            port=_number(env, "MASTER_PORT", 1, 2**16 - 1),
            is_kept_apart=env.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        )

    def variables(self) -> dict[str, str]:
        """The environment that gives this place, as torch and accelerate read it."""
        found = {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }
        return found | ({"TORCHELASTIC_USE_AGENT_STORE": "True"} if self.is_kept_apart else {})


def _text(env: Mapping[str, str], name: str) -> str:
    if not (text := env.get(name, "").strip()):
        raise BadEnvironment(f"{name} is not set: each process of a training on several is told {_ALL}; see docs/training.md")
    return text


def _number(env: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = _text(env, name)
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise BadEnvironment(f"{name} = {text!r}: it must be a whole number from {least} to {most}; see docs/training.md")
    return number


_ALL = f"RANK (or {COUNTED}), WORLD_SIZE, MASTER_ADDR and MASTER_PORT"
