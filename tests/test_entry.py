"""What Lambda calls loads everything in the init phase, connects to nothing there, and fails no sooner than it must."""

import json
import subprocess
import sys

import pytest

from shopstream import topology
from shopstream.lambdas.samples import sample_events

SHOP = topology.load()
EVENTS = sample_events(SHOP)

# What Lambda's runtime always sets. Without credentials, boto3 asks EC2's metadata service for some.
AT_LAMBDA = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
AT_LAMBDA |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}

# Looks a handler up as Lambda does, then invokes it, with an environment that lacks what Terraform sets. Tells which
# code the invocation still had to load, and whether anything but it reached for the network.
INVOKE = """
import json, sys, types
used = []
network = {"socket.connect", "socket.getaddrinfo"}
sys.addaudithook(lambda name, arguments: used.append(name) if name in network else None)
name, payload = sys.argv[1:]
module, _, attribute = name.rpartition(".")
handler = getattr(__import__(module, fromlist=["*"]), attribute)
loaded = set(sys.modules)
try:
    raised = ""
    handler(json.loads(payload), types.SimpleNamespace(aws_request_id="a", function_name="f"))
except Exception as error:
    raised = f"{type(error).__name__}: {error}"
late = sorted(set(sys.modules) - loaded)
print(json.dumps({"late": late, "raised": raised, "used": used, "loaded": sorted(loaded)}))
"""


def invoke(name, event, **environment):
    """What a fresh interpreter tells of a handler."""
    done = subprocess.run(
        [sys.executable, "-c", INVOKE, name, json.dumps(event)],
        env=AT_LAMBDA | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", SHOP.services)
def test_the_first_invocation_finds_everything_loaded_and_init_connects_to_nothing(name):
    told = invoke(SHOP.services[name].lambda_handler, EVENTS[name])
    assert "KAFKA_BOOTSTRAP_SERVERS is missing" in told["raised"]
    assert {"confluent_kafka", "boto3", "botocore.client"} <= set(told["loaded"])
    assert told["late"] == []
    assert told["used"] == []


def test_a_join_has_its_table_loaded_too():
    (join,) = (service for service in SHOP.services.values() if service.state)
    assert "shopstream.runtime.dynamodb" in invoke(join.lambda_handler, EVENTS[join.name])["loaded"]


def test_an_unusable_environment_is_told_by_the_invocation_and_not_by_init():
    (join,) = (service for service in SHOP.services.values() if service.state)
    told = invoke(join.lambda_handler, EVENTS[join.name], REPORT_BATCH_ITEM_FAILURES="perhaps")
    assert told["raised"].startswith("SettingsError: the environment variable REPORT_BATCH_ITEM_FAILURES is 'perhaps'")


def test_a_name_that_is_no_service_is_refused():
    from shopstream.runtime import entry

    with pytest.raises(AttributeError, match=r"^greeter is no service of topology\.yaml: it has order_generator, "):
        entry.greeter  # noqa: B018 - looking it up is what Lambda does
