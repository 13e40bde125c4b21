"""Snapshot plus replay equals full run: how rows are spread over files, and how often a snapshot was taken, decides nothing."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.events_shop import Shop, at, click, digest, image, impression, listing, put

DAYS = 4


@dataclass(frozen=True)
class Row:
    """A row, and the first day on which a file could hold it."""

    table: str
    day: int
    fields: dict


NUMBERS = st.integers(0, 4)


@st.composite
def listings(draw):
    day, number = draw(st.integers(1, DAYS)), draw(NUMBERS)
    faults = st.sampled_from([{}, {}, {}, {"title": ""}, {"status": "sold"}, {"price": 0.0}, {"image_id": digest(0)}])
    hour = draw(st.sampled_from([0.0, 1.0, 23.0]))
    return Row("listings", day, listing(number, at(day, hour), price=float(draw(st.integers(100, 103)))) | draw(faults))


@st.composite
def pages(draw):
    day, request = draw(st.integers(1, DAYS)), draw(st.integers(0, 5))
    items = draw(st.lists(NUMBERS, min_size=1, max_size=3))
    faults = draw(st.sampled_from([{}, {}, {}, {}, {"surface": "home"}, {"user_id": "other"}, {"position": 0}]))
    rows = [impression(request, place, item, at(day)) for place, item in enumerate(items)]
    rows[-1] = rows[-1] | faults
    return [Row("impressions", day, row) for row in rows]


@st.composite
def clicks(draw):
    day = draw(st.integers(1, DAYS))
    action = draw(st.sampled_from(["click", "click", "purchase", "like", "hover"]))
    return Row("clicks", day, click(draw(st.integers(0, 6)), draw(NUMBERS), at(day, 13), action=action))


@st.composite
def events(draw):
    """Rows of a small shop, whose every item is sound at first."""
    rows = [Row("listings", 1, listing(n, at(1, 0))) for n in range(3)] + [Row("images", 1, image(n)) for n in range(4)]
    rows += draw(st.lists(listings(), max_size=6)) + draw(st.lists(clicks(), max_size=6))
    return rows + [row for one in draw(st.lists(pages(), max_size=5)) for row in one]


@st.composite
def spreads(draw, rows):
    """The rows in files (table, day, name), some of them in two, none before its day."""
    files = {}
    for row in rows:
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            place = (row.table, draw(st.integers(row.day, DAYS + 2)), draw(st.sampled_from("ab")))
            files.setdefault(place, []).append(row.fields)
    return {place: draw(st.permutations(some)) for place, some in files.items()}


def write(shop, files):
    for (table, day, name), rows in files.items():
        put(shop.events, table, day, rows, name)


def result(shop, summary):
    """Everything that may not depend on files; copies of a row are counted, so the counts of copies are left out."""
    counts = {table: {k: v for k, v in account.items() if k not in ("rows_in", "repeated")} for table, account in summary.accounts.items()}
    tables = {name: shop.table(name) for name in ("listings", "images", "impressions")}
    kept = {name: shop.quarantined(name) for name in ("listings", "images", "impressions", "clicks")}
    return {"counts": counts, **tables, "quarantine": kept}


AS_OF = st.sampled_from([at(2, 6), at(3, 13.5), at(DAYS + 2, 23)])


@settings(max_examples=12, deadline=None)
@given(data=st.data(), rows=events(), as_of=AS_OF)
def test_however_rows_are_spread_over_files_the_tables_are_the_same(tmp_path_factory, data, rows, as_of):
    results = []
    for name in ("one", "other"):
        shop = Shop(tmp_path_factory.mktemp(name), impression_share=0.9)
        write(shop, data.draw(spreads(rows)))
        results.append(result(shop, shop.take(as_of=as_of)))
    assert results[0] == results[1]


@settings(max_examples=6, deadline=None)
@given(data=st.data(), rows=events())
def test_taking_every_snapshot_ends_where_taking_only_the_last_does(tmp_path_factory, data, rows):
    files = data.draw(spreads(rows))
    arrivals = data.draw(st.permutations(sorted(files)))
    steps = Shop(tmp_path_factory.mktemp("steps"))
    first = [place for place in arrivals if place[0] in ("listings", "images") and place[1] <= DAYS + 2]
    write(steps, {place: files[place] for place in first})
    steps.take("first", as_of=at(3))
    for place in [place for place in arrivals if place not in first][:2]:
        write(steps, {place: files[place]})
        steps.take(f"{place}".replace("/", "-"), as_of=at(DAYS + 2, 23))
    write(steps, files)
    stepwise = result(steps, steps.take("last", as_of=at(DAYS + 2, 23)))
    once = Shop(tmp_path_factory.mktemp("once"))
    write(once, files)
    assert stepwise == result(once, once.take(as_of=at(DAYS + 2, 23)))
