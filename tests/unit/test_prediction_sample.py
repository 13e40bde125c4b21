"""Which requests the prediction log takes."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components.ingest.window import placed
from components.serve.log.predictions import Predictions


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_sample_holds_the_smaller_one_and_a_request_is_always_in_or_always_out(request_id, one, other):
    small, large = sorted((one, other))
    assert Predictions(None, small).should(request_id) <= Predictions(None, large).should(request_id)
    assert Predictions(None, one).should(request_id) == Predictions(None, one).should(request_id)
    assert Predictions(None, 1.0).should(request_id)
    assert not Predictions(None, 0.0).should(request_id)


def test_the_share_of_requests_is_the_one_asked_for():
    taken = np.mean([Predictions(None, 0.1).should(f"r-{n}") for n in range(20_000)])
    assert 0.09 < taken < 0.11


def test_it_is_the_sample_that_ingest_takes_of_impressions():
    ids = [f"r-{n}" for n in range(500)]
    assert placed(pa.chunked_array([ids]), 4, 0.3).sampled_N.tolist() == [Predictions(None, 0.3).should(one) for one in ids]
