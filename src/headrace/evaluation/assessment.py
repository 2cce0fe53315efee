"""What is assessed of each type of model: metrics, tables, figures, and the same of a slice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import InvalidRequest
from headrace.evaluation import classification, regression
from headrace.evaluation import classifier_tables as tables
from headrace.evaluation.classes import codes_of, known_classes, sorted_classes
from headrace.evaluation.measured import Measured
from headrace.evaluation.values import array_of, column, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.evaluation.options import Options
    from headrace.evaluation.rows import Rows
    from headrace.evaluation.tables import Table

    Array = NDArray[Any]

MAX_CLASSES_SHOWN: Final = 100
"""A confusion matrix of more classes can be read by nobody, and is left out."""


class Assessment(ABC):
    """Targets and predictions of one type of model, ready to be measured."""

    headline: str
    """The metric by which slices are compared in pictures."""
    greater_is_better: bool
    predictions: Array
    weights: Array | None

    @abstractmethod
    def measure(self) -> Measured:
        """The metrics of all rows, and which cannot be computed."""

    @abstractmethod
    def measure_part(self, rows: Array) -> Measured:
        """The metrics of a slice: the rows where the mask is true."""

    @abstractmethod
    def headline_of(self, predicted: Any, chosen: Array) -> float:
        """The headline metric of other predictions for the rows with these numbers."""

    @abstractmethod
    def tables(self) -> Iterator[tuple[str, Table]]:
        """Tables by name, in order."""

    @abstractmethod
    def figures(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """By name, functions that draw; Matplotlib is loaded when one is called."""


class ClassifierAssessment(Assessment):
    """A classifier's labels, and its probabilities where it has them."""

    headline = "accuracy_score"
    greater_is_better = True

    def __init__(self, given: classification.Classification, options: Options) -> None:
        import numpy as np

        self.given = given
        self.options = options
        self.predictions = np.asarray(given.classes)[given.predicted]
        self.weights = given.weights

    def measure(self) -> Measured:
        return classification.measure(self.given)

    def measure_part(self, rows: Array) -> Measured:
        return classification.measure(self.given.part(rows))

    def headline_of(self, predicted: Any, chosen: Array) -> float:
        import numpy as np

        given = self.given.part(chosen)
        labels = array_of(predicted, "predictions")
        if labels.ndim == 2:
            right = np.argmax(labels, axis=1) == given.targets
        else:
            right = labels == np.asarray(given.classes)[given.targets]
        return float(np.average(right, weights=given.weights))

    @property
    def _draws_curves(self) -> bool:
        given = self.given
        most = self.options.max_classes_for_multiclass_roc_pr
        few = given.positive is not None or len(given.classes) <= most
        return few and any(curve is not None for curve in given.curves)

    def tables(self) -> Iterator[tuple[str, Table]]:
        given = self.given
        yield "per_class_metrics", tables.per_class(given)
        if len(given.classes) <= MAX_CLASSES_SHOWN:
            matrix = classification.confusion(given)
            yield "confusion_matrix_data", tables.confusion_table(given, matrix)
        if self._draws_curves:
            yield "roc_curve_data", tables.roc_points(given)
            yield "pr_curve_data", tables.pr_points(given)
        if given.probabilities is not None:
            yield "calibration_curve_data", tables.calibration_points(given)

    def figures(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        from headrace.evaluation import classifier_figures as draw

        given = self.given
        if len(given.classes) <= MAX_CLASSES_SHOWN:
            yield "confusion_matrix", lambda: draw.confusion_matrix(given)
        if self._draws_curves:
            yield "roc_curve_plot", lambda: draw.roc_curve(given)
            yield "precision_recall_curve_plot", lambda: draw.precision_recall_curve(given)
        if given.probabilities is not None:
            yield "calibration_curve_plot", lambda: draw.calibration_curve(given)


class RegressorAssessment(Assessment):
    """A regressor's numbers."""

    headline = "mean_absolute_error"
    greater_is_better = False

    def __init__(self, given: regression.Regression) -> None:
        self.given = given
        self.predictions = given.predicted
        self.weights = given.weights

    def measure(self) -> Measured:
        return regression.measure(self.given)

    def measure_part(self, rows: Array) -> Measured:
        return regression.measure(self.given.part(rows))

    def headline_of(self, predicted: Any, chosen: Array) -> float:
        import numpy as np

        given = self.given.part(chosen)
        errors = np.abs(given.targets - array_of(predicted, "predictions"))
        return float(np.average(errors, weights=given.weights))

    def tables(self) -> Iterator[tuple[str, Table]]:
        yield "residual_quantiles", regression.residual_quantiles(self.given)

    def figures(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        from headrace.evaluation import regressor_figures as draw

        yield "predicted_vs_actual_plot", lambda: draw.predicted_vs_actual(self.given)
        yield "residuals_plot", lambda: draw.residuals(self.given)


def classifier_assessment(
    rows: Rows, predicted: Any, probabilities: Any, classes: list[Any] | None, options: Options
) -> ClassifierAssessment:
    """The rows and what a classifier said of them. InvalidRequest.

    `predicted` are labels, or probabilities (a column for each class) of a model that gives no
    labels. `classes` are those of the columns of the probabilities, where the model says.
    """
    import numpy as np

    count = len(rows)
    assert rows.targets is not None
    truth = rows.targets.tolist()
    given_labels = None if options.label_list is None else _plain_list(options.label_list)
    if probabilities is None and array_of(predicted, "predictions").ndim == 2:
        probabilities, predicted = predicted, None
    labels = None if predicted is None else column(predicted, "predictions", count).tolist()
    known = known_classes(truth, labels, classes, given_labels)
    matrix = None
    if probabilities is not None:
        of_columns = classes or given_labels
        known, matrix = _probabilities(probabilities, count, known, of_columns)
    if labels is not None:
        codes = codes_of(labels, known)
    else:
        assert matrix is not None  # there are labels or probabilities
        codes = np.argmax(matrix, axis=1)
    positive = _positive(known, options.pos_label)
    return ClassifierAssessment(
        classification.Classification(
            known,
            codes_of(truth, known),
            codes,
            matrix,
            rows.weights,
            positive,
            options.average,
            options.calibration_n_bins,
        ),
        options,
    )


def regressor_assessment(rows: Rows, predicted: Any) -> RegressorAssessment:
    """The rows and what a regressor said of them. InvalidRequest."""
    assert rows.targets is not None
    truth = numbers(rows.targets, "targets")
    said = numbers(column(predicted, "predictions", len(rows)), "predictions")
    return RegressorAssessment(regression.Regression(truth, said, rows.weights))


def _plain_list(values: Any) -> list[Any]:
    plain: list[Any] = array_of(values, "label_list").tolist()
    return plain


def _probabilities(
    given: Any, count: int, known: list[Any], of_columns: list[Any] | None
) -> tuple[list[Any], Array]:
    """The classes, and probabilities with a column for each, in their order."""
    import numpy as np

    array = array_of(given, "probabilities")
    if array.dtype.kind not in "fiub":
        array = numbers(array, "probabilities")
    matrix = array if array.dtype.kind == "f" else array.astype(np.float64)
    if matrix.ndim == 1:  # of the positive class
        matrix = np.column_stack([1 - matrix, matrix])
    if matrix.ndim != 2 or len(matrix) != count:
        raise InvalidRequest(
            f"The probabilities have the shape {array.shape}: expected {count:,} rows, and a "
            "column for each class."
        )
    if not ((matrix >= 0) & (matrix <= 1)).all():  # NaN is neither
        raise InvalidRequest(
            f"The probabilities go from {np.min(matrix):g} to {np.max(matrix):g}: expected "
            "numbers between 0 and 1. Scores or logits have to be made probabilities first."
        )
    if of_columns is None:
        whole = set(known) <= set(range(matrix.shape[1]))
        of_columns = known if len(known) == matrix.shape[1] or not whole else None
        of_columns = list(range(matrix.shape[1])) if of_columns is None else of_columns
    if len(of_columns) != matrix.shape[1]:
        raise InvalidRequest(
            f"The probabilities have {matrix.shape[1]} columns, but there are {len(of_columns)} "
            "classes: name the classes of the columns as evaluator_config={'label_list': …}."
        )
    classes = sorted_classes([*known, *of_columns])
    if classes == list(of_columns):
        return classes, matrix
    wide = np.zeros((count, len(classes)), matrix.dtype)
    wide[:, codes_of(of_columns, classes)] = matrix
    return classes, wide


def _positive(classes: list[Any], pos_label: Any) -> int | None:
    if pos_label is not None and pos_label not in classes:
        raise InvalidRequest(
            f"'pos_label' is {pos_label!r}, which is no label. There are: "
            f"{', '.join(map(repr, classes[:20]))}."
        )
    if len(classes) != 2:
        return None
    return 1 if pos_label is None else classes.index(pos_label)
