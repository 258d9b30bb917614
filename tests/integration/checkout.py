"""A copy of the checkout, and a shell in it: what a newcomer has who types what the documentation says."""

import os
import shutil
import signal
import subprocess
import sys

from shopstream.rehearsal.life import site
from tests.docs_commands import ROOT

_END = "\x1e"
"""Printed behind the output of each command that has ended well."""
_NOT_OURS = ("SHOPSTREAM_TOPOLOGY", "SHOPSTREAM_HOME", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")
"""Variables of whoever runs the tests that would lead out of the copy, or tell make what its caller was told."""


class Checkout:
    """A copy of the checkout whose `shopstream` and `python` are those of the tests.

    Args:
        folder: Where it is made.
        home: The state directory that it uses, in which a cluster is up: so no command takes the default ports.
    """

    def __init__(self, folder, home):
        self.folder = folder
        self.home = home
        site.make(ROOT, folder)
        (folder / ".shopstream").symlink_to(home)  # the documentation names files in it
        for name in ("Makefile", "pyproject.toml"):
            shutil.copyfile(ROOT / name, folder / name)
        shutil.copytree(ROOT / "docs", folder / "docs")
        self._environment_of_the_tests()

    def _environment_of_the_tests(self):
        """In place of .venv: programs that are the tests' own, and what tells make that nothing has to be installed."""
        programs = self.folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        python = f'[ "$1 $2" != "-m pip" ] || exit 97  # the tests\' own packages stay\nexec {sys.executable} "$@"'
        for name, line in {
            "python": python,
            "python3": python,
            "shopstream": f'exec {sys.executable} -m shopstream.cli.main "$@"',
        }.items():
            program = programs / name
            program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
            program.chmod(0o755)
        for name in (".ready", ".ready-aws", ".ready-dev"):
            (programs.parent / name).touch()

    @property
    def environ(self):
        """The environment variables of a shell in it."""
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        return {
            **inherited,
            "PATH": f"{self.folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            # The copy's sources come before those that are installed.
            "PYTHONPATH": f"{self.folder / 'src'}:{self.folder}",
            "SHOPSTREAM_HOME": str(self.home),
        }

    def type(self, *commands, within, folder=None, **environ):
        """Type commands one after the other into one shell. Each must end with exit code 0, or none follows.

        Args:
            commands: As the documentation has them.
            within: How long all of them may take, in seconds.
            folder: Where the shell is, if not in the copy.
            environ: More environment variables.

        Returns:
            What each printed to standard output.
        """
        lines = ["set -o pipefail"]
        for command in commands:
            lines += [command, f"code=$?; [ $code = 0 ] || exit $code; printf '{_END}'"]
        shell = subprocess.Popen(
            ["bash", "--norc", "-c", "\n".join(lines)],
            cwd=folder or self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, news = shell.communicate(timeout=within)
        finally:
            if shell.poll() is None:  # with all that it has started
                os.killpg(shell.pid, signal.SIGKILL)
                shell.communicate()
        *printed, rest = output.split(_END)
        if len(printed) < len(commands):
            raise AssertionError(f"exit code {shell.returncode} of: {commands[len(printed)]}\n{rest}{news}")
        assert "Traceback" not in news, news
        return printed
