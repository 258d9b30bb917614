"""What moto lacks: one module for each gap, listed in `shopstream.rehearsal.shims`.

Each module's docstring says what AWS does and where that is written, what plain moto does, and what is done here. Each
has one function, `apply()`, that changes moto in this process; only the child that serves ever calls it.
"""

from __future__ import annotations

from importlib import import_module

from shopstream.rehearsal.shims import SHIMMED


def apply_all() -> None:
    """Apply every shim."""
    for shim in SHIMMED:
        import_module(f"{__name__}.{shim.name}").apply()
