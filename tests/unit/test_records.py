"""CSV lines as records: a bad line costs itself only."""

import csv
import io
import itertools

from hypothesis import given
from hypothesis import strategies as st

from components.ingest.records import Record, records


def read(text):
    return list(records(io.StringIO(text, newline="")))


def test_quoted_newlines_commas_and_quotes_stay_in_their_cell():
    assert read('a,b\n1,"x\r\ny, ""z"""\n2,w\n') == [
        Record(1, ("a", "b")),
        Record(2, ("1", 'x\r\ny, "z"')),
        Record(4, ("2", "w")),
    ]


def test_a_quote_left_open_costs_its_line_and_not_the_rest_of_the_file():
    assert [(one.line, one.cells, one.text) for one in read('a,b\n1,"open\n2,fine\n3,"also fine"\n')] == [
        (1, ("a", "b"), ""),
        (2, (), '1,"open\n'),
        (3, ("2", "fine"), ""),
        (4, ("3", "also fine"), ""),
    ]


def test_a_row_with_a_cell_too_many_or_too_few_is_malformed():
    assert [one.fault for one in read("a,b\n1,2,3\n1\n1,2\n")] == ["", "3 cells, the header has 2", "1 cells, the header has 2", ""]


def test_a_file_that_ends_in_the_middle_of_a_row_says_so():
    assert "the file ends in the middle of this row" in read("a,b\n1,2\n3")[-1].fault
    assert "the file ends" not in read("a,b\n3\n1,2")[1].fault
    assert read("a,b\n1,2")[-1].fault == ""


def test_blank_lines_are_no_rows_and_blank_cells_are():
    assert [one.cells for one in read("\na,b\n\n,\n\r\n1,2")] == [("a", "b"), ("", ""), ("1", "2")]


def test_a_cell_of_a_million_characters_is_read():
    assert len(read("a\n" + "x" * 1_000_000)[1].cells[0]) == 1_000_000


CELLS = st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=3, max_size=3), max_size=6)


@given(CELLS)
def test_what_a_csv_writer_wrote_comes_back(rows):
    sink = io.StringIO()
    csv.writer(sink).writerows([["a", "b", "c"], *rows])
    assert [list(one.cells) for one in read(sink.getvalue())] == [["a", "b", "c"], *rows]


@given(st.lists(st.sampled_from(["1,2", '"', 'x,"', '"a"b,c', 'a""', '"""', '"a\nb",c', ",", "é"]), max_size=8))
def test_no_line_is_lost_whatever_its_quotes(lines):
    text = "h,i\n" + "".join(f"{line}\n" for line in lines)
    got = read(text)
    starts = [one.line for one in got] + [text.count("\n") + 1]
    assert starts == sorted(set(starts))
    spans = [text.splitlines(keepends=True)[a - 1 : b - 1] for a, b in itertools.pairwise(starts)]
    for one, span in zip(got, spans, strict=True):
        assert "".join(span).startswith(one.text) if one.fault else "".join(span).count(",") >= len(one.cells) - 1
