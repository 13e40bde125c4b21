"""`python -m tests.bench_verdict TABLE`: how often the verdict pages for nothing, and what it finds. Prints Markdown.

years    quiet years, each calibrated on its own months 1 to 3 and judged on its own months 4 to 12: false pages with their upper limit
faults   the first whole day of every fault, by seed, in those years: paged or not, the segment or cause that ranks first, and by how much

Run it in a workspace with a bundle, or name one. What was measured of a day is kept in the cache, so a bench that was stopped goes on.
"""

import argparse
import dataclasses
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitoring.judged import Cause, Judgement, Verdict
from monitoring.rehearsal.faults import FAULTS, Fault
from tests.verdict_rehearsal import CALIBRATION_DAYS, YEAR_DAYS, JudgedYear, Shop

HELD_OUT_YEARS, HELD_OUT_FAULTS = "1000:1010", "1000:1100"
QUARTER_DAYS = 365.25 / 4


@dataclass(frozen=True)
class Row:
    """What was said of a fault's first day. `margin` is by how much the most surprising alarm passes the threshold, in powers of ten."""

    fault: Fault
    seed: int
    judgement: Judgement

    @property
    def paged(self) -> bool:
        return self.judgement.pages

    @property
    def cause(self) -> Cause | None:
        return self.judgement.causes[0] if self.judgement.causes else None

    @property
    def named(self) -> bool:
        """Whether the right cause is first."""
        return self.cause is not None and self.cause.name.value == self.fault.cause

    @property
    def right(self) -> bool:
        """Whether the right segment ranks first; where the fault has none, the right cause."""
        if self.fault.segment is None:
            return self.named
        return bool(self.cause and self.cause.segments and self.cause.segments[0].segment == self.fault.segment)

    @property
    def margin(self) -> float:
        alarms = [one.surprise for one in self.judgement.findings if one.alarming]
        calibration = self.judgement.calibration
        return max(alarms) - calibration.threshold if alarms and calibration else -math.inf


def years_table(years: dict[int, JudgedYear]) -> list[str]:
    """Markdown lines, a year each, and what follows from all."""
    lines = [
        "| year | days judged | false pages | days on which a page stood | watched | threshold | by |",
        "|---|---|---|---|---|---|---|",
    ]
    pages = stood = days = 0
    for seed, year in years.items():
        said = list(year.judgements.values())
        new, on = [one for one in said if one.new_causes], [one for one in said if one.verdict is Verdict.DRIFT]
        thresholds = [one.calibration.threshold for one in said if one.calibration]
        by = ", ".join(f"{one.span.name}: {one.causes[0].key}" for one in new)
        watched = sum(one.verdict is Verdict.WATCH for one in said)
        lines.append(
            f"| {seed} | {len(said)} | {len(new)} | {len(on)} | {watched} | {min(thresholds):.2f} to {max(thresholds):.2f} | {by} |"
        )
        pages, stood, days = pages + len(new), stood + len(on), days + len(said)
        print(f"year {seed}: {len(new)} pages", file=sys.stderr)
    quarters = days / QUARTER_DAYS
    told = f"{days} days, {quarters:.1f} quarters: {rate(pages, quarters)} pages a quarter, {rate(stood, quarters)} days with a page"
    return [*lines, "", told, "", *surprises_table([one for year in years.values() for one in year.judgements.values()])]


def surprises_table(said: Sequence[Judgement]) -> list[str]:
    """Markdown lines: on what share of the days the largest surprise passed t, which is to be once in 10^t days."""
    most = [max((one.surprise for one in judgement.findings), default=0.0) for judgement in said]
    levels = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    shares = [sum(one >= t for one in most) / len(most) for t in levels]
    lines = [f"| surprise of t or more | {' | '.join(map(str, levels))} |", "|---" * (1 + len(levels)) + "|"]
    lines.append("| share of quiet days that should | " + " | ".join(f"{10**-t:.3f}" for t in levels) + " |")
    return [*lines, "| that did, before size and how long it lasted | " + " | ".join(f"{share:.3f}" for share in shares) + " |"]


def rate(count: int, quarters: float) -> str:
    """The count by quarter, with the upper 95 % limit of a Poisson's mean (Garwood 1936)."""
    from scipy.stats import chi2

    return f"{count / quarters:.2f} (at most {chi2.ppf(0.95, 2 * count + 2) / 2 / quarters:.2f})"


def faults_table(rows: Sequence[Row]) -> list[str]:
    """Markdown lines, a fault each: of how many seeds what was right."""
    lines = ["| fault | seeds | paged | right segment first, or cause | right cause | one cause | margin: least, median |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name in FAULTS:
        of = [row for row in rows if row.fault.name == name]
        counts = [sum(getattr(row, what) for row in of) for what in ("paged", "right", "named")]
        margins = sorted(row.margin for row in of)
        one = sum(len(row.judgement.causes) == 1 for row in of)
        lines.append(
            f"| {name} | {len(of)} | {' | '.join(map(str, counts))} | {one} | {margins[0]:.1f}, {margins[len(margins) // 2]:.1f} |"
        )
    lines += ["", "Not right:", ""]
    return lines + [f"- {_told(row)}" for row in rows if not (row.paged and row.right and row.named)]


def _told(row: Row) -> str:
    found = Counter(cause.key for cause in row.judgement.causes)
    where = row.fault.segment or "no segment"
    return f"{row.fault.name} {row.seed} ({where}, {row.judgement.span.name}): {row.judgement.verdict}, {', '.join(found) or 'no cause'}"


def fault_rows(shop: Shop, years: dict[int, JudgedYear], seeds: range) -> list[Row]:
    """Every fault with every seed."""
    rows = []
    for seed in seeds:
        rows += [fault_row(shop, years, name, seed) for name in FAULTS]
        print(f"seed {seed}: {sum(row.paged for row in rows)} of {len(rows)} paged", file=sys.stderr)
    return rows


def fault_row(shop: Shop, years: dict[int, JudgedYear], name: str, seed: int) -> Row:
    """What is said of the fault's first day."""
    fault, year, begin, seen = shop.faulty(name, seed, list(years))
    said = f"faults-{year}/said-{shop.version}/{name}-{seed}"
    return Row(fault, seed, shop.kept(said, lambda: alarms_of(years[year].judged(seen, begin))))


def alarms_of(judgement: Judgement) -> Judgement:
    """The judgement with no findings but its alarms."""
    return dataclasses.replace(judgement, findings=tuple(one for one in judgement.findings if one.alarming))


def seeds_of(text: str) -> range:
    """`1000:1010` as a range."""
    first, end = map(int, text.split(":"))
    return range(first, end)


def main() -> None:
    """Measures what is missing, judges, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("years", "faults"))
    parser.add_argument("--workspace", type=Path, default=Path(), help="where the bundle and the data of the rehearsal's pool are")
    parser.add_argument("--cache", type=Path, default=Path(".vitrine/rehearsal"))
    parser.add_argument("--pool", type=Path, help="a pool made before, instead of that of the workspace")
    parser.add_argument("--years", type=seeds_of, default=HELD_OUT_YEARS, help="seeds of the years; held out are %(default)s")
    parser.add_argument("--seeds", type=seeds_of, default=HELD_OUT_FAULTS, help="seeds of the faults; held out are %(default)s")
    told = parser.parse_args()
    shop = Shop.of(Path("params.yaml"), told.workspace, told.pool, told.cache)
    years = {seed: shop.year(seed) for seed in told.years}
    print(f"Months 4 to 12 are days {CALIBRATION_DAYS} to {YEAR_DAYS - 1}.\n")
    print("\n".join(years_table(years) if told.table == "years" else faults_table(fault_rows(shop, years, told.seeds))))


if __name__ == "__main__":
    main()
