"""Starts the functions' processes, so that none of them outlives this one."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# The function shall end when its host does, however that ends. -P keeps the function's directory off the module path
# until the system call is made; then it comes first, as in Lambda, so that the zip's packages win over the runtime's.
LAUNCHER = """
import ctypes, os, runpy, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != int(sys.argv.pop(1)):
    os._exit(1)
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
"""
"""A program: its arguments are the id of this process and the handler."""


class Spawner:
    """Starts processes from one thread.

    "When its parent dies" means to Linux: when the thread that started it ends. So this thread must outlive them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "lambda-spawner")

    def start(self, arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process, with the options of `subprocess.Popen`."""
        return self._thread.submit(lambda: subprocess.Popen(arguments, **options)).result()

    def close(self) -> None:
        """End the thread, and with it every process that it started."""
        self._thread.shutdown()
