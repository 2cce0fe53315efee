"""Autologging of Keras with TensorFlow, under the name that MLflow's users import it by."""

from headrace.client.autolog.keras import tensorflow_autolog as autolog

__all__ = ["autolog"]
