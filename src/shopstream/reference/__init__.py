"""The reference under docs/reference: made from the code and from topology.yaml, and from nothing else.

`pages.render` makes every file; `scripts/reference.py` writes them, or says which are stale.
"""
