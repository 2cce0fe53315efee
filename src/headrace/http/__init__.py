"""Listening for HTTP, safely: what the tracking server and the scoring server share."""
