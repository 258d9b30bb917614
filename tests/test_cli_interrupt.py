"""An interrupted command ends with 130, whatever it was doing."""

import signal
import subprocess
import sys

import pytest

# The signal arrives while the text of a module is executed, as `dataclass` does it in the midst of an import.
INTERRUPTED = """
import os, signal, sys, time
from shopstream.cli import main as module

def command(args, standalone_mode):
    exec(f"os.kill(os.getpid(), {sys.argv[1]}); time.sleep(5)")

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
module.cli.main = command
module.main([])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_exit_code_of_an_interrupt_is_130_in_the_midst_of_an_import_too(number, tmp_path):
    (tmp_path / "interrupted.py").write_text(INTERRUPTED, encoding="utf-8")
    command = [sys.executable, "-m", "interrupted", str(int(number))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
