"""Autologging of Keras, under the name that MLflow's users import it by."""

from headrace.client.autolog.keras import autolog

__all__ = ["autolog"]
