"""Terraform is run with secrets out of sight, with limits, and in a way that lets it save its state when interrupted.

The Terraform here is a small program that behaves like the real one, well or badly.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import pytest

from shopstream.aws import terraform as module
from shopstream.aws.terraform import Terraform
from shopstream.errors import DeploymentError, UsageError
from shopstream.interrupts import interrupt

pytestmark = pytest.mark.infra

FAKE = """#!{python}
import json, os, signal, sys, time, pathlib
here = pathlib.Path(__file__).parent
command = sys.argv[1]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps({{"argv": sys.argv[1:], "pgid": os.getpgid(0), "env": {{
        k: v for k, v in os.environ.items() if k.startswith("TF_")}}}}) + "\\n")
config = os.environ.get("TF_CLI_CONFIG_FILE")
if config and os.path.isfile(config):
    (here / "config").write_text(pathlib.Path(config).read_text())
if command == "version":
    print(json.dumps({{"terraform_version": (here / "version").read_text()}}))
elif command == "output":
    print(json.dumps({{"a": {{"value": [1], "sensitive": False}}}}))
elif command == "state":
    print(json.dumps({{"resources": []}}))
else:
    exec((here / "behaviour").read_text())
"""

SLOW = """
interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
print("creating", flush=True)
deadline = time.monotonic() + 60
while not interrupts and time.monotonic() < deadline: time.sleep(0.02)
settle = time.monotonic() + 0.5
while time.monotonic() < settle: time.sleep(0.02)
print("state saved after", len(interrupts), "interrupts", flush=True)
sys.exit(1)
"""


@pytest.fixture
def fake(tmp_path):
    program = tmp_path / "bin" / "terraform"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    (program.parent / "version").write_text("1.11.4", encoding="utf-8")
    (program.parent / "behaviour").write_text("print('done')", encoding="utf-8")
    return program.parent


@pytest.fixture
def told():
    return []


@pytest.fixture
def terraform(fake, told, tmp_path):
    environ = {"PATH": f"{fake}:{os.environ['PATH']}"}
    return Terraform(tmp_path, log=tmp_path / "logs" / "terraform.log", environ=environ, tell=told.append)


def calls(fake):
    return [json.loads(line) for line in (fake / "calls").read_text(encoding="utf-8").splitlines()]


def behave(fake, code):
    (fake / "behaviour").write_text(code, encoding="utf-8")


def destroy(terraform, **more):
    terraform.destroy(variables={"name": "shop"}, secrets={"kafka_passwords": '{"u": "hunter2hunter2"}'}, **more)


@pytest.mark.parametrize("version", ["1.11.0", "1.12.0-beta1", "2.0.0"])
def test_a_terraform_that_can_keep_secrets_is_taken(terraform, fake, version):
    (fake / "version").write_text(version, encoding="utf-8")
    terraform.check()


@pytest.mark.parametrize("version", ["1.10.5", "0.15.1", "nonsense"])
def test_another_is_refused_with_a_remedy(terraform, fake, version):
    (fake / "version").write_text(version, encoding="utf-8")
    with pytest.raises(DeploymentError, match=r"install Terraform 1\.11"):
        terraform.check()


def test_no_terraform_is_refused_with_a_remedy(tmp_path):
    absent = Terraform(tmp_path, log=tmp_path / "log", environ={"PATH": str(tmp_path)}, tell=print)
    with pytest.raises(DeploymentError, match=r"not on the PATH: install Terraform 1\.11"):
        absent.check()


def test_secrets_go_through_the_environment_and_nowhere_else(terraform, fake, told, tmp_path):
    destroy(terraform)
    (call,) = calls(fake)
    assert "-var=name=shop" in call["argv"]
    assert "hunter2hunter2" not in " ".join(call["argv"])
    assert json.loads(call["env"]["TF_VAR_kafka_passwords"]) == {"u": "hunter2hunter2"}
    assert not [path for path in tmp_path.rglob("*") if path.name != "calls" and path.is_file()
                and "hunter2hunter2" in path.read_text(encoding="utf-8")]  # fmt: skip
    assert not [line for line in told if "hunter2" in line]


def test_nothing_traces_a_run_with_secrets(fake, told, tmp_path):
    # The provider's trace has the body of each call to AWS, and with it the password that is being written.
    traces = {"TF_LOG": "TRACE", "TF_LOG_PROVIDER": "DEBUG", "TF_LOG_SDK_PROTO_DATA_DIR": "/dumps",
              "TF_LOG_PROVIDER_AWS": "TRACE", "TF_LOG_SDK_HELPER_SCHEMA": "TRACE", "TF_LOG_PATH": "/log"}  # fmt: skip
    traced = {"PATH": f"{fake}:{os.environ['PATH']}", **traces}
    terraform = Terraform(tmp_path, log=tmp_path / "log", environ=traced, tell=told.append)
    terraform.init()
    destroy(terraform)
    asked, secret = ({name for name in call["env"] if name.startswith("TF_LOG")} for call in calls(fake))
    assert asked == set(traces)
    assert secret == set()


def test_the_output_goes_to_the_user_and_to_a_log_of_ones_own(terraform, fake, told):
    behave(fake, "print('one', flush=True); print('two')")
    terraform.init()
    terraform.init()
    assert told == ["one", "two", "one", "two"]
    log = terraform.log.read_text(encoding="utf-8")
    assert log.count("one\ntwo\n") == 2
    assert terraform.log.stat().st_mode & 0o077 == 0


def test_providers_come_from_the_mirror_that_the_environment_names(fake, tmp_path):
    environ = {"PATH": os.environ["PATH"], "TERRAFORM_PLUGIN_MIRROR": "/some/mirror", "TF_CLI_CONFIG_FILE": "/gone"}
    terraform = Terraform(tmp_path, log=tmp_path / "log", environ=environ, tell=lambda _: None,
                          program=str(fake / "terraform"))  # fmt: skip
    terraform.init()
    (call,) = calls(fake)
    assert 'path = "/some/mirror"' in (fake / "config").read_text(encoding="utf-8")
    assert not os.path.exists(call["env"]["TF_CLI_CONFIG_FILE"])  # noqa: PTH110


@pytest.mark.parametrize("mirror", [{}, {"TERRAFORM_PLUGIN_MIRROR": ""}])
def test_without_a_mirror_the_users_configuration_stays(fake, tmp_path, mirror):
    environ = {"PATH": os.environ["PATH"], "TF_CLI_CONFIG_FILE": "/my/own", **mirror}
    Terraform(tmp_path, log=tmp_path / "log", environ=environ, tell=lambda _: None,
              program=str(fake / "terraform")).init()  # fmt: skip
    assert calls(fake)[0]["env"]["TF_CLI_CONFIG_FILE"] == "/my/own"


@pytest.mark.parametrize(("code", "to_do"), [(0, False), (2, True)])
def test_a_plan_says_whether_there_is_anything_to_do(terraform, fake, tmp_path, code, to_do):
    behave(fake, f"sys.exit({code})")
    assert terraform.plan(tmp_path / "plan", variables={}, secrets={}) is to_do


def test_an_error_is_told_in_one_line_with_the_log(terraform, fake):
    behave(fake, "print('╷\\n│ Error: no such thing\\n│\\n╵\\nError: second'); sys.exit(1)")
    with pytest.raises(DeploymentError) as raised:
        terraform.init()
    text = str(raised.value)
    assert "no such thing (and 1 more)" in text
    assert str(terraform.log) in text
    assert "\n" not in text


REFUSED = """Planning failed. Terraform encountered an error while generating this plan.

Error: Invalid value for variable

  on variables.tf line 47:
  47: variable "admin_cidr" {
    ├────────────────
    │ var.admin_cidr is "0.0.0.0/0"

admin_cidr would open SSH to a large part of the internet. Name the network
that you work from; 203.0.113.7/32 is one address. Wider than /8 is refused.

This was checked by the validation rule at variables.tf:57,3-13.

Error: Invalid value for variable

  on variables.tf line 122:
 122: variable "zookeeper_count" {

zookeeper_count must be 3 or 5.

This was checked by the validation rule at variables.tf:128,3-13.
"""


def test_a_refused_variable_is_wrong_use_in_the_words_of_its_rule(terraform, fake, tmp_path):
    behave(fake, f"print({REFUSED!r}); sys.exit(1)")
    with pytest.raises(UsageError) as raised:
        terraform.plan(tmp_path / "plan", variables={}, secrets={})
    text = str(raised.value)
    assert text.startswith(
        "admin_cidr would open SSH to a large part of the internet. Name the network that you work from; "
        "203.0.113.7/32 is one address. Wider than /8 is refused.; zookeeper_count must be 3 or 5. (all variables: "
    )
    assert raised.value.exit_code == 2
    assert "\n" not in text


def test_a_refused_variable_beside_another_error_is_no_wrong_use_alone(terraform, fake, tmp_path):
    behave(fake, f"print({REFUSED!r} + '\\nError: no such region\\n'); sys.exit(1)")
    with pytest.raises(DeploymentError, match=r"Invalid value for variable \(and 1 more\)"):
        terraform.plan(tmp_path / "plan", variables={}, secrets={})


def test_a_lock_that_another_holds_is_told_as_such(terraform, fake):
    behave(fake, "print('Error: Error acquiring the state lock\\n  ID:        1234-abcd\\n'); sys.exit(1)")
    with pytest.raises(DeploymentError, match=r"another Terraform works on this.*force-unlock 1234-abcd"):
        destroy(terraform)


def test_a_time_limit_lets_terraform_save_its_state(terraform, fake, told):
    behave(fake, SLOW)
    with pytest.raises(DeploymentError, match="was stopped after 1 s"):
        destroy(terraform, limit_s=1.0)
    assert told[-1] == "state saved after 1 interrupts"


def test_one_that_does_not_end_is_killed_in_the_end(terraform, fake, monkeypatch):
    monkeypatch.setattr(module, "SAVE_LIMIT_S", 0.3)
    behave(fake, "signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)")
    begin = time.monotonic()
    with pytest.raises(DeploymentError, match="was killed"):
        destroy(terraform, limit_s=1.0)
    assert time.monotonic() - begin < 30


def test_an_interrupt_reaches_terraform_once_however_often_it_is_repeated(fake, told, tmp_path):
    """Terraform that is interrupted twice ends without saving its state."""
    behave(fake, SLOW)
    interrupted = []

    def tell(line):
        told.append(line)
        # The user presses Ctrl-C as soon as something is created, and again while the state is being saved.
        if line == "creating" or (line.startswith("interrupted") and not interrupted):
            if line != "creating":
                interrupted.append(line)
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    environ = {"PATH": f"{fake}:{os.environ['PATH']}"}
    terraform = Terraform(tmp_path, log=tmp_path / "log", environ=environ, tell=tell)
    with pytest.raises(KeyboardInterrupt):
        destroy(terraform)
    assert told[-1] == "state saved after 1 interrupts"
    assert "Terraform is still saving its state; please wait" in told
    # A terminal's own Ctrl-C goes to our group, and must not reach it.
    assert calls(fake)[0]["pgid"] != os.getpgid(0)


WHOLE = """
signal.signal(signal.SIGINT, lambda *_: (print("broken off", flush=True), sys.exit(1)))
print("creating", flush=True)
deadline = time.monotonic() + {seconds}
while time.monotonic() < deadline: time.sleep(0.02)
print("created", flush=True)
"""


def interrupting(fake, told, tmp_path, *lines, by=signal.SIGINT):
    """A Terraform during which the user presses Ctrl-C after each of these lines."""

    def tell(line):
        told.append(line)
        if any(line.startswith(each) for each in lines):
            threading.Timer(0.1, os.kill, (os.getpid(), by)).start()

    environ = {"PATH": f"{fake}:{os.environ['PATH']}"}
    return Terraform(tmp_path, log=tmp_path / "log", environ=environ, tell=tell)


def test_an_apply_is_completed_before_an_interrupt_ends_the_deployment(fake, told, tmp_path):
    """Broken off, it would not know what AWS is just making."""
    behave(fake, WHOLE.format(seconds=1))
    with pytest.raises(KeyboardInterrupt):
        interrupting(fake, told, tmp_path, "creating").apply(tmp_path / "plan", secrets={})
    assert told[-1] == "created"
    assert "Ctrl-C once more breaks it off" in told[-2]


def test_sigterm_breaks_an_apply_off_at_once_for_sigkill_follows(fake, told, tmp_path):
    behave(fake, WHOLE.format(seconds=60))
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupting(fake, told, tmp_path, "creating", by=signal.SIGTERM).apply(tmp_path / "plan", secrets={})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "broken off" in told


def test_an_apply_that_fails_after_an_interrupt_says_so(fake, told, tmp_path):
    behave(fake, WHOLE.format(seconds=1) + 'print("Error: no room", flush=True)\nsys.exit(1)\n')
    with pytest.raises(DeploymentError, match="no room"):
        interrupting(fake, told, tmp_path, "creating").apply(tmp_path / "plan", secrets={})


def test_a_second_interrupt_breaks_an_apply_off_and_tells_what_that_may_cost(fake, told, tmp_path):
    behave(fake, WHOLE.format(seconds=60))
    with pytest.raises(KeyboardInterrupt):
        interrupting(fake, told, tmp_path, "creating", "interrupted: Terraform completes").apply(
            tmp_path / "plan", secrets={}
        )
    assert "broken off" in told
    assert "may be missing from the state" in told[-1]


def test_outputs_and_state_are_data(terraform, tmp_path):
    assert terraform.outputs() == {"a": [1]}
    assert terraform.state_data() == {"resources": []}


def test_a_state_file_of_ones_own_is_used_throughout(fake, tmp_path):
    state = tmp_path / "my.tfstate"
    terraform = Terraform(tmp_path, log=tmp_path / "log", environ={"PATH": os.environ["PATH"]}, tell=lambda _: None,
                          state=state, program=str(fake / "terraform"))  # fmt: skip
    assert terraform.state_data() == {}
    destroy(terraform)
    terraform.outputs()
    assert all(f"-state={state}" in call["argv"] for call in calls(fake))
    state.write_text('{"serial": 7}', encoding="utf-8")
    assert terraform.state_data() == {"serial": 7}
    state.write_text("", encoding="utf-8")  # as Terraform takes it, none yet
    assert terraform.state_data() == {}


@pytest.mark.parametrize("text", ["no json", "[]", b"\xff"])
def test_a_state_file_that_is_none_is_wrong_use(fake, tmp_path, text):
    state = tmp_path / "my.tfstate"
    state.write_bytes(text if isinstance(text, bytes) else text.encode())
    terraform = Terraform(tmp_path, log=tmp_path / "log", environ={}, tell=print, state=state)
    with pytest.raises(UsageError, match=r"--state .*my\.tfstate .*name the file of Terraform's state"):
        terraform.state_data()
