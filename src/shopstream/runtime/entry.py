"""What Lambda is told to call: `shopstream.runtime.entry.<service>` is the handler of that service.

It is the `handler` of services/<service>/<service>.py, after everything that it needs has been loaded. Lambda looks it
up in its init phase, when a function has a whole processor; in an invocation it has the share that its memory buys
(512 MB: 0.29 of one), so what takes 0.3 s here would take a second there (AWS, "Utilize initialization phase" in
"Effectively running Java on Serverless", which holds for any runtime; bench/lambda_init.py measures it). The services'
own modules stay free of it: they are cores that import nothing but events.

Nothing is connected to, and no secret is read. What is wrong with the environment is told by the invocation.
"""

from __future__ import annotations

from typing import Any

from shopstream.runtime import function
from shopstream.runtime.processor import core_of
from shopstream.topology import load


def __getattr__(name: str) -> Any:
    services = load().services
    if name not in services:
        raise AttributeError(f"{name} is no service of topology.yaml: it has {', '.join(services)}")
    function.prepare(services[name])
    return core_of(services[name]).handler
