"""What every Store must do. Subclass the suite and give it a `store` fixture.

class TestMyStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store: ...  # may be one for all tests

The tests make experiments, runs and models of their own under names that nobody else uses, so
one store serves them all, in any order and at the same time. There is a suite for each narrow
store, to be subclassed alone by who implements just that one.
"""

from __future__ import annotations

from headrace.testing.store_copies import CopyContract
from headrace.testing.store_datasets import DatasetContract
from headrace.testing.store_experiments import ExperimentContract, ExperimentSearchContract
from headrace.testing.store_logged_models import LoggedModelContract, LoggedModelSearchContract
from headrace.testing.store_metrics import MetricContract, MetricHistoryContract
from headrace.testing.store_model_versions import (
    ModelSourceContract,
    ModelVersionContract,
    ModelVersionSearchContract,
)
from headrace.testing.store_registered_models import (
    AliasContract,
    RegisteredModelContract,
    RegisteredModelSearchContract,
)
from headrace.testing.store_round_trip import RoundTripContract
from headrace.testing.store_runs import RunDataContract, RunLifeContract, RunSearchContract


class StoreContract:
    """Every promise of `headrace.store.base`; pytest finds the classes inside."""

    class TestExperiments(ExperimentContract):
        """See ExperimentContract."""

    class TestExperimentSearch(ExperimentSearchContract):
        """See ExperimentSearchContract."""

    class TestRunLife(RunLifeContract):
        """See RunLifeContract."""

    class TestRunData(RunDataContract):
        """See RunDataContract."""

    class TestRunSearch(RunSearchContract):
        """See RunSearchContract."""

    class TestMetrics(MetricContract):
        """See MetricContract."""

    class TestMetricHistory(MetricHistoryContract):
        """See MetricHistoryContract."""

    class TestDatasets(DatasetContract):
        """See DatasetContract."""

    class TestLoggedModels(LoggedModelContract):
        """See LoggedModelContract."""

    class TestLoggedModelSearch(LoggedModelSearchContract):
        """See LoggedModelSearchContract."""

    class TestRegisteredModels(RegisteredModelContract):
        """See RegisteredModelContract."""

    class TestRegisteredModelSearch(RegisteredModelSearchContract):
        """See RegisteredModelSearchContract."""

    class TestAliases(AliasContract):
        """See AliasContract."""

    class TestModelVersions(ModelVersionContract):
        """See ModelVersionContract."""

    class TestModelSources(ModelSourceContract):
        """See ModelSourceContract."""

    class TestModelVersionSearch(ModelVersionSearchContract):
        """See ModelVersionSearchContract."""

    class TestCopies(CopyContract):
        """See CopyContract."""

    class TestRoundTrip(RoundTripContract):
        """See RoundTripContract."""
