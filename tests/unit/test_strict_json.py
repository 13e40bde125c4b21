"""Strict JSON: what the plain parser takes is taken, but for what two parsers would read in two ways."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.access.strict_json import BadJson, strict_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_sound_json_is_read_as_it_was_written(value, ascii_only):
    assert strict_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_bad_json(data):
    try:
        value = strict_json(data)
    except BadJson:
        return
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b'{"x": -Infinity}',
        b"1e999",
        b"-1e999",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff",
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\uD800\\ud800"',
        b'{"\\udfff": 1}',
        b'"\x00"',
        b"\x00",
        b"9" * 5000,
        b"[1,]",
        b'{"a":1} x',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b"'a'",
        b"{a: 1}",
    ],
)
def test_what_is_no_strict_json_is_refused(data):
    with pytest.raises(BadJson):
        strict_json(data)


def test_a_whole_surrogate_pair_is_a_character():
    assert strict_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_messages_never_quote_the_body():
    for data in (b'{"password": hunter2}', b'{"hunter2": 1, "hunter2": 2}', b'["hunter2\xff"]'):
        with pytest.raises(BadJson) as caught:
            strict_json(data)
        assert "hunter2" not in str(caught.value)
