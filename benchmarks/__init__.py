"""Headrace, MLflow and FastTrackML on the same work, one server at a time, in one run."""
