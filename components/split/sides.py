"""Which side a group is on: a hash decides, so a group keeps its side from one retraining to the next."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field, model_validator

from components.contract import Config
from components.errors import BadData
from components.split.groups import Tie

TRAIN, VAL, TEST = "train", "val", "test"
MIN_GROUPS = 3


class SplitConfig(Config):
    """How listings are joined into groups and groups put on sides. Shares are of all listings."""

    seed: int
    val_share: float = Field(gt=0, lt=1)
    test_share: float = Field(gt=0, lt=1)
    ties: list[Tie] = Field(min_length=1)
    phash_max_distance: int = Field(ge=0, le=12)
    max_duplicate_group: int = Field(gt=1)
    max_group_share: float = Field(gt=0, le=1)
    min_fill: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_a_train_side(self) -> "SplitConfig":
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share + test_share is {self.val_share + self.test_share:g}: nothing is left to train on")
        return self


@dataclass(frozen=True)
class Sides:
    """The side of each group, how many large groups were kept in train, and how many groups left the side that their hash gave."""

    of: dict[str, str]
    num_held_in_train: int
    num_moved: int


def sides_of(sizes: Mapping[str, int], cfg: SplitConfig) -> Sides:
    """The side of each group, given how many listings it has.

    A group above max_group_share of the listings is always trained on: one seller must not make up a held-out side. Where few groups
    leave a held-out side with less than min_fill of its share, it takes train's smallest groups. Raises BadData below 3 groups.
    """
    total = sum(sizes.values())
    large = {group for group, size in sizes.items() if size > cfg.max_group_share * total}
    hashed = {group: TRAIN if group in large else hashed_side(group, cfg) for group in sizes}
    smallest_first = sorted(sizes, key=lambda group: (sizes[group], _place(group, cfg.seed)))
    side = _with_none_empty(_topped_up(hashed, sizes, smallest_first, cfg), smallest_first)
    if len(set(side.values())) < MIN_GROUPS:
        raise BadData(_too_few(sizes, cfg))
    moved = sum(side[group] != hashed[group] for group in sizes)
    return Sides(side, sum(side[group] == TRAIN for group in large), moved)


def hashed_side(group: str, cfg: SplitConfig) -> str:
    """test, val or train by where the hash of seed and group falls in [0, 1); shares are met on average."""
    place = _place(group, cfg.seed)
    return TEST if place < cfg.test_share else VAL if place < cfg.test_share + cfg.val_share else TRAIN


def _place(group: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{group}".encode()).digest()[:8], "big") / 2**64


def _topped_up(side: dict[str, str], sizes: Mapping[str, int], smallest_first: list[str], cfg: SplitConfig) -> dict[str, str]:
    """The sides after those held out with less than min_fill of their share took train's smallest groups in turn, up to their share."""
    total, side = sum(sizes.values()), dict(side)
    wanted = {TEST: cfg.test_share * total, VAL: cfg.val_share * total}
    held = {name: sum(sizes[group] for group in sizes if side[group] == name) for name in wanted}
    short = [name for name in wanted if held[name] < max(cfg.min_fill * wanted[name], 1)]
    for group in [group for group in smallest_first if side[group] == TRAIN][:-1]:
        takers = [name for name in short if not held[name] or held[name] + sizes[group] <= wanted[name]]
        if not takers:
            break
        name = min(takers, key=lambda name: held[name] / wanted[name])
        side[group] = name
        held[name] += sizes[group]
    return side


def _with_none_empty(side: dict[str, str], smallest_first: list[str]) -> dict[str, str]:
    """The sides after an empty train took the largest group, and an empty held-out side the smallest of a side that has several."""
    side = dict(side)
    if smallest_first and TRAIN not in side.values():
        side[smallest_first[-1]] = TRAIN
    for name in (TEST, VAL):
        counts = Counter(side.values())
        spare = [group for group in smallest_first if counts[side[group]] > 1]
        if not counts[name] and spare:
            side[spare[0]] = name
    return side


def _too_few(sizes: Mapping[str, int], cfg: SplitConfig) -> str:
    return (
        f"The {sum(sizes.values())} listings form {len(sizes)} group(s), joined by {', '.join(cfg.ties)}; train, val and test need one "
        f"each, at least {MIN_GROUPS}, and a metric that gates needs some 20 in test. Give listings their own seller_id or product_id, "
        "or take the tie that joins everything out of split.ties. See docs/runbook.md#too-few-groups."
    )
