"""Autologging of Keras with TensorFlow, under the name that MLflow's users import it by."""

from headrace.client.autolog.keras import tensorflow_autolog as autolog
from headrace.client.later import missing as __getattr__  # noqa: F401 - Python looks for it

__all__ = ["autolog"]
