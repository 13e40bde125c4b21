from hypothesis import given
from hypothesis import strategies as st

from components.serve.inference.batching import RETRY_S, Limits, admits, is_full, num_in_batch, retry_after_s, start_at


def limits(**changes) -> Limits:
    usual = {"max_rows": 4, "max_pixels": 100, "max_wait_s": 0.5, "max_queued_rows": 8, "max_queued_pixels": 200}
    return Limits(**usual | changes)


rows = st.lists(st.integers(0, 150), max_size=12)
pictures = st.lists(st.integers(1, 150), max_size=12)
some_limits = st.builds(
    limits,
    max_rows=st.integers(1, 6),
    max_pixels=st.integers(1, 120),
    max_wait_s=st.floats(0, 2),
    max_queued_rows=st.integers(1, 8),
    max_queued_pixels=st.integers(1, 300),
)


@given(rows, some_limits)
def test_a_batch_is_the_longest_front_of_the_queue_that_rows_and_pixels_allow(waiting, bounds):
    count = num_in_batch(waiting, bounds)
    assert (count >= 1) == bool(waiting)
    if count > 1:
        assert count <= bounds.max_rows
        assert sum(waiting[:count]) <= bounds.max_pixels
    if count < len(waiting):
        assert count == bounds.max_rows or sum(waiting[: count + 1]) > bounds.max_pixels


@given(rows, some_limits)
def test_every_row_gets_into_some_batch_in_order_of_arrival(waiting, bounds):
    left, served = list(waiting), []
    while left:
        count = num_in_batch(left, bounds)
        served += left[:count]
        left = left[count:]
    assert served == waiting


def test_a_row_larger_than_any_batch_goes_alone():
    assert num_in_batch([500, 1, 1], limits(max_pixels=100)) == 1
    assert num_in_batch([1, 500, 1], limits(max_pixels=100)) == 1


@given(pictures, pictures, some_limits)
def test_a_full_batch_stays_as_it_is_whatever_else_arrives(waiting, more, bounds):
    if is_full(waiting, bounds):
        assert num_in_batch([*waiting, *more], bounds) == num_in_batch(waiting, bounds)


def test_a_row_that_finds_the_model_idle_starts_at_once():
    assert start_at(oldest_since=10.0, idle_since=9.0, full=False, limits=limits(max_wait_s=0.5)) == 10.0


def test_a_row_that_came_while_the_model_was_busy_waits_for_company_no_longer_than_it_may():
    assert start_at(oldest_since=10.0, idle_since=10.2, full=False, limits=limits(max_wait_s=0.5)) == 10.5
    assert start_at(oldest_since=10.0, idle_since=10.2, full=True, limits=limits(max_wait_s=0.5)) == 10.0


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.booleans(), some_limits)
def test_no_row_is_held_back_longer_than_it_may(since, idle, full, bounds):
    assert since <= start_at(since, idle, full, bounds) <= since + bounds.max_wait_s


@given(st.integers(0, 20), st.integers(0, 400), st.integers(1, 20), st.integers(0, 400), some_limits)
def test_what_is_admitted_fits_unless_nobody_waits(queued_rows, queued_pixels, more_rows, pixels, bounds):
    if admits(queued_rows, queued_pixels, more_rows, pixels, bounds) and queued_rows:
        assert queued_rows + more_rows <= bounds.max_queued_rows
        assert queued_pixels + pixels <= bounds.max_queued_pixels


def test_rows_and_pixels_each_fill_the_queue():
    assert admits(7, 0, 1, 1, limits(max_queued_rows=8))
    assert not admits(8, 0, 1, 1, limits(max_queued_rows=8))
    assert not admits(1, 150, 1, 51, limits(max_queued_pixels=200))
    assert admits(0, 0, 99, 9999, limits()), "what never fits is taken by an empty queue rather than refused for ever"


def test_the_time_to_come_back_is_the_queue_at_the_measured_rate():
    assert retry_after_s(100, 0.05) == 5.0
    assert retry_after_s(100, None) == 1.0
    assert retry_after_s(0, 0.05) == RETRY_S[0]
    assert retry_after_s(10**9, 0.05) == RETRY_S[1]
