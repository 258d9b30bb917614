"""One execution environment: a process that runs a function's code through the real runtime client.

What happens to it is what Lambda does ("Understanding the Lambda execution environment lifecycle"): init within 10
seconds, one invocation at a time, frozen between invocations, killed when an invocation takes too long, never used
again after its process has ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shopstream.errors import ShopstreamError
from shopstream.lambdas import leftovers, processes
from shopstream.lambdas.logs import FunctionLog, OutputReader
from shopstream.lambdas.results import Invocation
from shopstream.lambdas.runtime_api import Answer, Request, RuntimeApi
from shopstream.lambdas.spawner import LAUNCHER, Spawner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shopstream.lambdas.model import FunctionConfig

INIT_LIMIT = 10.0
"""Seconds. When init takes longer, it is begun again, within the function's own timeout."""
_ASK_AGAIN = 5.0  # seconds for the runtime to ask for the next invocation once it has answered
_GONE = 10.0  # seconds for a killed process to vanish


class InitFailed(ShopstreamError):  # noqa: N818 - named for what happened, as its neighbours in errors.py are
    """The environment could not be started. Its invocation fails with this.

    Attributes:
        payload: What the caller of the function gets.
        seconds: How long init took.
    """

    def __init__(self, payload: bytes, seconds: float) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload
        self.seconds = seconds


class Environment:
    """A started process of a function.

    Args:
        function: The function.
        task_root: Its unpacked code.
        python: The interpreter that has the runtime client.
        spawner: Starts the process.
        log: Where its output goes.
        given: Variables beyond those that every environment has: the AWS endpoint, credentials.
        scratch: Where its directory for temporary files is made.
        freeze: Whether the process stands still between invocations, as in Lambda: what a handler leaves running
            goes on only with the next invocation.
        init_limit: Seconds for init.

    Raises:
        InitFailed: Its init failed, or took too long.
    """

    def __init__(
        self,
        function: FunctionConfig,
        task_root: Path,
        *,
        python: Path,
        spawner: Spawner,
        log: FunctionLog,
        given: Mapping[str, str],
        scratch: Path,
        freeze: bool = True,
        init_limit: float = INIT_LIMIT,
    ) -> None:
        self._function = function
        self._log = log
        self._freeze = freeze
        self._log_stream = f"{datetime.now(UTC):%Y/%m/%d}/[{function.version}]{secrets.token_hex(16)}"
        self._scratch = Path(tempfile.mkdtemp(dir=scratch, prefix=f"{os.getpid()}-"))
        self._api = RuntimeApi()
        self._output = OutputReader(log)
        self._closing = threading.Lock()
        self._closed = self._killed = False
        self.used = False
        begun = time.monotonic()
        try:
            self._process = spawner.start(
                [str(python), "-P", "-c", LAUNCHER, str(os.getpid()), function.handler],
                cwd=task_root,
                env=self._variables(task_root, python, given),
                stdin=subprocess.DEVNULL,
                stdout=self._output.write_end,
                stderr=self._output.write_end,
                start_new_session=True,
            )
        except BaseException:
            self._api.close()
            self._output.close()
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        self._output.started()
        self._watcher = threading.Thread(target=self._watch, name="lambda-watcher", daemon=True)
        self._watcher.start()
        log.write(f"INIT_START Runtime Version: python:3.13.local\tLog Stream: {self._log_stream}")
        self._init(begun, init_limit)
        self.init_seconds = time.monotonic() - begun

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take another invocation."""
        return not (self._closed or self._killed) and self._process.returncode is None

    def invoke(self, request_id: str, payload: bytes, trace_id: str) -> Invocation:
        """Run the handler once. One call at a time."""
        function, cold, self.used = self._function, not self.used, True
        now = time.time()
        request = Request(request_id, payload, int((now + function.timeout) * 1000), function.arn, trace_id)
        self._log.write(f"START RequestId: {request_id} Version: {function.version}")
        begun = time.monotonic()
        self._api.invoke(request)
        if self._freeze and not cold:
            self._signal(signal.SIGCONT)
        answer = self._api.wait_for_answer(function.timeout)
        if answer is not None and self._api.wait_until_asked(_ASK_AGAIN) and self._freeze:
            # The environment is frozen when the runtime asks for more ("Runtime API": Next).
            self._signal(signal.SIGSTOP)
        seconds = time.monotonic() - begun
        memory = self._memory_used()
        error, body, status = self._judge(answer, request_id)
        if status:
            seconds = min(seconds, function.timeout) if error == "Function.Timeout" else seconds
            self.close()
        self._report(request_id, seconds, memory, cold, status)
        return Invocation(
            request_id=request_id,
            payload=body,
            error=error,
            cold=cold,
            seconds=seconds,
            init_seconds=self.init_seconds if cold else 0.0,
            memory_used=memory,
            environment=self.pid,
        )

    def kill(self) -> None:
        """End its processes at once, as a failure of the machine beneath it would."""
        self._killed = True
        # What it started is looked for before its end: then nothing says any more whose children these are.
        started = processes.descendants(self._process.pid) if self._process.returncode is None else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        processes.kill(started)

    def close(self) -> None:
        """End its processes and give back all that it holds. Can be called again."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self.kill()
            self._watcher.join(_GONE)
            processes.kill_users(self._scratch)
            self._api.close()
            self._output.close()
            leftovers.remove(self._scratch)

    def _init(self, begun: float, limit: float) -> None:
        if self._api.wait_until_asked(limit):
            return
        self._output.drain(whole=True)
        answer, code = self._api.answer, self._process.poll()
        seconds = time.monotonic() - begun
        milliseconds = f"{seconds * 1000:.2f} ms"
        if answer is not None:
            payload, status = answer.body, f"error\tError Type: {answer.error_type}"
        elif code is not None:
            payload, status = _error("Runtime.ExitError", _exited(code)), "error\tError Type: Runtime.ExitError"
        else:
            payload = _error("Sandbox.Timedout", f"Init took longer than {limit:.2f} seconds")
            status = "timeout"
        self._log.write(f"INIT_REPORT Init Duration: {milliseconds}\tPhase: init\tStatus: {status}")
        self.close()
        raise InitFailed(payload, seconds)

    def _judge(self, answer: Answer | None, request_id: str) -> tuple[str | None, bytes, str]:
        """The error, the body, and a status when the environment is of no further use."""
        if answer is not None and answer.error_type == "Function.ResponseSizeTooLarge":
            return answer.error_type, answer.body, "error\tError Type: Function.ResponseSizeTooLarge"
        if answer is not None:
            return ("Unhandled" if answer.kind == "error" else None), answer.body, ""
        self._watcher.join(0.0)
        if (code := self._process.returncode) is not None:
            return (
                "Runtime.ExitError",
                _error("Runtime.ExitError", f"RequestId: {request_id} Error: {_exited(code)}"),
                "error\tError Type: Runtime.ExitError",
            )
        text = f"Task timed out after {self._function.timeout:.2f} seconds"
        body = _error("Sandbox.Timedout", f"RequestId: {request_id} Error: {text}")
        return "Function.Timeout", body, "timeout"

    def _report(self, request_id: str, seconds: float, memory: int, cold: bool, status: str) -> None:
        if not self._closed:
            self._output.drain(whole=True)
        milliseconds = seconds * 1000
        billed = milliseconds + (self.init_seconds * 1000 if cold else 0)
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\tBilled Duration: {-int(-billed // 1)} ms"
            f"\tMemory Size: {self._function.memory_size} MB\tMax Memory Used: {memory} MB"
        )
        if cold:
            report += f"\tInit Duration: {self.init_seconds * 1000:.2f} ms"
        if status:
            report += f"\tStatus: {status}"
        lines = [f"END RequestId: {request_id}", report]
        if status == "timeout":
            moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            lines.append(f"{moment} {request_id} Task timed out after {self._function.timeout:.2f} seconds")
        if memory > self._function.memory_size:
            lines.append(
                f"WARNING RequestId: {request_id} used {memory} MB: Lambda would have ended it at "
                f"{self._function.memory_size} MB"
            )
        self._log.write(*lines)

    def _variables(self, task_root: Path, python: Path, given: Mapping[str, str]) -> dict[str, str]:
        """What a function sees ("Defined runtime environment variables"), and nothing of this process's own."""
        function = self._function
        return {
            **function.environment,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "test",
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            **given,
            "_HANDLER": function.handler,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self._log_stream,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_TASK_ROOT": str(task_root),
            "LAMBDA_RUNTIME_DIR": str(python.parent),
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",  # the code is read-only there, so nothing is ever kept
            processes.TEMPORARY: str(self._scratch),
            "TZ": ":UTC",
        }

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _watch(self) -> None:
        self._process.wait()
        self._api.interrupt()

    def _memory_used(self) -> int:
        """The largest resident size of its process so far, in MB."""
        with contextlib.suppress(OSError, ValueError), Path(f"/proc/{self._process.pid}/status").open("rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return -(-int(line.split()[1]) // 1024)
        return 0


def _error(kind: str, message: str) -> bytes:
    return msgspec.json.encode({"errorType": kind, "errorMessage": message})


def _exited(code: int) -> str:
    if code < 0:
        return f"Runtime exited with error: signal: {signal.strsignal(-code)}".lower().replace("runtime", "Runtime", 1)
    return f"Runtime exited with error: exit status {code}" if code else "Runtime exited without providing a reason"
