"""What a run cost: pure sums, and words for people."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cost import Asked, PricesConfig, asked_in, cost_of, machine_times, money_of, rows, size
from flows.dag import Stage
from flows.stage import StageRun

FREE = PricesConfig(currency="USD", million_input_tokens=None, million_output_tokens=None)
PRICED = PricesConfig(currency="JPY", million_input_tokens=300.0, million_output_tokens=1200.0)
ASKED = Asked(num_calls=1000, input_tokens=900_000, output_tokens=120_000, num_untold=0)


def stage(name: str, pool: str) -> Stage:
    return Stage(name=name, after=(), pool=pool, gpu=0, retries=0, timeout_s=1)


def entry(**outs: tuple[str, int]) -> dict[str, object]:
    return {"outs": [{"path": path, "md5": md5, "size": num} for path, (md5, num) in outs.items()]}


def cost(**changes):
    given_ = {"times": [], "before": {}, "after": {}, "asked": Asked(), "prices": FREE}
    return cost_of(**{**given_, **changes})


def test_seconds_are_added_up_by_pool():
    runs = [
        StageRun(stage=name, verdict="ran", seconds=s) for name, s in (("ingest", 1.5), ("finetune", 10.0), ("split", 2.25), ("gone", 9.0))
    ]
    times = machine_times(runs, [stage("ingest", "cpu"), stage("split", "cpu"), stage("finetune", "gpu")])
    assert cost(times=times).machine_s == {"cpu": 3.75, "gpu": 10.0}


def test_an_out_is_new_where_no_entry_before_had_its_digest_and_counts_once():
    before = {"ingest": entry(listings=("a", 10), images=("b", 1000)), "old": entry(moved=("m", 7))}
    after = {"ingest": entry(listings=("c", 12), images=("b", 1000)), "label": entry(labels=("l", 3), copy=("l", 3), back=("m", 7))}
    found = cost(before=before, after=after)
    assert found.new_bytes == {"listings": 12, "labels": 3, "copy": 3}
    assert found.total_bytes == 12 + 1000 + 3 + 7


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.tuples(st.text("ab", min_size=1, max_size=2), st.integers(0, 10**12)), max_size=5)
)
def test_a_run_that_changes_nothing_stores_nothing(outs):
    entries = {"stage": entry(**outs)}
    assert cost(before=entries, after=entries).new_bytes == {}


def test_what_a_judge_was_asked_is_read_from_the_log_with_the_tries_that_failed():
    log = [
        {
            "stage": "label",
            "started": "2026-01-01T00:00:00Z",
            "asked": {"num_calls": 5, "input_tokens": 50, "output_tokens": 5, "num_untold": 0},
        },
        {
            "stage": "label",
            "started": "2026-01-02T00:00:00Z",
            "failed": True,
            "asked": {"num_calls": 2, "input_tokens": 20, "output_tokens": 1, "num_untold": 1},
        },
        {
            "stage": "label",
            "started": "2026-01-02T01:00:00Z",
            "asked": {"num_calls": 3, "input_tokens": 30, "output_tokens": 3, "num_untold": 0},
        },
        {"stage": "embed", "started": "2026-01-02T02:00:00Z"},
    ]
    assert asked_in(log, since="2026-01-02T00:00:00Z") == Asked(5, 50, 4, 1)
    assert asked_in(log) == Asked(10, 100, 9, 1)


def test_money_is_tokens_by_price_and_unknown_where_a_price_is():
    assert money_of(ASKED, PRICED) == pytest.approx(0.9 * 300 + 0.12 * 1200)
    assert money_of(ASKED, FREE) is None
    assert money_of(Asked(), FREE) == 0.0


def told(**changes) -> dict[str, str]:
    return dict(rows(cost(**changes))[1:])  # type: ignore[arg-type]


def test_the_table_says_what_was_counted_and_what_is_not_known():
    table = told(
        times=[("gpu", 3600.04), ("cpu", 1.0)], after={"a": entry(x=("1", 2_500_000))}, asked=ASKED, prices=PRICED, cache_bytes=3 * 10**9
    )
    assert table == {
        "machine-seconds, cpu": "1.0",
        "machine-seconds, gpu": "3,600.0",
        "labelling": "414.00 JPY: 1,000 calls, 900,000 tokens in, 120,000 out",
        "stored anew (DVC), at most": "2.5 MB",
        "outs of this run (DVC), in all": "2.5 MB",
        "work cache, in all": "3.0 GB",
    }
    assert told()["labelling"] == "0 USD, no call"
    assert told(asked=ASKED)["labelling"].endswith("set cost.million_input_tokens and cost.million_output_tokens for the money")
    untold = Asked(num_calls=3, input_tokens=2_000_000, output_tokens=0, num_untold=2)
    assert (
        told(asked=untold, prices=PRICED)["labelling"]
        == "600.00 JPY: 3 calls, 2,000,000 tokens in, 0 out; 2 calls of unknown length come on top"
    )


@pytest.mark.parametrize(
    ("num", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (10**15, "1.0 PB"), (10**19, "10000.0 PB")],
)
def test_sizes_are_in_decimal_units(num, text):
    assert size(num) == text


def test_a_cost_can_be_written_down():
    import dataclasses

    assert json.loads(json.dumps(dataclasses.asdict(cost(asked=ASKED))))["asked"]["num_calls"] == 1000
