"""Copying what is tracked from one place to another: `headrace sync`.

`source.py` is what can be read from, `open.py` goes from a text to a source, `copying.py` walks a
source and writes to a store.
"""
