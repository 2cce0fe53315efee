"""Predictions for the calls that a worker was given together.

Calls that ask alike are asked as one, as long as the model answers them as it would answer each.
Whatever goes wrong with several of them, each is then asked alone, so that an error stays with the
call that caused it.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def answer(self, calls: Sequence[Call]) -> list[Answer]:
        """An answer for each of the calls, in their order."""
        answers: dict[int, Answer] = {}
        groups: dict[Any, list[tuple[int, Question]]] = {}
        texts = [place for place, call in enumerate(calls) if call.kind == "embeddings"]
        if texts:
            found = embedded(self._model, [calls[place] for place in texts])
            answers.update(zip(texts, found, strict=True))
        for place, call in enumerate(calls):
            if place in answers:
                continue
            try:
                question = self._reader.read(call)
            except Exception as error:  # noqa: BLE001 - whatever a body may do to a library
                answers[place] = failed_by(error)
                continue
            likeness = question.likeness
            groups.setdefault(place if likeness is None else likeness, []).append((place, question))
        for group in groups.values():
            found = self._answers([question for _, question in group])
            answers.update(zip((place for place, _ in group), found, strict=True))
        return [answers[place] for place in range(len(calls))]

    def _answers(self, questions: list[Question]) -> list[Answer]:
        """Answers to questions that are alike."""
        if len(questions) == 1 or self._trial.is_over:
            return [self._alone(question) for question in questions]
        try:
            shares = self._shares(questions)
        except NotTaken:
            return self._without_odd_ones(questions)
        except NotDivisible as error:
            self._trial.end(f"it answers with {error}")
            return [self._alone(question) for question in questions]
        except Exception as error:  # noqa: BLE001 - the model's own code
            answers = [self._alone(question) for question in questions]
            if not any(isinstance(answer, Failed) for answer in answers):
                self._trial.end(f"it raises {type(error).__name__} for several, and for none alone")
            return answers
        first = questions[0]
        are_alike = all(question.call.body == first.call.body for question in questions)
        family = (first.input.family, repr(first.params))
        if self._trial.must_check(family, are_alike=are_alike):
            return self._checked(questions, shares)
        return [_answered(q, share) for q, share in zip(questions, shares, strict=True)]

    def _shares(self, questions: list[Question]) -> list[Any]:
        """The predictions for each question, of one call of the model. Raises what that raises."""
        data = joined([question.input for question in questions])
        predictions = self._model.predict_enforced(data, questions[0].params)
        if all(question.takes_records for question in questions):
            predictions = as_records(predictions)
        return divided(predictions, [question.input.count for question in questions])

    def _checked(self, questions: list[Question], shares: list[Any]) -> list[Answer]:
        """The answers to each question alone, compared with what came of asking all at once."""
        answers: list[Answer] = []
        for question, share in zip(questions, shares, strict=True):
            alone = self._predicted(question)
            if isinstance(alone, Failed):
                self._trial.end("it fails for one alone, and not for several")
                answers.append(alone)
                continue
            if not _is_same(share, alone):
                self._trial.end("its predictions differ with what is predicted beside them")
            answers.append(_answered(question, alone))
        return answers

    def _without_odd_ones(self, questions: list[Question]) -> list[Answer]:
        """As `_answers`, where some have values that only the ordinary way can judge."""
        answers: dict[int, Answer] = {}
        others: list[int] = []
        for place, question in enumerate(questions):
            try:
                joined([question.input])
                others.append(place)
            except NotTaken:
                answers[place] = self._alone(question)
        if answers:
            found = self._answers([questions[place] for place in others]) if others else []
        else:
            found = [self._alone(question) for question in questions]
        answers.update(zip(others, found, strict=True))
        return [answers[place] for place in range(len(questions))]

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
