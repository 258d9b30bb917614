"""Detailed monitoring of an EC2 instance is switched on and off.

AWS: "MonitorInstances" and "UnmonitorInstances" of the EC2 API reference.

moto: has no answer; the provider asks for it after each start, so an instance with `monitoring = true` cannot be made.

Here: the instance keeps the state. There are no metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.responses.monitoring import Monitoring

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable


def apply() -> None:
    """Teach moto's instances."""
    around(Monitoring, "monitor_instances", _switch("enabled", "pending"))
    around(Monitoring, "unmonitor_instances", _switch("disabled", "disabling"))


def _switch(state: str, said: str) -> Callable[..., Any]:
    def switch(_original: Callable[..., Any], response: Any) -> Any:
        response.error_on_dryrun()
        changed = []
        for identifier in response._get_param("InstanceIds", []):  # noqa: SLF001 - moto's own
            instance = response.ec2_backend.get_instance(identifier)
            instance.monitoring_state = state
            changed.append({"InstanceId": identifier, "Monitoring": {"State": said}})
        return ActionResult({"InstanceMonitorings": changed})

    return switch
