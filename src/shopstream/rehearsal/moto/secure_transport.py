"""Policy statements about how a caller must connect.

AWS: "aws:SecureTransport" in "AWS global condition context keys" of the IAM user guide; "s3:TlsVersion" in the service
authorization reference. A Deny applies when its condition is met: `"Bool": {"aws:SecureTransport": "false"}` denies
whoever comes without TLS.

moto: applies a Deny also when its condition is *not* met, so such a bucket refuses everybody.

Here: those two keys are judged as AWS would judge a caller that uses its endpoints, who comes with TLS 1.3. On loopback
everything is plain HTTP: that is this stand-in's doing, not the caller's, and what a bucket would do with a caller
without TLS is not shown. Other conditions are left to moto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.iam.access_control import IAMPolicyStatement, PermissionResult

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable

_TLS_VERSION = 1.3

_COMPARED: dict[str, Callable[[float], bool]] = {
    "NumericLessThan": lambda limit: limit > _TLS_VERSION,
    "NumericLessThanEquals": lambda limit: limit >= _TLS_VERSION,
    "NumericGreaterThan": lambda limit: limit < _TLS_VERSION,
    "NumericGreaterThanEquals": lambda limit: limit <= _TLS_VERSION,
    "NumericEquals": lambda limit: limit == _TLS_VERSION,
    "NumericNotEquals": lambda limit: limit != _TLS_VERSION,
}


def apply() -> None:
    """Teach moto's policies."""
    around(IAMPolicyStatement, "is_action_permitted", _permitted)


def _permitted(original: Callable[..., Any], statement: Any, *arguments: Any, **more: Any) -> Any:
    whole = statement._statement  # noqa: SLF001 - moto's own
    met, others = _judged(whole.get("Condition") or {})
    if not met:
        return PermissionResult.NEUTRAL
    rest = {key: value for key, value in whole.items() if key != "Condition"}
    return original(IAMPolicyStatement({**rest, "Condition": others} if others else rest), *arguments, **more)


def _judged(conditions: dict[str, dict[str, Any]]) -> tuple[bool, dict[str, dict[str, Any]]]:
    """Whether the conditions on the transport are met, and the others."""
    met, others = True, {}
    for operator, keys in conditions.items():
        left = {}
        for key, wanted in keys.items():
            values = [str(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
            if key.lower() == "aws:securetransport" and operator in {"Bool", "BoolIfExists"}:
                met = met and any(each.lower() == "true" for each in values)
            elif key.lower() == "s3:tlsversion" and operator.removesuffix("IfExists") in _COMPARED:
                met = met and any(_COMPARED[operator.removesuffix("IfExists")](float(each)) for each in values)
            else:
                left[key] = wanted
        if left:
            others[operator] = left
    return met, others
