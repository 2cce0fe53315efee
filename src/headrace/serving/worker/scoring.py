"""Predictions for the calls that a worker was given together.

Calls that ask alike are asked as one, as long as the model answers them as it would answer each.
Whatever goes wrong with several of them, each is then asked alone, so that an error stays with the
call that caused it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headrace.errors import HeadraceError
from headrace.models.predictions import as_records
from headrace.serving.worker.answers import Answered, Failed, failed_by
from headrace.serving.worker.calls import Call
from headrace.serving.worker.columns import NotTaken
from headrace.serving.worker.embedding import embedded
from headrace.serving.worker.encoding import encoded, is_same_answer
from headrace.serving.worker.merging import NotDivisible, divided, joined
from headrace.serving.worker.reading import Question, Reader
from headrace.serving.worker.trial import Trial

if TYPE_CHECKING:
    from headrace.models.pyfunc import PyFuncModel

Answer = Answered | Failed


class Scorer:
    """Answers calls with one model."""

    def __init__(self, model: PyFuncModel) -> None:
        self._model = model
        self._reader = Reader(model)
        metadata = model.metadata.metadata or {}
        asked_alone = False in (metadata.get("batching"), model.model_config.get("batching"))
        self._trial = Trial(is_over=asked_alone)

    @property
    def takes_several(self) -> bool:
        """Whether calls are still predicted together; once False, it stays so."""
        return not self._trial.is_over

    def answer(self, calls: Sequence[Call]) -> Iterator[Answer]:
        """An answer for each of the calls, in their order, each as soon as it is there. Calls that
        are asked alone are asked when their answer is wanted.
        """
        early: dict[int, Answer] = {}
        due = 0
        for place, answer in self._found(calls):
            early[place] = answer
            while due in early:
                yield early.pop(due)
                due += 1

    def _found(self, calls: Sequence[Call]) -> Iterator[tuple[int, Answer]]:
        """Answers, each with its place among the calls."""
        groups: dict[Any, list[tuple[int, Question]]] = {}
        texts = [place for place, call in enumerate(calls) if call.kind == "embeddings"]
        if texts:
            yield from zip(texts, embedded(self._model, [calls[at] for at in texts]), strict=True)
        for place, call in enumerate(calls):
            if call.kind == "embeddings":
                continue
            try:
                question = self._reader.read(call)
            except Exception as error:  # noqa: BLE001 - whatever a body may do to a library
                yield place, failed_by(error)
                continue
            likeness = question.likeness
            groups.setdefault(place if likeness is None else likeness, []).append((place, question))
        for group in groups.values():
            places = [place for place, _ in group]
            found = self._answers([question for _, question in group])
            yield from zip(places, found, strict=True)

    def _answers(self, questions: list[Question]) -> Iterator[Answer]:
        """Answers to questions that are alike."""
        if len(questions) == 1 or self._trial.is_over:
            return map(self._alone, questions)
        try:
            shares = self._shares(questions)
        except NotTaken:
            return self._without_odd_ones(questions)
        except NotDivisible as error:
            self._trial.end(f"it answers with {error}")
            return map(self._alone, questions)
        except Exception as error:  # noqa: BLE001 - the model's own code
            return self._apart(questions, type(error).__name__)
        first = questions[0]
        are_alike = all(question.call.body == first.call.body for question in questions)
        family = (first.input.family, repr(first.params))
        if self._trial.must_check(family, are_alike=are_alike):
            return self._checked(questions, shares)
        return map(_answered, questions, shares)

    def _apart(self, questions: list[Question], raised: str) -> Iterator[Answer]:
        """The answers to each question alone, after what was raised for all at once."""
        has_failed = False
        for question in questions:
            answer = self._alone(question)
            has_failed = has_failed or isinstance(answer, Failed)
            yield answer
        if not has_failed:
            self._trial.end(f"it raises {raised} for several, and for none alone")

    def _shares(self, questions: list[Question]) -> list[Any]:
        """The predictions for each question, of one call of the model. Raises what that raises."""
        data = joined([question.input for question in questions])
        predictions = self._model.predict_enforced(data, questions[0].params)
        if all(question.takes_records for question in questions):
            predictions = as_records(predictions)
        return divided(predictions, [question.input.count for question in questions])

    def _checked(self, questions: list[Question], shares: list[Any]) -> Iterator[Answer]:
        """The answers to each question alone, compared with what came of asking all at once."""
        for question, share in zip(questions, shares, strict=True):
            alone = self._predicted(question)
            if isinstance(alone, Failed):
                self._trial.end("it fails for one alone, and not for several")
                yield alone
                continue
            if not _is_same(share, alone):
                self._trial.end("its predictions differ with what is predicted beside them")
            yield _answered(question, alone)

    def _without_odd_ones(self, questions: list[Question]) -> Iterator[Answer]:
        """As `_answers`, where some have values that only the ordinary way can judge."""
        are_odd = [_is_odd(question) for question in questions]
        others = [each for each, is_odd in zip(questions, are_odd, strict=True) if not is_odd]
        if len(others) == len(questions):  # only together they are
            yield from map(self._alone, questions)
            return
        found = self._answers(others) if others else iter(())
        for question, is_odd in zip(questions, are_odd, strict=True):
            yield self._alone(question) if is_odd else next(found)

    def _alone(self, question: Question) -> Answer:
        predicted = self._predicted(question)
        return predicted if isinstance(predicted, Failed) else _answered(question, predicted)

    def _predicted(self, question: Question) -> Any:
        """The model's prediction for one question; Failed where there is none."""
        try:
            try:
                data = joined([question.input])
            except NotTaken:
                question = self._reader.read_ordinarily(question.call)
                data = question.input.data
            return self._model.predict_enforced(data, question.params)
        except Exception as error:  # noqa: BLE001 - the model's own code
            return failed_by(error)


def _is_odd(question: Question) -> bool:
    try:
        joined([question.input])
    except NotTaken:
        return True
    return False


def _answered(question: Question, predicted: Any) -> Answer:
    try:
        return question.answer(predicted)
    except Exception as error:  # noqa: BLE001 - a prediction may be of any class
        return failed_by(error)


def _is_same(one: Any, other: Any) -> bool:
    try:
        return is_same_answer(encoded(one), encoded(other))
    except HeadraceError:
        return True  # no answer can be made of it, alone or not
