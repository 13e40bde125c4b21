"""One round of questions: what is answered, what has gone meanwhile, and what stays unanswered. It ends early where the gateway does."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.errors import BadPicture, GatewayFailed
from monitoring.probes import NEIGHBOURS
from monitoring.probing.asker import Asker, Refusal, Unanswered
from monitoring.probing.questions import SIMILAR, Question, Said
from monitoring.probing.written import Version

UNKNOWN = "item_unknown"
PICTURE = "picture_"

Lately = Callable[[], Mapping[str, Version]]
"""The items written lately, as they stand at the moment."""


@dataclass
class Round:
    """What came of the questions. Of what has gone, or whose photo cannot be used, there is a number and no answer; `unanswered` counts
    questions by why. `failure` is why it ended early."""

    asker: Asker
    prefix: str
    max_unanswered: int
    answers: list[tuple[Question, Said]] = field(default_factory=list)
    num_gone: int = 0
    num_bad_photos: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)
    num_not_asked: int = 0
    failure: GatewayFailed | None = None
    _missed: list[tuple[Question, Said]] = field(default_factory=list)
    _in_a_row: int = 0
    _asked: int = 0

    def go(self, questions: Iterable[Question], lately: Lately) -> None:
        """Asks them all, and then whether what was not found is still there to be found."""
        left = iter(questions)
        try:
            self.asker.meet()
            for question in left:
                self.num_not_asked += 1  # until it was
                self._one(question)
                self.num_not_asked -= 1
                self._check_patience()
        except GatewayFailed as failure:
            self.failure = failure
            self.num_not_asked += sum(1 for _ in left)
        if self._missed:
            self._settle(lately())

    def _one(self, question: Question) -> None:
        try:
            said = self._said(question)
        except BadPicture:
            self.num_bad_photos += 1
        except Refusal as refusal:
            self._refused(question, refusal)
        except Unanswered as error:
            self._not_answered(str(error))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            self._not_answered(f"an answer of {question.path} that lacks what it must hold ({type(error).__name__})")
        else:
            self._in_a_row = 0
            is_missed = question.image_id is not None and not said.value
            (self._missed if is_missed else self.answers).append((question, said))

    def _said(self, question: Question) -> Said:
        return question.said(self._ask(question.path, question.body()))

    def _ask(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._asked += 1
        return self.asker.ask(f"{self.prefix}-{self._asked}", path, body)

    def _refused(self, question: Question, refusal: Refusal) -> None:
        """A gateway that refuses for good is there and works."""
        if question.kind == NEIGHBOURS and refusal.code == UNKNOWN:
            self._in_a_row, self.num_gone = 0, self.num_gone + 1
        elif refusal.code.startswith(PICTURE) and refusal.status == 422:
            self._in_a_row = 0
            if question.at_worst is None:
                self.num_bad_photos += 1
            else:
                self.answers.append((question, question.at_worst))
        else:
            self._not_answered(f"HTTP {refusal.status} {refusal.code}: {refusal.detail}")

    def _not_answered(self, why: str) -> None:
        self.unanswered[why] += 1
        self._in_a_row += 1

    def _check_patience(self) -> None:
        if self._in_a_row >= self.max_unanswered:
            *_, why = self.unanswered
            raise GatewayFailed(f"{self.asker.cfg.address} gave no answer to {self._in_a_row} questions in a row: {why}")

    def _settle(self, lately: Mapping[str, Version]) -> None:
        """An item that was deleted or has another photo by now could not be found; any other could."""
        for question, said in self._missed:
            version = lately.get(question.name)
            is_there = self._shows(question) if version is None else not version.is_deleted and version.image_id == question.image_id
            if is_there:
                self.answers.append((question, said))
            elif is_there is not None:
                self.num_gone += 1

    def _shows(self, question: Question) -> bool | None:
        """Whether the gateway still has the item with that photo: nobody wrote it lately, so the log does not say. None where it is not
        to be learnt, which is told."""
        try:
            if self.failure is None:
                told = self._ask(SIMILAR, {"item_id": question.name, "k": 1})
                return bool(told["query"]["image_id"] == question.image_id)
        except Refusal as refusal:
            if refusal.code == UNKNOWN:
                return False
        except GatewayFailed as failure:
            self.failure = failure
        except (Unanswered, KeyError, TypeError):
            pass
        self.unanswered["whether an item that was not found is still there"] += 1
        return None


def prefix_of(at: dt.datetime) -> str:
    """How the ids of the requests of that hour begin, in the gateway's own log."""
    return f"probe-{at:%Y%m%dT%H}"
