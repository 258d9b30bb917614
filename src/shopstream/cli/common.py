"""What several commands need."""

from __future__ import annotations

import os
from pathlib import Path


def local_home() -> Path:
    """The state directory of the local cluster: $SHOPSTREAM_HOME, or `.shopstream` in the current directory."""
    from shopstream.cluster import home

    return home.find(os.environ, Path.cwd()).root
