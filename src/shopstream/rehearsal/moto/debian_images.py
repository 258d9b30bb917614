"""Debian 12's images and the public SSM parameters that name the newest.

Debian: "Cloud/AmazonEC2Image/Bookworm" of the Debian wiki: account 136693071363, names
`debian-12-<architecture>-<date>-<build>`, root device /dev/xvda, login user admin; parameters
/aws/service/debian/release/12/latest/{amd64,arm64}.

moto: knows images of Amazon, Canonical and Microsoft, and Amazon's parameters.

Here: one image an architecture and region, with an id of our own making, and its parameter. Nothing boots from it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.models.amis import Ami, AmiBackend
from moto.ssm.models import Parameter, ParameterDict

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable

_DEBIAN = "136693071363"
_BUILD = "20251103-2286"
_BUILT = datetime(2025, 11, 3, tzinfo=UTC)
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
_PREFIX = "/aws/service/debian/"


class _Parameter(Parameter):
    """A parameter that CloudFormation knows nothing of."""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Whether CloudFormation may ask for an attribute."""
        del attr
        return False

    def is_created(self) -> bool:
        """Whether CloudFormation made it."""
        return True


def apply() -> None:
    """Teach moto's images and parameters."""
    around(AmiBackend, "_load_amis", _load_images)
    around(ParameterDict, "_check_loading_status", _load_parameters)


def image_id(architecture: str, region: str) -> str:
    """The id of the image here.

    Args:
        architecture: As Debian calls it: "amd64" or "arm64".
        region: For example "us-east-1".
    """
    name = f"debian-12-{architecture}-{_BUILD} {region}"
    return "ami-0" + hashlib.sha256(name.encode()).hexdigest()[:16]


def _load_images(original: Callable[..., None], backend: Any) -> None:
    original(backend)
    for debian, architecture in _ARCHITECTURES.items():
        identifier = image_id(debian, backend.region_name)
        name = f"debian-12-{debian}-{_BUILD}"
        backend.amis[identifier] = Ami(
            backend,
            identifier,
            name=name,
            description=f"Debian 12 ({_BUILD})",
            owner_id=_DEBIAN,
            owner_alias="amazon",
            public=True,
            virtualization_type="hvm",
            architecture=architecture,
            image_location=f"amazon/{name}",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/xvda",
            creation_date=_BUILT.replace(tzinfo=None),
            region_name=f"{backend.region_name}a",
        )


def _load_parameters(original: Callable[..., None], parameters: Any, key: str) -> None:
    original(parameters, key)
    if not str(key or "").startswith(_PREFIX) or getattr(parameters, "debian_loaded", False):
        return
    parameters.debian_loaded = True
    for debian in _ARCHITECTURES:
        name = f"{_PREFIX}release/12/latest/{debian}"
        dict.__setitem__(
            parameters,
            name,
            [
                _Parameter(
                    account_id=parameters.account_id,
                    name=name,
                    value=image_id(debian, parameters.region_name),
                    parameter_type="String",
                    description=None,
                    allowed_pattern=None,
                    keyid=None,
                    last_modified_date=_BUILT.replace(tzinfo=None),
                    version=1,
                    data_type="aws:ec2:image",
                )
            ],
        )
