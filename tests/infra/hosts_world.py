"""A deployment's machines, booted and configured by the unchanged playbooks, for the tests that use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal import supplies
from shopstream.rehearsal.hosts import Hosts, needs

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "infra" / "ansible"
CACHE = Path(os.environ.get("SHOPSTREAM_REHEARSAL_CACHE", ROOT / ".shopstream/cache/rehearsal")).absolute()
OUTPUTS = ROOT / "src/shopstream/rehearsal/hosts/sample-outputs.json"
BROKERS = ("kafka1", "kafka2", "kafka3")


class World:
    """The machines, and what a test does with them."""

    def __init__(self, home):
        self.home = home
        self.hosts = Hosts(home, cache=CACHE)
        self.clients = home / "clients"

    def up(self):
        try:
            needs.require()
        except RehearsalError as error:
            pytest.fail(f"this test boots machines, and cannot here: {error}", pytrace=False)
        subprocess.run([ROOT / "scripts" / "build_wheel.sh"], check=True, stdout=subprocess.DEVNULL)
        return self.hosts.up()

    def command(self, *arguments):
        return [sys.executable, "-m", "shopstream.cli.main", *map(str, arguments)]

    @property
    def environment(self):
        return {**os.environ, "SHOPSTREAM_HOME": str(self.home), "SHOPSTREAM_REHEARSAL_CACHE": str(CACHE)}

    def play(self, playbook, *arguments, expect=0, within=900):
        """Run a playbook; what it says. Ansible breaks long messages into lines: see `words`."""
        done = subprocess.run(
            self.command("rehearse", "hosts", "play", PLAYBOOKS / playbook, *arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        text = done.stdout + done.stderr
        assert (done.returncode == 0) == (expect == 0), text[-6000:]
        return text

    def operator(self, *command, text=None, within=120):
        """Run a command in the machines' network; what it says."""
        done = self.hosts.run("operator", list(map(str, command)), text=text, timeout=within)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write_clients(self):
        """Each user's properties file, with the passwords that Secrets Manager has now."""
        self.operator(sys.executable, "-m", "shopstream.aws", "clients", self.clients, "--outputs", OUTPUTS)

    def secret(self, name, value=None):
        """Read a secret of the deployment; write it first, when there is a value."""
        code = (
            "import boto3, sys; c = boto3.client('secretsmanager', region_name='us-east-1'); n, v = sys.argv[1:]\n"
            "if v: c.put_secret_value(SecretId=n, SecretString=v)\n"
            "print(c.get_secret_value(SecretId=n)['SecretString'])"
        )
        said = self.operator(sys.executable, "-c", code, f"shopstream/{name}", json.dumps(value) if value else "")
        return json.loads(said)

    @contextmanager
    def flow(self, run_id, orders=6000, rate=100, within=900):
        """A steady flow of orders through the machines; at the end every order must have exactly one outcome."""
        line, environment = self.hosts.command(
            "operator",
            self.command(
                *("run", "--cluster", self.clients / "admin.properties", "--run-id", run_id),
                *("--orders", orders, "--rate", rate, "--json"),
            ),
        )
        log = self.home / f"{run_id}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                line,
                env={**environment, "SHOPSTREAM_HOME": str(self.home / "operator")},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            try:
                self.wait(lambda: _flows(log), "nothing flows")
                yield process
                assert process.poll() is None, f"the flow ended before the fault did: {log.read_text()[-3000:]}"
                out, _ = process.communicate(timeout=within)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
        assert process.returncode == 0, out + log.read_text()[-4000:]
        verdict = json.loads(out)
        assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, orders, 0, {})

    def wait(self, condition, otherwise, timeout=120):
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.2)
        return found

    def upgrade_variables(self):
        return supplies.prepare(CACHE).upgrade_variables("http://10.20.0.1")


def recap(text):
    """Each host's line of Ansible's recap, as numbers."""
    lines = text[text.index("PLAY RECAP") :].splitlines()[1:]
    return {
        line.split(":")[0].strip(): {key: int(value) for key, value in (pair.split("=") for pair in line.split()[2:])}
        for line in lines
        if " : ok=" in line
    }


def words(text):
    """The same on one line."""
    return " ".join(text.split())


def _flows(log):
    """Whether the last service has answered some orders."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return any("notification_handler" in line and "notification_handler 0" not in line for line in lines)
