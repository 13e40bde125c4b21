"""What the stable release may be compared on, and how."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluate.rankings import NUM_RANKS, Exact
from components.evaluate.relevance import category_relevance
from components.evaluate.stable import taught_on
from components.evaluate.table import Row, measure
from tests.unit.test_rankings import HATS, SHOES, held


class Blind:
    """An index that finds nothing, as a poor approximate one might."""

    def rank(self, query_q, own_n, present_n):
        return np.full((len(query_q), NUM_RANKS), -1)


def test_what_approximate_search_costs_the_model_is_no_loss_against_the_stable_release():
    """The stable release is ranked exactly, so the difference ranks the model exactly too; its own row keeps what is served."""
    items = held([HATS, HATS, SHOES, SHOES], ["a", "b", "c", "d"], vectors=[[1, 0], [1, 0], [0, 1], [0, 1]])
    everything = np.ones(4, bool)
    model = Row("model", items.vector_ND, Blind(), everything)
    stable = Row("stable", items.vector_ND, Exact(items.vector_ND), everything, twin=Exact(items.vector_ND))
    measured = measure(category_relevance(items), [model, stable])
    assert measured.value_QM["model"].max() == 0.0
    assert measured.columns()["model_minus_stable"] == pytest.approx(0.0)


ITEMS = [f"i{k:03d}" for k in range(12)]


@given(
    owner=st.lists(st.sampled_from("abcde"), min_size=12, max_size=12),
    known=st.sets(st.sampled_from(ITEMS)),
    held_out=st.sets(st.sampled_from(ITEMS)),
)
def test_an_owner_is_left_out_just_where_the_release_knew_an_item_of_it_that_it_did_not_hold_out(owner, known, held_out):
    taught = taught_on(held([HATS] * 12, owner), known, held_out & known)
    for n in range(12):
        learnt_from = [ITEMS[m] for m in range(12) if owner[m] == owner[n] and ITEMS[m] in known and ITEMS[m] not in held_out]
        assert taught[n] == bool(learnt_from)
