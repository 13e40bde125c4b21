"""Putting questions to a judge: each once, several at a time, with every answer kept before the next question goes out."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from components.errors import BadPicture, JudgeFailed
from components.label.judge import Judge, Question, Verdict, cannot_judge
from components.progress import track
from components.work_cache import Pack

log = logging.getLogger("vitrine")

FLUSH_EVERY = 500

Pictures = Mapping[str, bytes]


def answer(question: Question, judge: Judge, pictures: Pictures) -> Verdict:
    """The judge's verdict; a picture that cannot be decoded is one nobody can judge, and stops nobody else's. Raises JudgeFailed."""
    try:
        return judge.judge(question.query, pictures[question.first_image], pictures[question.second_image])
    except BadPicture as error:
        return cannot_judge(error.reason)


def all_answers(
    questions: list[Question], judge: Judge, read_pictures: Callable[[set[str]], Pictures], kept: Pack, concurrency: int
) -> dict[Question, Verdict]:
    """Every question's verdict. The judge is asked only what `kept` does not know.

    Raises JudgeFailed or CallLimit after everything answered so far is in `kept`.
    """
    distinct = list(dict.fromkeys(questions))
    known = {q: Verdict.from_bytes(data) for q in distinct if (data := kept.get(q.key(judge))) is not None}
    left = [q for q in distinct if q not in known]
    pictures = read_pictures({image for q in left for image in (q.first_image, q.second_image)})
    if not judge.paid:
        return known | _judged_here(left, judge, pictures, kept)
    log.info("label: %d of %d questions are answered already; asking %s the other %d", len(known), len(distinct), judge.id, len(left))
    hearing = Hearing(judge, pictures, kept, concurrency)
    hearing.ask(left)
    if hearing.failures:
        raise _stopped(hearing.failures[0], len(known) + len(hearing.verdicts), len(distinct))
    return known | hearing.verdicts


def _judged_here(questions: list[Question], judge: Judge, pictures: Pictures, kept: Pack) -> dict[Question, Verdict]:
    """Verdicts of a judge that costs nothing but time."""
    found = {}
    for question in track(questions, len(questions), "label: judged"):
        found[question] = answer(question, judge, pictures)
        kept.put(question.key(judge), found[question].to_bytes())
        if len(kept.fresh) >= FLUSH_EVERY:
            kept.flush()
    return found


def _stopped(failure: JudgeFailed, num_kept: int, num_asked: int) -> JudgeFailed:
    kept = f"{num_kept} of {num_asked} answers are in the work cache; run again to go on with the rest, nothing paid is asked again."
    return type(failure)(f"{failure} {kept}")


@dataclass
class Hearing:
    """Paid questions in flight, at most `concurrency` at a time; whatever comes back is flushed to `kept` at once."""

    judge: Judge
    pictures: Pictures
    kept: Pack
    concurrency: int
    verdicts: dict[Question, Verdict] = field(default_factory=dict)
    failures: list[JudgeFailed] = field(default_factory=list)
    _running: dict[Future[Verdict], Question] = field(default_factory=dict)

    def ask(self, questions: list[Question]) -> None:
        """Asks until all are answered or one has failed; then waits for those in flight."""
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                for question in track(questions, len(questions), "label: asked"):
                    if len(self._running) == self.concurrency:
                        self._collect(FIRST_COMPLETED)
                    if self.failures:
                        break
                    self._running[pool.submit(answer, question, self.judge, self.pictures)] = question
            finally:
                self._collect(ALL_COMPLETED)  # also after Ctrl-C: those calls are paid for

    def _collect(self, until: str) -> None:
        done, _ = wait(self._running, return_when=until)
        for future in done:
            question = self._running.pop(future)
            try:
                self.verdicts[question] = future.result()
            except JudgeFailed as failure:
                self.failures.append(failure)
            else:
                self.kept.put(question.key(self.judge), self.verdicts[question].to_bytes())
        self.kept.flush()
