"""Which columns of a shop's own table hold ours, and what they say in our terms."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from components import schema
from components.ingest.files import NoTableError
from components.ingest.folder import Columns
from components.ingest.tables import values
from components.ingest.tables.config import ClicksTable, ImpressionsTable, TablesConfig
from components.ingest.tables.times import Clock
from components.ingest.tables.values import MisfitError

Read = Callable[[pa.Array], Any]
Said = dict[str, list[Any]]
"""By column of ours, for each of theirs that hold it: what its reader makes of the rows."""

REQUIRED = ("item_id", "title", "category")


@dataclass(frozen=True)
class Wanted:
    """One column of ours: the names of theirs that hold it (several only of a category), the knob that maps it, what reads it, and the
    text that stands for it where they have none."""

    name: str
    theirs: tuple[str, ...]
    knob: str
    read: Read
    required: bool = False
    fixed: str | None = None


@dataclass(frozen=True)
class Plan:
    """Ours that a file holds, each with the names of theirs that are there; `absent` are mapped columns that are not."""

    found: Sequence[tuple[Wanted, tuple[str, ...]]]
    absent: frozenset[str]

    @property
    def names(self) -> list[str]:
        """Every column to read, each once."""
        return list(dict.fromkeys(name for _, theirs in self.found for name in theirs))

    @property
    def ours(self) -> set[str]:
        """The columns of ours that it holds."""
        return {one.name for one, _ in self.found}

    def said(self, batch: pa.RecordBatch) -> Said:
        """What the rows say. Raises NoTableError."""
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return {one.name: [_read(one, columns[name], name) for name in theirs] for one, theirs in self.found}


def plan_of(found: pa.Schema, wanted: Sequence[Wanted]) -> Plan:
    """How a file with these columns is read. Raises NoTableError: column_missing or column_type."""
    there, absent = [], []
    for one in wanted:
        held = tuple(name for name in one.theirs if name in found.names)
        if one.required and one.fixed is None and held[:1] != one.theirs[:1]:
            raise NoTableError("column_missing", _missing(one, found.names))
        absent += [one.name if len(one.theirs) == 1 else f"{one.name}.{name}" for name in one.theirs if name not in held]
        for name in held:
            if found.names.count(name) > 1:
                raise NoTableError("column_type", f"more than one column {name!r}, which {one.knob} names")
            _read(one, _empty(found.field(name).type), name)
        there += [(one, held)] if held else []
    return Plan(there, frozenset(absent))


def _empty(kind: pa.DataType) -> pa.Array:
    return pa.nulls(0, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)


def _read(one: Wanted, column: pa.Array, theirs: str) -> Any:
    try:
        return one.read(values.plain(column))
    except MisfitError as misfit:
        raise NoTableError("column_type", f"{theirs!r} is {column.type}, and {one.knob} wants {misfit}") from None
    except MemoryError:
        raise
    except (pa.ArrowException, ValueError) as error:
        raise NoTableError("column_type", f"{theirs!r} is {column.type}, which {one.knob} cannot hold: {str(error)[:200]}") from None


def _missing(one: Wanted, there: Sequence[str]) -> str:
    theirs = one.theirs[0] if one.theirs else one.name
    near = difflib.get_close_matches(theirs, there, n=1, cutoff=0.5) or difflib.get_close_matches(one.name, there, n=1, cutoff=0.5)
    hint = f" (nearest: {near[0]!r})" if near else ""
    return f"no column {theirs!r}{hint}; found: {', '.join(there)[:500]}. Set {one.knob} in params.yaml to the column that holds it"


def listing_columns(columns: Columns, tables: TablesConfig) -> list[Wanted]:
    """What a listing is made of, read as lists for Python. Photos come as `picture` (their bytes), `image` (their keys) or both."""
    own, clock = tables.listings, Clock(tables.time_zone, tables.time_unit)
    readers: Mapping[str, Read] = {
        "category": partial(values.names, separator=own.category_separator),
        "created_at": clock.told,
        "price": lambda column: values.numbers(column).to_pylist(),
    }
    required = REQUIRED if own.picture else (*REQUIRED, "image")
    made = [
        Wanted(
            name,
            _named(getattr(columns, name)),
            f"ingest.columns.{name}",
            readers.get(name, partial(_strings, words=own.words.get(name, {}))),
            name in required,
            own.fixed.get(name),
        )
        for name in Columns.model_fields
    ]
    knob = "ingest.tables.listings"
    made.append(Wanted("picture", _named(own.picture), f"{knob}.picture", values.photos, bool(own.picture)))
    return [*made, Wanted("updated_at", _named(own.updated_at), f"{knob}.updated_at", clock.told, bool(own.updated_at))]


def _named(mapped: str | list[str] | None) -> tuple[str, ...]:
    return tuple(mapped) if isinstance(mapped, list) else (mapped,) if mapped else ()


def _strings(column: pa.Array, words: Mapping[str, str]) -> list[str | None]:
    return values.strings(values.worded(values.texts(column), words))


def columns_of(table: str, tables: TablesConfig) -> list[Wanted]:
    """The columns of schema.EVENTS["impressions"] or ["clicks"], read as arrays; text as its bytes."""
    own = tables.impressions if table == "impressions" else tables.clicks
    return [_log_column(field, table, own, Clock(tables.time_zone, tables.time_unit)) for field in schema.EVENTS[table]]


def _log_column(field: pa.Field, table: str, own: ImpressionsTable | ClicksTable, clock: Clock) -> Wanted:
    kind = field.type
    read: Read = partial(_texts, words=own.words.get(field.name, {}))
    if pa.types.is_timestamp(kind):
        read = clock.moments
    elif not pa.types.is_string(kind):
        read = {pa.int64(): values.wholes, pa.float64(): values.numbers, pa.bool_(): values.flags}[kind]
    knob = f"ingest.tables.{table}.columns.{field.name}"
    return Wanted(field.name, _named(getattr(own.columns, field.name)), knob, read, not field.nullable, own.fixed.get(field.name))


def _texts(column: pa.Array, words: Mapping[str, str]) -> pa.Array:
    return values.worded(values.texts(column), words)
