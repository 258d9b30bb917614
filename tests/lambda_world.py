"""What the tests of the local Lambda share: the runtime, made once, and tiny functions in zips."""

import functools
import os
import textwrap
import zipfile
from pathlib import Path

from shopstream.cluster import home
from shopstream.lambdas.runtime import LocalRuntime

ROOT = Path(__file__).parent.parent


@functools.cache
def runtime():
    """CPython 3.13 with the runtime client, in the checkout's own cache."""
    return LocalRuntime(home.find(os.environ, ROOT).cache / "lambda", os.environ)


def zipped(path, **modules):
    """A zip of modules, given by name with their source. The same modules make the same bytes at any time."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in modules.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.py"), textwrap.dedent(source))
    return path


def gone(pid):
    """Whether no such process is left, a dead one that nobody has waited for apart."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
