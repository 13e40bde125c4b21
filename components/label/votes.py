"""What the verdicts say when they are counted: rows of labels, agreement between orders and with clicks, and the label-health check."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, median

import numpy as np
from scipy.stats import ks_2samp, kstwobign

from components.label.judge import Judge, Side, Verdict

POLARITIES = {1: "positive", 0: "neutral", -1: "negative"}
TOP_ADJECTIVES = 8


@dataclass(frozen=True)
class Vote:
    """One verdict with the items behind the two pictures. `clicked_item` is one of the two."""

    first_item: str
    second_item: str
    clicked_item: str
    split: str
    cache_key: str
    verdict: Verdict

    @property
    def chosen_item(self) -> str | None:
        """The item whose photo was chosen; None for a tie or no judgement."""
        return {"first": self.first_item, "second": self.second_item}.get(self.verdict.choice)

    @property
    def pair(self) -> tuple[str, str]:
        """The two items in an order that does not depend on how they were shown."""
        return min(self.first_item, self.second_item), max(self.first_item, self.second_item)

    def side_of(self, photo: Side) -> str:
        """clicked or skipped, for the photo shown first or second."""
        item = self.first_item if photo == "first" else self.second_item
        return "clicked" if item == self.clicked_item else "skipped"

    def scores(self) -> list[tuple[str, str, float]]:
        """(side, item, score) of each photo that has a score."""
        verdict = self.verdict
        shown: list[tuple[Side, str, float | None]] = [
            ("first", self.first_item, verdict.first_score),
            ("second", self.second_item, verdict.second_score),
        ]
        return [(self.side_of(photo), item, score) for photo, item, score in shown if score is not None]


def label_rows(votes: list[Vote], judge: Judge) -> list[dict[str, object]]:
    """Rows of schema.LABELS, in order of first_item and second_item."""
    ordered = sorted(votes, key=lambda vote: (vote.first_item, vote.second_item))
    return [_label_row(vote) | {"judge": judge.id, "rubric": judge.rubric} for vote in ordered]


def _label_row(vote: Vote) -> dict[str, object]:
    return {
        "first_item": vote.first_item,
        "second_item": vote.second_item,
        "clicked_item": vote.clicked_item,
        "split": vote.split,
        "choice": vote.verdict.choice,
        "first_score": vote.verdict.first_score,
        "second_score": vote.verdict.second_score,
        "adjectives": [asdict(adjective) for adjective in vote.verdict.adjectives],
        "cache_key": vote.cache_key,
    }


def share(outcomes: Iterable[bool]) -> float | None:
    """The share of true outcomes in [0, 1]; None of none."""
    values = list(outcomes)
    return fmean(values) if values else None


def click_agreement_share(votes: list[Vote]) -> float | None:
    """Share of decided votes that chose the clicked item. Ties are not counted; 0.5 is what a coin reaches."""
    return share(v.chosen_item == v.clicked_item for v in votes if v.chosen_item)


def first_chosen_share(votes: list[Vote]) -> float | None:
    """Share of decided votes that chose the photo shown first. Far from 0.5 is position bias of the judge."""
    return share(v.verdict.choice == "first" for v in votes if v.chosen_item)


def order_agreement_share(votes: list[Vote]) -> float | None:
    """Share of pairs on which both orders gave one opinion: the same item, or a tie twice. Pairs not judged in both are left out."""
    opinions: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for vote in votes:
        if vote.verdict.choice != "cannot_judge":
            opinions[vote.pair].append(vote.chosen_item)
    return share(both[0] == both[1] for both in opinions.values() if len(both) == 2)


def item_scores(votes: list[Vote]) -> dict[str, list[float]]:
    """Scores of clicked and of skipped items: one value an item and side, the mean over its votes, in order of item_id."""
    scores: dict[str, dict[str, list[float]]] = {"clicked": defaultdict(list), "skipped": defaultdict(list)}
    for vote in votes:
        for side, item, score in vote.scores():
            scores[side][item].append(score)
    return {side: [fmean(of_item[item]) for item in sorted(of_item)] for side, of_item in scores.items()}


@dataclass(frozen=True, kw_only=True)
class Health:
    """Do clicked items score higher than skipped ones? The paper saw medians 0.6 and 0.5 at p = 8e-9 (arXiv 2408.11349).

    Kolmogorov-Smirnov over items, each counted once a side, p by the limit law; log10 of p reads better when p is tiny.
    All None where a side is empty.
    """

    clicked_score_median: float | None = None
    skipped_score_median: float | None = None
    ks_statistic: float | None = None
    ks_p_value: float | None = None
    ks_log10_p: float | None = None


def health(votes: list[Vote]) -> Health:
    """The label-health check over all votes with scores."""
    clicked, skipped = item_scores(votes).values()
    if not clicked or not skipped:
        return Health()
    with np.errstate(divide="ignore"):  # of a p-value that is not taken: it is not a number where a side has one item
        statistic = float(ks_2samp(clicked, skipped, method="asymp").statistic)
    num_effective = len(clicked) * len(skipped) / (len(clicked) + len(skipped))
    p_value = float(kstwobign.sf(statistic * math.sqrt(num_effective)))
    return Health(
        clicked_score_median=median(clicked),
        skipped_score_median=median(skipped),
        ks_statistic=statistic,
        ks_p_value=p_value,
        ks_log10_p=math.log10(max(p_value, 1e-300)),
    )


def top_adjectives(votes: list[Vote]) -> dict[str, dict[str, dict[str, int]]]:
    """side -> polarity -> adjective -> votes that used it: the most frequent, level ones in the order of the alphabet."""
    counts: Mapping[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for vote in votes:
        for remark in vote.verdict.adjectives:
            counts[vote.side_of(remark.item), POLARITIES[remark.polarity]][remark.adjective] += 1
    return {side: {name: _top(counts[side, name]) for name in POLARITIES.values()} for side in ("clicked", "skipped")}


def _top(counter: Counter[str]) -> dict[str, int]:
    ranked = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ranked[:TOP_ADJECTIVES])
