"""A new release is given its items some at a time, and waits where the gateway is busy with requests."""

import asyncio
import datetime as dt

import numpy as np
import pytest

from components.serve import router
from components.serve.items import Item, Placed
from components.serve.problems import Refused

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NO_RELEASE = None


def item(item_id: str) -> Item:
    return Item(
        item_id=item_id, title="", category=(), price=1.0, currency="JPY", status="on_sale", image_id="", created_at=NOW, updated_at=NOW
    )


def placed(place, items):
    return asyncio.run(router._all_placed(place, NO_RELEASE, items))


def test_items_come_back_in_order_and_what_cannot_be_placed_as_none():
    async def place(_, one):
        await asyncio.sleep(0.02 if one.item_id == "0" else 0)
        return None if one.item_id == "3" else Placed(one, np.zeros(1), 0.5)

    found = placed(place, [item(str(n)) for n in range(6)])
    assert [row and row.item.item_id for row in found] == ["0", "1", "2", None, "4", "5"]


def test_no_more_than_some_are_placed_at_once():
    now, most = [0], [0]

    async def place(_, one):
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.001)
        now[0] -= 1

    placed(place, [item(str(n)) for n in range(100)])
    assert most[0] == router.AT_ONCE


def test_an_item_that_finds_the_gateway_too_busy_is_tried_again():
    tries = []

    async def place(_, one):
        tries.append(one.item_id)
        if len(tries) < 3:
            raise Refused("overloaded", "the queue is full", retry_after_s=0.001)
        return Placed(one, np.zeros(1), 0.5)

    assert placed(place, [item("a")])[0].item.item_id == "a"
    assert tries == ["a", "a", "a"]


def test_any_other_refusal_ends_the_building():
    async def place(_, one):
        raise Refused("inference_failed", "the model is gone")

    with pytest.raises(Refused, match="inference_failed"):
        placed(place, [item("a")])
