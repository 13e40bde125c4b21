"""Counting: the joins, what is left out, and that order, split and repetition change nothing."""

import datetime as dt
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.objects import FolderStore, Stored, Versioned
from components.release.channel import Arm, climbed, held_back, resumed, returned, withdrawn
from components.release.counts import Counter
from components.release.evidence import Look, Sample
from components.release.logged import FOLDERS, table_of
from components.release.rung import METRICS
from components.release.strata import CountingConfig, Stratum, strata_of
from components.release.tally import Tally
from components.serve.log.rows import Record, encode, parquet_of
from components.serve.log.rows import table_of as table_of_log
from tests.release.canary_log import ATTRIBUTION_S, GROUPS, LIMITS, Row, act, after, answer, channel, parquet, shown, stratum, write

CFG = CountingConfig(attribution_s=ATTRIBUTION_S, min_baseline_answers=3, slow_quantile=0.99, score_band=[0.05, 0.95], readers=1)
AT = after(1000)
Log = Mapping[str, Sequence[Row]]


def tally_of(*strata: Stratum) -> Tally:
    tally = Tally()
    tally.follow(strata)
    return tally


def tables(name: str, rows: Sequence[Row]) -> list[pa.Table]:
    return [table_of(parquet(name, rows), name)]


def counted(log: Log, *strata: Stratum) -> Look:
    """The first stratum's look, of all rows at once."""
    tally = tally_of(*(strata or (stratum(),)))
    for name in FOLDERS:
        if rows := log.get(name):
            tally.take(name, tables(name, rows))
    return next(iter(tally.looks(AT).values()))


def ratio(look: Look, metric: str, arm: Arm) -> tuple[float, float]:
    sample = look.samples[metric][arm]
    return sample.sum_x, sample.sum_y


def naive(log: Log, wanted: Stratum) -> tuple[Mapping[str, int], Mapping[str, Mapping[str, Sample]]]:
    """The same by loops over dictionaries: users by arm, and samples by metric and arm."""
    every = {(row["request_id"], row["ts"], row["arm"]): row for row in log["answers"] if row["arm"] != "shadow"}.values()
    slots = {(row["request_id"], row["item_id"]) for row in log["impressions"]}
    arms, owners, times = defaultdict(set), defaultdict(set), {}
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in every:
        owners[row["request_id"]].add(row["user_id"] if _is_of(row, wanted) else None)
    for row in (row for row in every if _is_of(row, wanted)):
        arms[row["user_id"]].add(row["arm"])
        times[row["request_id"]] = max(row["ts"], times.get(row["request_id"], row["ts"]))
        _guard(sums[row["user_id"]], row)
    pages = {page: next(iter(users)) for page, users in owners.items() if len(users) == 1 and None not in users}
    for page in {page for page, _ in slots if page in pages}:
        sums[pages[page]]["pages"] += 1
    window = dt.timedelta(seconds=ATTRIBUTION_S)
    in_time = [row for row in log["clicks"] if row["request_id"] in pages and row["ts"] <= times[row["request_id"]] + window]
    for name, actions in (("taps", ("click", "purchase")), ("purchases", ("purchase",))):
        for page, _ in {(row["request_id"], row["item_id"]) for row in in_time if row["action"] in actions} & slots:
            sums[pages[page]][name] += 1
    users = {arm: [user for user, found in arms.items() if found == {arm}] for arm in ("stable", "canary")}
    samples = {
        metric: {arm: _sample([(sums[user][x], sums[user][y]) for user in users[arm]]) for arm in users}
        for metric, (x, y) in METRICS.items()
    }
    return {arm: len(found) for arm, found in users.items()}, samples


def _is_of(row: Row, wanted: Stratum) -> bool:
    is_arm = row["release_id"] == {"stable": wanted.stable_id, "canary": wanted.candidate_id}.get(row["arm"])
    is_rung = row["weight_percent"] == wanted.weight_percent and row["ts"] >= wanted.since and row["candidate_id"] == wanted.candidate_id
    return is_arm and is_rung and row["platform"] in wanted.platforms and row["user_id"] is not None


def _guard(user: dict[str, int], row: Row) -> None:
    user["answers"] += 1
    user["errors"] += row["status"] >= 500
    user["empty"] += row["status"] in (200, 404) and row["num_hits"] == 0
    user["slow"] += row["latency_ms"] >= LIMITS.latency_ms
    user["hits"] += row["num_hits"]
    user["sellers"] += row["num_sellers"]
    user["scored"] += len(row["hit_scores"])
    user["outside"] += sum(not LIMITS.score_low <= score <= LIMITS.score_high for score in row["hit_scores"])


def _sample(pairs: Sequence[tuple[int, int]]) -> Sample:
    pairs = [(x, y) for x, y in pairs if y]
    squares = (sum(x * x for x, _ in pairs), sum(x * y for x, y in pairs), sum(y * y for _, y in pairs))
    return Sample(len(pairs), sum(x for x, _ in pairs), sum(y for _, y in pairs), *squares)


# few ids, so that users, pages and items meet; every kind of row that can go wrong
requests, users, items = (st.sampled_from([f"{kind}{n}" for n in range(count)]) for kind, count in (("r", 12), ("u", 6), ("i", 3)))
actions = st.sampled_from(["click", "purchase", "like"])
answers = st.builds(
    answer,
    requests,
    st.one_of(users, st.none()),
    st.sampled_from(["stable", "canary", "canary", "shadow"]),
    at_s=st.integers(-3, 3),
    platform=st.sampled_from(["web", "web", "web", "ios", None]),
    weight_percent=st.sampled_from([5, 5, 5, 1]),
    status=st.sampled_from([200, 200, 404, 422, 503]),
    latency_ms=st.sampled_from([0.0, 20.0, 99.9, 100.0, 900.0]),
    num_hits=st.integers(0, 3),
    num_sellers=st.just(0),
    hit_scores=st.lists(st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.75, 0.8, 1.0]), max_size=3),
).map(lambda row: row | {"num_sellers": min(row["num_hits"], 2)})
logs = st.fixed_dictionaries(
    {
        # the same request at the same time in the same arm is the same row
        "answers": st.lists(answers, max_size=20, unique_by=lambda row: (row["request_id"], row["ts"], row["arm"])),
        "impressions": st.lists(st.builds(shown, requests, items), max_size=25),
        "clicks": st.lists(
            st.builds(
                act,
                requests,
                items,
                at_s=st.sampled_from([-5, 30, 598, 600, 602, 700]),
                action=st.sampled_from(["click", "purchase", "like"]),
            ),
            max_size=20,
        ),
    }
)


@given(logs)
def test_counts_are_those_of_a_plain_loop(log):
    look = counted(log)
    assert (look.users, look.samples) == naive(log, stratum())


@given(logs, st.integers(0, 2**32), st.integers(1, 9))
def test_neither_order_nor_split_nor_repetition_changes_a_count(log, seed, num_rows):
    rng = random.Random(seed)
    wanted = (stratum(), stratum("app"), stratum(weight_percent=1, since_s=-2))
    at_once, tally = tally_of(*wanted), tally_of(*wanted)
    pieces = []
    for name, rows in log.items():
        at_once.take(name, tables(name, rows))
        rows = rng.sample(rows, len(rows))
        cut = [(name, rows[start : start + num_rows]) for start in range(0, len(rows), num_rows)]
        pieces += cut + rng.sample(cut, len(cut) // 2)
    for name, rows in rng.sample(pieces, len(pieces)):
        tally.take(name, tables(name, rows))
        tally.looks(AT)
    assert tally.looks(AT) == at_once.looks(AT)
    assert tally.num_unmatched == at_once.num_unmatched
    for name in ("answers", "impressions", "clicks", "answers_of_others", "answers_to_nobody"):
        assert tally.num_rows[name] == at_once.num_rows[name]


@given(logs)
def test_swapping_the_arms_swaps_the_samples(log):
    other = {"stable": "canary", "canary": "stable", "shadow": "shadow"}
    one = stratum()
    swapped = [
        row | {"arm": other[row["arm"]], "release_id": _other(row["release_id"], one)} for row in log["answers"] if row["arm"] != "shadow"
    ]
    look, mirrored = counted(log), counted({**log, "answers": swapped})
    assert mirrored.users == {other[arm]: count for arm, count in look.users.items()}
    assert mirrored.samples == {metric: {other[arm]: one for arm, one in arms.items()} for metric, arms in look.samples.items()}


def _other(release_id: str, of: Stratum) -> str:
    return of.stable_id if release_id == of.candidate_id else of.candidate_id


def test_a_page_counts_for_the_arm_that_answered_whatever_the_client_says():
    log = {
        "answers": [answer("r-1", "u-1", "canary"), answer("r-2", "u-2", "stable")],
        "impressions": [shown("r-1", "i-1", user_id="u-2", release_id="a" * 64), shown("r-2", "i-1")],
        "clicks": [act("r-1", "i-1")],
    }
    look = counted(log)
    assert ratio(look, "tap_rate", "canary") == (1, 1)
    assert ratio(look, "tap_rate", "stable") == (0, 1)


def test_an_item_is_tapped_once_a_page_and_a_purchase_is_a_tap_too():
    log = {
        "answers": [answer("r-1", arm="canary"), answer("r-2", arm="canary")],
        "impressions": [shown("r-1", "i-1"), shown("r-1", "i-2"), shown("r-2", "i-1")],
        "clicks": [act("r-1", "i-1"), act("r-1", "i-1", at_s=31), act("r-1", "i-2", action="purchase"), act("r-2", "i-1", action="like")],
    }
    look = counted(log)
    assert ratio(look, "tap_rate", "canary") == (2, 2)
    assert ratio(look, "purchase_rate", "canary") == (1, 2)


def test_a_click_on_an_item_that_was_not_shown_counts_for_nothing_and_is_told_of():
    log = {"answers": [answer("r-1")], "impressions": [shown("r-1", "i-1")], "clicks": [act("r-1", "i-9")]}
    look = counted(log)
    assert ratio(look, "tap_rate", "stable") == (0, 1)
    assert look.left_out["acts_without_item"] == 1


@pytest.mark.parametrize(("at_s", "taps"), [(1 + ATTRIBUTION_S, 1), (1.001 + ATTRIBUTION_S, 0)])
def test_a_click_counts_until_the_window_after_its_answer_is_over(at_s, taps):
    log = {"answers": [answer("r-1", at_s=1)], "impressions": [shown("r-1", "i-1")], "clicks": [act("r-1", "i-1", at_s=at_s)]}
    look = counted(log)
    assert ratio(look, "tap_rate", "stable") == (taps, 1)
    assert look.left_out["late_acts"] == 1 - taps


@pytest.mark.parametrize("order", itertools.permutations(("answers", "impressions", "clicks")))
def test_a_click_waits_for_its_page_and_a_page_for_its_answer(order):
    log = {"answers": [answer("r-1")], "impressions": [shown("r-1", "i-1")], "clicks": [act("r-1", "i-1")]}
    tally = tally_of(stratum())
    for name in order:
        tally.take(name, tables(name, log[name]))
    look = tally.looks(AT)[stratum()]
    assert ratio(look, "tap_rate", "stable") == (1, 1)
    assert set(look.left_out.values()) == {0}


@pytest.mark.parametrize("times", itertools.permutations((1, 20, 10)))
@pytest.mark.parametrize("clicks_after", [1, 3])
def test_of_several_answers_under_one_request_id_the_last_ones_time_counts_whichever_comes_first(times, clicks_after):
    tally, clicks = tally_of(stratum()), [act("r-1", "i-1", at_s=620), act("r-1", "i-2", at_s=621)]
    tally.take("impressions", tables("impressions", [shown("r-1", "i-1"), shown("r-1", "i-2")]))
    for number, at_s in enumerate(times, start=1):
        tally.take("answers", tables("answers", [answer("r-1", at_s=at_s)]))
        if number == clicks_after:
            tally.take("clicks", tables("clicks", clicks))
    look = tally.looks(AT)[stratum()]
    assert ratio(look, "tap_rate", "stable") == (1, 1)
    assert look.left_out["late_acts"] == 1


def test_a_user_who_got_both_arms_is_in_neither_and_is_told_of():
    log = {"answers": [answer("r-1", "u-1", "canary"), answer("r-2", "u-1", "stable"), answer("r-3", "u-2", "stable")]}
    look = counted(log)
    assert look.users == {"stable": 1, "canary": 0}
    assert look.samples["error_share"]["stable"].num_users == 1
    assert look.left_out["crossed_users"] == 1


def test_a_page_that_two_users_were_answered_under_is_nobodys():
    log = {
        "answers": [answer("r-1", "u-1"), answer("r-1", "u-2", at_s=2), answer("r-2", "u-1", at_s=3)],
        "impressions": [shown("r-1", "i-1"), shown("r-2", "i-1")],
        "clicks": [act("r-1", "i-1"), act("r-2", "i-1")],
    }
    look = counted(log)
    assert ratio(look, "tap_rate", "stable") == (1, 1)
    assert ratio(look, "error_share", "stable") == (0, 3)
    assert look.left_out["shared_pages"] == 1


def test_answers_to_nobody_and_of_other_releases_are_left_out_and_counted():
    rows = [
        answer("r-1", None),
        answer("r-2", platform=None),
        answer("r-3", candidate_id="d" * 64),
        answer("r-4", release_id="e" * 64),
        answer("r-5", latency_ms=float("nan")),
        answer("r-6", platform="fridge"),
        answer("r-7"),
    ]
    tally = tally_of(stratum())
    tally.take("answers", tables("answers", rows))
    assert ratio(tally.looks(AT)[stratum()], "error_share", "stable") == (0, 1)
    assert tally.num_rows == {"answers": 7, "answers_to_nobody": 2, "answers_of_others": 2, "unsound": 2, "repeated": 0}


@pytest.mark.parametrize(("status", "errors", "empty"), [(200, 0, 1), (404, 0, 1), (422, 0, 0), (499, 0, 0), (500, 1, 0), (504, 1, 0)])
def test_an_answer_without_hits_is_empty_unless_it_is_an_error_or_the_callers_own_fault(status, errors, empty):
    look = counted({"answers": [answer("r-1", status=status, num_hits=0, num_sellers=0), answer("r-2")]})
    assert ratio(look, "error_share", "stable") == (errors, 2)
    assert ratio(look, "empty_share", "stable") == (empty, 2)


def test_a_score_that_is_no_number_lies_outside():
    look = counted({"answers": [answer("r-1", hit_scores=[float("nan"), -0.5, 0.25, 0.75])]})
    assert ratio(look, "score_shift", "stable") == (2, 4)


def test_without_frozen_limits_slow_answers_and_scores_are_not_counted():
    assert {"slow_share", "score_shift"} == METRICS.keys() - counted({"answers": [answer("r-1")]}, stratum(limits=None)).samples.keys()


def test_at_100_percent_there_is_a_canary_arm_alone():
    rows = [answer("r-1", "u-1", "canary", weight_percent=100), answer("r-2", "u-2", "stable", weight_percent=100)]
    look = counted({"answers": rows}, stratum(weight_percent=100))
    assert look.users == {"canary": 1}
    assert all(set(arms) == {"canary"} for arms in look.samples.values())


def test_a_page_of_an_answer_that_no_stratum_counts_is_not_unmatched_but_one_without_an_answer_is():
    tally = tally_of(stratum())
    tally.take("impressions", tables("impressions", [shown("r-1", "i-1"), shown("r-2", "i-1"), shown("r-2", "i-2")]))
    tally.take("clicks", tables("clicks", [act("r-1", "i-1"), act("r-2", "i-1")]))
    assert tally.num_unmatched == (2, 2)
    tally.take("answers", tables("answers", [answer("r-1", weight_percent=1)]))
    assert tally.num_unmatched == (1, 1)


def test_a_group_on_two_weights_is_two_strata_and_a_returned_platform_is_none():
    record = climbed(channel(), ["ios", "android"], 1, after(10), "climbs")
    record = climbed(record, ["ios"], 5, after(20), "by hand")
    strata = strata_of(record, GROUPS, {"app": LIMITS}, ATTRIBUTION_S)
    assert [(one.group, one.platforms, one.weight_percent, one.since) for one in strata] == [
        ("web", ("web",), 0, after(0)),
        ("app", ("android",), 1, after(10)),
        ("app", ("ios",), 5, after(20)),
    ]
    together = strata_of(climbed(record, ["android"], 5, after(40), "follows"), GROUPS, {}, ATTRIBUTION_S)
    assert [(one.platforms, one.since) for one in together[1:]] == [(("ios", "android"), after(40))]
    left = strata_of(returned(record, ["ios"], after(30), "slow"), GROUPS, {}, ATTRIBUTION_S)
    assert [one.platforms for one in left] == [("web",), ("android",)]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def read(counter: Counter, record: Any, baselines: Mapping[str, Any] | None = None) -> Counter:
    counter.read(record, baselines or {}, GROUPS)
    return counter


def test_a_new_process_counts_the_same_after_every_file(store):
    writes: list[Callable[[], str]] = [
        lambda: write(store, "clicks", [act("r-1", "i-1")]),
        lambda: write(store, "impressions", [shown("r-1", "i-1"), shown("r-2", "i-1")]),
        lambda: write(store, "answers", [answer("r-1", "u-1", "canary")]),
        lambda: write(store, "answers", [answer("r-1", "u-1", "canary"), answer("r-2", "u-2")]),
        lambda: write(store, "clicks", [act("r-2", "i-1", at_s=5000)]),
    ]
    counter = Counter(store, CFG)
    for put in writes:
        put()
        assert read(counter, channel(5)).looks(AT) == read(Counter(store, CFG), channel(5)).looks(AT)
    look = counter.looks(AT)[next(one for one in counter.tally.strata if one.group == "web")]
    assert ratio(look, "tap_rate", "canary") == (1, 1)
    assert ratio(look, "tap_rate", "stable") == (0, 1)


def test_after_a_hold_is_ended_the_rung_begins_again_even_where_its_rows_were_read_before(store):
    record, counter = channel(5), Counter(store, CFG)
    write(store, "answers", [answer("r-1", at_s=1), answer("r-2", at_s=60)])
    read(counter, record)
    record = resumed(held_back(record, ["web"], "no verdict"), after(50), "go on")
    look = read(counter, record).looks(AT)[next(one for one in counter.tally.strata if one.group == "web")]
    assert ratio(look, "error_share", "stable") == (0, 1)
    assert counter.looks(AT) == read(Counter(store, CFG), record).looks(AT)


def test_a_climb_reads_no_file_again(store):
    class Counting(FolderStore):
        reads = 0

        def read(self, key: str, max_bytes: int | None = None) -> Versioned | None:
            type(self).reads += 1
            return super().read(key, max_bytes)

    counting = Counting(store.root)
    counter = Counter(counting, CFG)
    write(store, "answers", [answer("r-1", at_s=1)])
    read(counter, channel(5))
    write(store, "answers", [answer("r-2", at_s=60, weight_percent=25)])
    record = climbed(channel(5), ["web"], 25, after(55), "passed")
    look = read(counter, record).looks(AT)[next(one for one in counter.tally.strata if one.group == "web")]
    assert (look.weight_percent, ratio(look, "error_share", "stable")) == (25, (0, 1))
    read(counter, record)
    assert Counting.reads == 2


def test_a_corrupt_file_is_set_aside_by_name_and_the_others_count(store):
    write(store, "answers", [answer("r-1")])
    half, no_column = "answers/dt=2026-01-31/half.parquet", "events/clicks/dt=2026-01-31/none.parquet"
    store.put(half, parquet("answers", [answer("r-2")])[:-20])
    store.put(no_column, parquet("impressions", [shown("r-1", "i-1")]))
    counter = read(Counter(store, CFG), channel(5))
    account = counter.account()
    assert set(account.set_aside) == {half, no_column}
    assert "action" in account.set_aside[no_column]
    assert (account.num_files, account.answers) == (3, 1)
    store.put(half, parquet("answers", [answer("r-2")]))
    assert read(counter, channel(5)).account().set_aside.keys() == {no_column}
    assert counter.account().answers == 2


def test_a_counted_file_that_is_altered_stays_as_it_was_counted_and_is_named(store):
    key = write(store, "answers", [answer("r-1")])
    counter = read(Counter(store, CFG), channel(5))
    before = counter.looks(AT)
    store.put(key, parquet("answers", [answer("r-1"), answer("r-2")]))
    assert read(counter, channel(5)).looks(AT) == before
    assert counter.account().altered == [key]


def test_days_before_the_candidate_are_not_even_listed(store):
    class Listing(FolderStore):
        listed: ClassVar[set[str]] = set()

        def stored(self, prefix: str = "") -> Iterator[Stored]:
            self.listed.add(prefix)
            return super().stored(prefix)

    for days in (-2, -1, 0, 1):
        write(store, "answers", [answer(f"r-{days}")], day=after(days * 24 * 3600))
    counter = Counter(Listing(store.root), CFG, clock=lambda: after(3600).timestamp())
    assert read(counter, channel(5)).account().num_files == 3
    assert {prefix for prefix in Listing.listed if "answers" in prefix} == {f"answers/dt=2026-{day}" for day in ("01-30", "01-31", "02-01")}


def test_another_candidate_is_counted_from_nothing(store):
    write(store, "answers", [answer("r-1")])
    counter = read(Counter(store, CFG), channel(5))
    assert counter.account().answers == 1
    assert read(counter, withdrawn(channel(5))).account().answers == 0


def test_a_band_is_two_rising_shares():
    with pytest.raises(ValueError, match="two shares"):
        CountingConfig(**{**CFG.model_dump(), "score_band": [0.9, 0.1]})


def test_rows_as_the_gateway_writes_them_are_counted():
    row = answer("r-1", "u-1", "canary", hit_scores=np.array([0.1, 0.5], np.float16), num_hits=2, num_sellers=2)
    encoded = encode(Record(None, "answers", [row]))
    written = parquet_of(table_of_log("answers", [kept for _, kept, _ in encoded.rows], [blob for _, _, blob in encoded.rows]))
    tally = tally_of(stratum())
    tally.take("answers", [table_of(written, "answers")])
    assert ratio(tally.looks(AT)[stratum()], "score_shift", "canary") == (1, 2)
