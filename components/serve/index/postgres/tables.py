"""The tables in PostgreSQL, and every statement over them. Names of tables are made of numbers, values are always bound.

A generation's table is named after its row's id, which is never given twice: a replica that missed a drop finds no table, and never the
table of another vector space under a name that it knew.
"""

import dataclasses
from typing import LiteralString

from psycopg import sql
from psycopg.sql import SQL, Composed, Identifier

from components.serve.items import Filters, Item

SCHEMA_LOCK = 0x76697472  # "vitr", taken while tables are made
BUILD_LOCK = 0x76697473  # with a generation's id, while its indexes are made
SCHEMA = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS vitrine_generations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  release_id text NOT NULL,
  fingerprint text NOT NULL,
  dim integer NOT NULL,
  created_at timestamptz NOT NULL,
  complete boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS vitrine_alias (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  active text,
  previous text[] NOT NULL,
  version bigint NOT NULL
);
INSERT INTO vitrine_alias (active, previous, version) VALUES (NULL, '{}', 0) ON CONFLICT DO NOTHING;
"""
ITEMS = """
CREATE TABLE {table} (
  item_id text COLLATE "C" PRIMARY KEY,
  updated_at timestamptz NOT NULL,
  deleted_at timestamptz,
  title text,
  category text[],
  price double precision,
  currency text,
  status text,
  image_id text,
  created_at timestamptz,
  seller_id text,
  product_id text,
  description text,
  app_version text,
  width integer,
  height integer,
  stats jsonb,
  image_score real,
  vector halfvec({dim})
)
"""  # a deletion is a row without a vector, and with the time of its writing
INDEXES: dict[str, LiteralString] = {  # partial ones cover the items that are there
    "score": "CREATE INDEX CONCURRENTLY {index} ON {table} (image_score) WHERE vector IS NOT NULL",
    "price": "CREATE INDEX CONCURRENTLY {index} ON {table} (price) WHERE vector IS NOT NULL",
    "category": "CREATE INDEX CONCURRENTLY {index} ON {table} USING gin (category) WHERE vector IS NOT NULL",
    "hnsw": "CREATE INDEX CONCURRENTLY {index} ON {table} USING hnsw (vector halfvec_ip_ops) WITH (m = {m}, ef_construction = {ef})",
}
FIELDS = tuple(field.name for field in dataclasses.fields(Item))
COLUMNS = (*FIELDS, "image_score", "vector")
ABOUT: LiteralString = "name, release_id, fingerprint, dim, created_at, complete"


@dataclasses.dataclass(frozen=True)
class Statements:
    """What is asked of one generation's table."""

    id: int
    dim: int

    @property
    def table(self) -> Identifier:
        """The generation's table."""
        return Identifier(f"vitrine_items_{self.id}")

    def index(self, name: str) -> Identifier:
        """One of the table's INDEXES."""
        return Identifier(f"vitrine_items_{self.id}_{name}")

    def create(self) -> Composed:
        """Makes the table."""
        return SQL(ITEMS).format(table=self.table, dim=sql.Literal(self.dim))

    def upsert(self, *, wins_ties: bool) -> Composed:
        """Keeps a row of COLUMNS unless something newer stands there."""
        return SQL(
            "INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT (item_id) DO UPDATE SET {updates}"
            " WHERE excluded.updated_at {newer} {table}.updated_at"
        ).format(
            table=self.table,
            columns=_names(COLUMNS),
            values=SQL(", ").join(sql.Placeholder() for _ in COLUMNS),
            updates=SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in (*COLUMNS[1:], "deleted_at")),
            newer=SQL(">=" if wins_ties else ">"),
        )

    def delete(self) -> Composed:
        """True where the item was there; the row that stays says when it went. Takes item_id, item_id and the time."""
        blank = [name for name in COLUMNS if name not in ("item_id", "updated_at")]
        return SQL(
            "WITH was AS (SELECT FROM {table} WHERE item_id = %s AND vector IS NOT NULL),"
            " gone AS (INSERT INTO {table} (item_id, updated_at, deleted_at) VALUES (%s, %s, now()) ON CONFLICT (item_id) DO UPDATE"
            " SET updated_at = excluded.updated_at, deleted_at = now(), {blanks} WHERE excluded.updated_at >= {table}.updated_at"
            " RETURNING item_id)"
            " SELECT EXISTS (SELECT FROM was) AND EXISTS (SELECT FROM gone)"
        ).format(table=self.table, blanks=SQL(", ").join(SQL("{} = NULL").format(Identifier(name)) for name in blank))

    def forget_deletions(self) -> Composed:
        """Removes what deletions left that were written before a time."""
        return SQL("DELETE FROM {table} WHERE deleted_at < %s").format(table=self.table)

    def get(self) -> Composed:
        """The row of COLUMNS of one item."""
        return SQL("SELECT {columns} FROM {table} WHERE item_id = %s AND vector IS NOT NULL").format(
            columns=_names(COLUMNS), table=self.table
        )

    def nearest(self, filters: Filters, *, exact: bool) -> tuple[Composed, list[object]]:
        """Cosine, score and FIELDS of the nearest, in about that order. Takes the query, what the filters need, the query, and k."""
        where, values = _where(filters)
        text = SQL(
            "SELECT -(vector <#> %s::{vector}) AS cosine, image_score, {columns} FROM {table}"
            " WHERE vector IS NOT NULL{where} ORDER BY {distance} LIMIT %s"
        ).format(
            columns=_names(FIELDS),
            table=self.table,
            where=where,
            vector=SQL("halfvec({})").format(sql.Literal(self.dim)),
            # no index is on a sum, so that adding nothing compares with every row
            distance=SQL("(vector <#> %s::halfvec({})){}").format(sql.Literal(self.dim), SQL(" + 0" if exact else "")),
        )
        return text, values

    def count(self) -> Composed:
        """How many items are there."""
        return SQL("SELECT count(*) FROM {table} WHERE vector IS NOT NULL").format(table=self.table)

    def page(self, columns: tuple[str, ...]) -> Composed:
        """The rows after an item_id, at most so many."""
        return SQL("SELECT {columns} FROM {table} WHERE item_id > %s AND vector IS NOT NULL ORDER BY item_id LIMIT %s").format(
            columns=_names(columns), table=self.table
        )

    def sample(self) -> Composed:
        """Rows of COLUMNS drawn by a seed, as drawing.drawn() does."""
        return SQL(
            "SELECT {columns} FROM {table} WHERE item_id IN (SELECT item_id FROM {table} WHERE vector IS NOT NULL"
            " ORDER BY md5(%s || ':' || item_id) COLLATE \"C\" LIMIT %s) ORDER BY md5(%s || ':' || item_id) COLLATE \"C\""
        ).format(columns=_names(COLUMNS), table=self.table)

    def score_percentiles(self) -> Composed:
        """Takes the shares; one array, or NULL where there are no items."""
        return SQL("SELECT percentile_cont(%s::float8[]) WITHIN GROUP (ORDER BY image_score) FROM {table} WHERE vector IS NOT NULL").format(
            table=self.table
        )


def _names(names: tuple[str, ...]) -> Composed:
    return SQL(", ").join(map(Identifier, names))


def _where(filters: Filters) -> tuple[Composed, list[object]]:
    """Conditions, each with AND before it, and their values. The first on category can use the index, the second says what is meant."""
    parts, values = [SQL("")], list[object]()
    if filters.category:
        path = list(filters.category)
        # coalesce, since the planner takes an equality of slices for rare, and would compare with every row of a large category
        parts.append(SQL(" AND category @> %s::text[] AND coalesce((category)[:%s::int] = %s::text[], false)"))
        values += [path, len(path), path]
    if filters.min_price is not None:
        parts.append(SQL(" AND price >= %s"))
        values.append(filters.min_price)
    if filters.max_price is not None:
        parts.append(SQL(" AND price <= %s"))
        values.append(filters.max_price)
    if filters.status:
        parts.append(SQL(" AND status = ANY(%s::text[])"))
        values.append(sorted(filters.status))
    return SQL("").join(parts), values
