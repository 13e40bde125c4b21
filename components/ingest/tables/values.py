"""A column of a shop's own table, whatever its type, as the values that ours hold.

Each function takes a column as it was read and raises MisfitError where its type, or a value that the type allows, cannot be meant. An
empty column of a type tells whether the type fits.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

WHOLE = {16: 2**11, 32: 2**24, 64: 2**53}  # by a float's bits: from here on it no longer tells neighbouring whole numbers apart
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


class MisfitError(Exception):
    """A column is of another kind than ours; says of which it should be."""


def is_text(kind: pa.DataType) -> bool:
    """Text, or bytes, which writers of old call text too."""
    return any(is_one(kind) for is_one in (*TEXT, *BYTES))


def plain(column: pa.Array) -> pa.Array:
    """The column without dictionary, and of an extension only what is stored: none of its code is asked for."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def texts(column: pa.Array) -> pa.Array:
    """binary: text with its bytes as they are, and whole numbers in digits, as ids often are."""
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.binary())
    if is_text(kind):
        return column.cast(pa.binary())
    if pa.types.is_integer(kind):
        return column.cast(pa.string()).cast(pa.binary())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _whole(column, "text or a whole number").cast(pa.string()).cast(pa.binary())
    raise MisfitError("text or a whole number")


def _whole(column: pa.Array, wanted: str) -> pa.Array:
    kind = column.type
    if pa.types.is_floating(kind) and pc.any(pc.greater_equal(pc.abs(column.cast(pa.float64())), WHOLE[kind.bit_width])).as_py():
        raise MisfitError(f"{wanted}: it holds fractions, or numbers too large for their type to be exact")
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        raise MisfitError(f"{wanted}: it holds fractions, or numbers too large") from None


def numbers(column: pa.Array) -> pa.Array:
    """double."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return column.cast(pa.float64(), safe=False)
    raise MisfitError("a number")


def wholes(column: pa.Array) -> pa.Array:
    """int64."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return _whole(column, "a whole number")
    raise MisfitError("a whole number")


def flags(column: pa.Array) -> pa.Array:
    """bool; 0 and 1 count as no and yes."""
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.bool_())
    if pa.types.is_integer(kind) and not pc.any(pc.or_(pc.less(column, 0), pc.greater(column, 1))).as_py():
        return column.cast(pa.bool_())
    raise MisfitError("true or false, or 0 or 1")


def photos(column: pa.Array) -> list[bytes | None]:
    """The bytes of photos, for Python."""
    if pa.types.is_null(column.type) or any(is_one(column.type) for is_one in BYTES):
        return list(column.to_pylist())
    raise MisfitError("binary, with a photo's bytes in each row")


def strings(column: pa.Array) -> list[str | None]:
    """texts() for Python; bytes that are not UTF-8 are escaped as lone surrogates, which admission turns away."""
    return [None if one is None else one.decode("utf-8", "surrogateescape") for one in texts(column).to_pylist()]


def names(column: pa.Array, separator: str | None) -> list[list[str | None]]:
    """Each row's names, root first: a list, or a text that the separator parts. A row that is null has one name, which is null."""
    is_list = any(is_one(column.type) for is_one in LISTS)
    try:
        given = strings(plain(column.flatten()) if is_list else column)
    except MisfitError:
        raise MisfitError("text, or a list of texts") from None
    if is_list:
        each = iter(given)
        return [[None] if size is None else [next(each) for _ in range(size)] for size in pc.list_value_length(column).to_pylist()]
    return [[*one.split(separator)] if one and separator else [one] for one in given]


def worded(column: pa.Array, words: Mapping[str, str]) -> pa.Array:
    """texts() with their words in ours; words that nobody translates stay."""
    if not words:
        return column
    coded = column.dictionary_encode()
    known = {theirs.encode(): ours.encode() for theirs, ours in words.items()}
    return pa.array([known.get(one, one) for one in coded.dictionary.to_pylist()], pa.binary()).take(coded.indices)
