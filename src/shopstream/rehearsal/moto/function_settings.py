"""What a Lambda function was told and moto forgets.

AWS: "CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration" and "GetFunction" of the Lambda API
reference.

moto: drops DeadLetterConfig and LoggingConfig, and changes of tracing, temporary storage and key; makes up the VPC's
id and does not look whether subnets and security groups exist; takes the newest object where S3ObjectVersion asks for
an older one; turns a missing object into an internal error; does not show a reserved concurrency of 0; and gives a code
location that does not exist.

Here: all that is kept, checked and shown. The code location is an address of this server, as AWS's is one of S3.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaFunction, _s3_content
from moto.awslambda.utils import get_backend
from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from shopstream.rehearsal.moto.patching import around, replaced

if TYPE_CHECKING:
    from collections.abc import Callable

_CODE = "/lambda-code"
_CODE_PATH = re.compile(rf"{_CODE}/(?P<account>\d{{12}})/(?P<region>[^/]+)/(?P<name>[^/]+)/(?P<version>[^/]+)")


def apply() -> None:
    """Teach moto's Lambda functions."""
    around(LambdaFunction, "__init__", _init)
    around(LambdaFunction, "get_configuration", _configuration)
    around(LambdaFunction, "update_configuration", _update)
    around(LambdaFunction, "_set_function_code", _set_code)
    around(LambdaFunction, "get_code", _code)
    replaced(LambdaFunction, "vpc_config", property(_vpc_config))


def code_at(path: str) -> bytes | None:
    """The zip that lies at a path of this server, or None.

    Args:
        path: From a function's code location.
    """
    match = _CODE_PATH.fullmatch(path)
    if match is None:
        return None
    version = None if match["version"] == "$LATEST" else match["version"]
    function = get_backend(match["account"], match["region"]).get_function(match["name"], version)
    code: bytes = function.code_bytes
    return code


def _init(
    original: Callable[..., None], function: Any, account_id: str, spec: dict[str, Any], *rest: Any, **more: Any
) -> None:
    original(function, account_id, spec, *rest, **more)
    function.dead_letters = spec.get("DeadLetterConfig") or {}
    function.logging = spec.get("LoggingConfig") or {}
    _check_vpc(function, spec.get("VpcConfig"))


def _configuration(
    original: Callable[..., dict[str, Any]], function: Any, *arguments: Any, **more: Any
) -> dict[str, Any]:
    shown = original(function, *arguments, **more)
    logging = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function.function_name}", **function.logging}
    if logging["LogFormat"] == "JSON":
        logging = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **logging}
    shown["LoggingConfig"] = logging
    if function.dead_letters.get("TargetArn"):
        shown["DeadLetterConfig"] = function.dead_letters
    return shown


def _update(original: Callable[..., dict[str, Any]], function: Any, updates: dict[str, Any]) -> dict[str, Any]:
    _check_vpc(function, updates.get("VpcConfig"))
    if "DeadLetterConfig" in updates:
        function.dead_letters = updates["DeadLetterConfig"] or {}
    if "LoggingConfig" in updates:
        function.logging = updates["LoggingConfig"] or {}
    if updates.get("TracingConfig"):
        function.tracing_config = updates["TracingConfig"]
    if updates.get("EphemeralStorage"):
        function.ephemeral_storage = updates["EphemeralStorage"]["Size"]
    if "KMSKeyArn" in updates:
        function.kms_key_arn = updates["KMSKeyArn"] or None
    return original(function, updates)


def _set_code(original: Callable[..., None], function: Any, spec: dict[str, Any]) -> None:
    key = None
    store = s3_backends[function.account_id][function.partition]
    if "S3Key" in spec and not spec.get("DryRun") and spec.get("S3Bucket") in store.buckets:
        version = spec.get("S3ObjectVersion")
        key = store.get_object(spec["S3Bucket"], spec["S3Key"], version_id=version)
        if key is None:
            code, what = ("NoSuchVersion", "version") if version else ("NoSuchKey", "key")
            raise _wrong(
                f"Error occurred while GetObject. S3 Error Code: {code}. "
                f"S3 Error Message: The specified {what} does not exist."
            )
    try:
        original(function, spec)
    except ValueError as error:
        if error.args[:1] == ("InvalidParameterValueException",):
            raise _wrong(str(error.args[1])) from error
        raise
    if key is not None:
        function.code_bytes, function.code_size, function.code_sha_256, function.code_digest = _s3_content(key)


def _code(original: Callable[..., dict[str, Any]], function: Any) -> dict[str, Any]:
    answer = original(function)
    if "Location" in answer.get("Code", {}):
        place = f"{function.account_id}/{function.region}/{function.function_name}/{function.version}"
        answer["Code"]["Location"] = f"http://127.0.0.1:{os.environ['MOTO_PORT']}{_CODE}/{place}"
    if function.reserved_concurrency is not None:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved_concurrency}
    return answer


def _vpc_config(function: Any) -> dict[str, Any] | None:
    config = function._vpc_config  # noqa: SLF001 - moto's own
    if not config:
        return None
    subnets = config.get("SubnetIds") or []
    backend = ec2_backends[function.account_id][function.region]
    return {
        "SubnetIds": subnets,
        "SecurityGroupIds": config.get("SecurityGroupIds") or [],
        "Ipv6AllowedForDualStack": config.get("Ipv6AllowedForDualStack", False),
        "VpcId": backend.get_subnet(subnets[0]).vpc_id if subnets else "",
    }


def _check_vpc(function: Any, config: dict[str, Any] | None) -> None:
    if not config:
        return
    subnets, groups = config.get("SubnetIds") or [], config.get("SecurityGroupIds") or []
    if bool(subnets) != bool(groups):
        raise _wrong("SubnetIds and SecurityIds must coexist or be both empty list.")
    backend = ec2_backends[function.account_id][function.region]
    known = {subnet.id for subnet in backend.describe_subnets()}
    for subnet in subnets:
        if subnet not in known:
            raise _wrong(f"Error occurred while DescribeSubnets. The subnet ID '{subnet}' does not exist")
    for group in groups:
        if backend.get_security_group_from_id(group) is None:
            raise _wrong(f"Error occurred while DescribeSecurityGroups. The security group '{group}' does not exist")


def _wrong(message: str) -> LambdaClientError:
    return LambdaClientError("InvalidParameterValueException", message)
