"""What must hold for splits, pairs and labels before an hour of GPU time is spent on them: the gates of each suite, with limits."""

from components.expectations.gate import Gate, between, matching, mean_between, one_of
from components.validate_training.advice import ADVICE
from components.validate_training.batches import POLARITIES
from components.validate_training.config import ValidateTrainingConfig

SIDES = ["train", "val", "test"]
CHOICES = ["first", "second", "tie", "cannot_judge"]
PHOTOS = ["first", "second"]
MEAN_WEIGHT_ERROR = 0.001
SHA256 = "^[0-9a-f]{64}$"


def splits_gates(cfg: ValidateTrainingConfig, num_rows: int) -> list[Gate]:
    """Over one row a row of splits. Shares of sides decide nothing below min_listings."""
    few = f"{num_rows} listings, validate_training.min_listings is {cfg.min_listings}" if num_rows < cfg.min_listings else ""
    limits = {"train": (cfg.min_train_share, None)} | dict.fromkeys(("val", "test"), (cfg.min_held_out_share, cfg.max_held_out_share))
    return [
        Gate("side", one_of("split", SIDES), "share of rows on another side than train, val or test", ADVICE["split-coverage"]),
        Gate("listed", one_of("listed", [True]), "share of rows whose item is no listing", ADVICE["split-coverage"]),
        Gate("group_on_one_side", between("group_sides", 1, 1), "share of rows whose group stands on two sides", ADVICE["leaking-groups"]),
        *(
            Gate(f"{side}_share", mean_between(f"in_{side}", *limits[side]), f"share of rows in {side}", ADVICE["side-shares"], few)
            for side in SIDES
        ),
    ]


def coverage_gates() -> list[Gate]:
    """Over one row a listing."""
    return [Gate("one_side", between("num_rows", 1, 1), "share of listings without exactly one side", ADVICE["split-coverage"])]


def pairs_gates(cfg: ValidateTrainingConfig, num_pairs: int) -> list[Gate]:
    """Over one row a pair. No pair at all is no fault: a new shop has no clicks yet."""
    none = "there is no pair" if not num_pairs else ""
    values, rest = ADVICE["pair-values"], "share of pairs"
    return [
        Gate("side", one_of("split", SIDES), f"{rest} on another side than train, val or test", ADVICE["pair-items"]),
        Gate("items_known", one_of("item_known", [True]), f"{rest} with an item that is no listing", ADVICE["pair-items"]),
        Gate("on_side", one_of("on_side", [True]), f"{rest} with an item on another side than theirs", ADVICE["pair-items"]),
        Gate("distinct", one_of("distinct", [True]), f"{rest} of an item with itself", values),
        Gate("price_ratio", between("price_ratio", 1, cfg.max_price_ratio), f"{rest} with a price ratio out of range", values),
        Gate("position_gap", between("slots_apart", 1, None), f"{rest} in one slot of their page", values),
        Gate("weight", between("weight", 0, cfg.max_weight), f"{rest} with a weight out of range", values),
        Gate("mean_weight", mean_between("weight", 1 - MEAN_WEIGHT_ERROR, 1 + MEAN_WEIGHT_ERROR), "mean weight of the pairs", values, none),
        Gate(
            "repeated_share",
            one_of("repeated", [False], mostly=1 - cfg.max_repeated_pair_share),
            f"{rest} that stand in the table already",
            ADVICE["repeated-pairs"],
        ),
    ]


def labels_gates(cfg: ValidateTrainingConfig, num_pairs: int) -> list[Gate]:
    """Over one row a label. What is said of the judge decides nothing below min_pairs."""
    few = f"{num_pairs} pairs, validate_training.min_pairs is {cfg.min_pairs}" if num_pairs < cfg.min_pairs else ""
    fields, rest = ADVICE["label-fields"], "share of labels"
    return [
        Gate("side", one_of("split", SIDES), f"{rest} on another side than train, val or test", fields),
        Gate("items_known", one_of("item_known", [True]), f"{rest} with an item that is no listing", fields),
        Gate("on_side", one_of("on_side", [True]), f"{rest} with an item on another side than theirs", fields),
        Gate("distinct", one_of("distinct", [True]), f"{rest} of an item beside itself", fields),
        Gate("clicked_shown", one_of("clicked_shown", [True]), f"{rest} whose clicked item is neither of the two", fields),
        Gate("choice", one_of("choice", CHOICES), f"{rest} with another choice", fields),
        Gate("first_score", between("first_score", 0, 1), f"{rest} with a score outside 0 to 1", fields),
        Gate("second_score", between("second_score", 0, 1), f"{rest} with a score outside 0 to 1", fields),
        Gate("judge", between("judge_length", 1, None), f"{rest} that name no judge", fields),
        Gate("rubric", between("rubric_length", 1, None), f"{rest} that name no rubric", fields),
        Gate("cache_key", matching("cache_key", SHA256), f"{rest} whose cache key is no sha256", fields),
        Gate("both_orders", between("num_orders", 2, 2), f"{rest} whose pair was not judged in both orders", ADVICE["one-order-only"]),
        Gate("judged_once", between("num_rows", 1, 1), f"{rest} of an order that was judged twice", ADVICE["one-order-only"]),
        *judge_gates(cfg, few),
    ]


def judge_gates(cfg: ValidateTrainingConfig, few: str) -> list[Gate]:
    """How the judge judges, over all labels."""
    most = cfg.max_first_chosen_share
    return [
        Gate(
            "cannot_judge_share",
            mean_between("cannot_judge", None, cfg.max_cannot_judge_share),
            "share of labels without a judgement",
            ADVICE["judge-refuses"],
            few,
        ),
        Gate("tie_share", mean_between("tie", None, cfg.max_tie_share), "share of labels that are ties", ADVICE["judge-cannot-tell"], few),
        Gate(
            "first_chosen_share",
            mean_between("chose_first", round(1 - most, 9), most),
            "share of choices that fell on the photo shown first",
            ADVICE["judge-prefers-a-place"],
            few,
        ),
        Gate(
            "order_agreement_share",
            mean_between("agrees", cfg.min_order_agreement_share, None),
            "share of pairs on which both orders gave one opinion",
            ADVICE["judge-contradicts-itself"],
            few,
        ),
    ]


def adjectives_gates() -> list[Gate]:
    """Over one row an adjective."""
    fields, rest = ADVICE["label-fields"], "share of adjectives"
    return [
        Gate("adjective_photo", one_of("item", PHOTOS), f"{rest} of another photo than the first or second", fields),
        Gate("adjective_polarity", one_of("polarity", list(POLARITIES)), f"{rest} whose polarity is none of -1, 0 and 1", fields),
        Gate("adjective_word", between("word_length", 1, None), f"{rest} without a word", fields),
    ]
