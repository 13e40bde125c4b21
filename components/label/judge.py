"""What a judge of photos is, and what it answers. A judge sees two photos and never learns which one was clicked."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal, Protocol

Choice = Literal["first", "second", "tie", "cannot_judge"]
Side = Literal["first", "second"]

OTHER: dict[Side, Side] = {"first": "second", "second": "first"}


@dataclass(frozen=True)
class Adjective:
    """One word about one of the two photos; polarity is -1, 0 or 1, and 1 speaks for the photo."""

    item: Side
    adjective: str
    polarity: int


@dataclass(frozen=True)
class Verdict:
    """One answer about two photos in the order shown. Scores lie in [0, 1], higher is better, and are None where there are none.

    `unusable` is the reason code of an answer that could not be used (malformed, refused, cut_off, or a picture's own code), else "".
    """

    choice: Choice
    first_score: float | None = None
    second_score: float | None = None
    adjectives: tuple[Adjective, ...] = ()
    analysis: str = ""
    unusable: str = ""

    def swapped(self) -> "Verdict":
        """The same opinion about the same photos shown in the other order."""
        return replace(
            self,
            choice=OTHER[self.choice] if self.choice in ("first", "second") else self.choice,
            first_score=self.second_score,
            second_score=self.first_score,
            adjectives=tuple(replace(a, item=OTHER[a.item]) for a in self.adjectives),
        )

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, the form in which the work cache keeps it."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Verdict":
        """The verdict that to_bytes wrote."""
        fields = json.loads(data)
        return cls(**{**fields, "adjectives": tuple(Adjective(**a) for a in fields["adjectives"])})


def cannot_judge(reason: str) -> Verdict:
    """The verdict that stands for an answer nobody can use; `reason` is its code."""
    return Verdict("cannot_judge", unusable=reason)


class Judge(Protocol):
    """Whoever compares two photos. `id` and `rubric` stand in every row, so labels of different judges or questions never mix.

    Verdicts of a `paid` judge are kept in the work cache and never asked for again.
    """

    @property
    def id(self) -> str: ...

    @property
    def rubric(self) -> str: ...

    @property
    def paid(self) -> bool: ...

    def judge(self, query: str | None, first_picture: bytes, second_picture: bytes) -> Verdict:
        """The verdict on two encoded pictures. Raises JudgeFailed where none can be had, and BadPicture."""
        ...


@dataclass(frozen=True)
class Question:
    """Two pictures in the order shown, by image_id, and the search words that found them, if any."""

    query: str | None
    first_image: str
    second_image: str

    def key(self, judge: Judge) -> str:
        """sha256 over rubric, judge, query and both pictures in order. The code is not in it: paid answers survive an edit."""
        parts = [judge.rubric, judge.id, self.query, self.first_image, self.second_image]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
