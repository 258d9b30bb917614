"""The Runtime API behaves as AWS's reference for custom runtimes says, seen by a plain HTTP client."""

import http.client
import json
import socket
import threading

import pytest

from shopstream.lambdas.runtime_api import LARGEST_RESPONSE, Answer, Request, RuntimeApi

NEXT = "/2018-06-01/runtime/invocation/next"
REQUEST = Request(
    "id-1", b'{"a":1}', 1_700_000_000_123, "arn:aws:lambda:us-east-1:1:function:f", "Root=1-0-0;Sampled=0"
)


@pytest.fixture
def api():
    api = RuntimeApi()
    yield api
    api.close()


@pytest.fixture
def client(api):
    connection = http.client.HTTPConnection(api.address, timeout=10)
    yield connection
    connection.close()


def call(client, method, path, body=None, headers=None):
    client.request(method, path, body, headers or {})
    response = client.getresponse()
    return response.status, response.headers, response.read()


def test_an_invocation_and_its_answer_over_one_connection(api, client):
    for number in range(3):
        api.invoke(Request(f"id-{number}", b'{"a":1}', 17, "arn", "trace"))
        status, headers, body = call(client, "GET", NEXT)
        assert (status, body) == (200, b'{"a":1}')
        assert headers["Lambda-Runtime-Aws-Request-Id"] == f"id-{number}"
        assert headers["Lambda-Runtime-Deadline-Ms"] == "17"
        assert headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn"
        assert headers["Lambda-Runtime-Trace-Id"] == "trace"
        connected = client.sock
        assert call(client, "POST", f"/2018-06-01/runtime/invocation/id-{number}/response", b"[1]")[0] == 202
        assert client.sock is connected
        assert api.wait_for_answer(1) == Answer("response", b"[1]")


def test_next_waits_for_an_invocation(api, client):
    got = []
    thread = threading.Thread(target=lambda: got.append(call(client, "GET", NEXT)))
    thread.start()
    assert api.wait_until_asked(10)
    assert got == []
    api.invoke(REQUEST)
    thread.join(10)
    assert got[0][2] == REQUEST.payload


def test_an_error_carries_its_type(api, client):
    api.invoke(REQUEST)
    call(client, "GET", NEXT)
    headers = {"Lambda-Runtime-Function-Error-Type": "Handler.Oops"}
    body = json.dumps({"errorType": "Oops"}).encode()
    assert call(client, "POST", "/2018-06-01/runtime/invocation/id-1/error", body, headers)[0] == 202
    assert api.wait_for_answer(1) == Answer("error", body, "Handler.Oops")


def test_a_failed_init_is_told_instead_of_the_first_next(api, client):
    headers = {"Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError"}
    assert call(client, "POST", "/2018-06-01/runtime/init/error", b"{}", headers)[0] == 202
    assert not api.wait_until_asked(10)
    assert api.answer == Answer("init_error", b"{}", "Runtime.ImportModuleError")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/2018-06-01/runtime/invocation/other/response", 400),
        ("GET", "/2018-06-01/runtime/invocation/id-1", 404),
        ("GET", "/2020-01-01/extension/register", 404),
        ("DELETE", NEXT, 404),
    ],
)
def test_what_is_no_part_of_it_is_refused(api, client, method, path, status):
    api.invoke(REQUEST)
    call(client, "GET", NEXT)
    assert call(client, method, path, b"{}")[0] == status
    assert api.wait_for_answer(0) is None


def test_only_the_first_answer_counts(api, client):
    api.invoke(REQUEST)
    call(client, "GET", NEXT)
    path = "/2018-06-01/runtime/invocation/id-1/response"
    assert [call(client, "POST", path, body)[0] for body in (b"1", b"2")] == [202, 400]
    assert api.wait_for_answer(1) == Answer("response", b"1")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("surplus", "status"), [(0, 202), (1, 413)])
def test_a_response_has_at_most_6_mb(api, client, chunked, surplus, status):
    api.invoke(REQUEST)
    call(client, "GET", NEXT)
    body = b"x" * (LARGEST_RESPONSE + surplus)
    sent = iter([body[:70_000], body[70_000:]]) if chunked else body
    path = "/2018-06-01/runtime/invocation/id-1/response"
    client.request("POST", path, sent, {}, encode_chunked=chunked)
    response = client.getresponse()
    response.read()
    assert response.status == status
    answer = api.wait_for_answer(1)
    assert (answer.kind, answer.error_type) == (
        ("error", "Function.ResponseSizeTooLarge") if surplus else ("response", "")
    )


def test_nobody_waits_for_an_environment_that_is_gone(api):
    timer = threading.Timer(0.05, api.interrupt)
    timer.start()
    assert api.wait_for_answer(60) is None
    assert not api.wait_until_asked(60)
    timer.join()


def test_closing_ends_its_connections(api, client):
    call(client, "DELETE", NEXT)
    api.close()
    client.sock.settimeout(10)
    assert client.sock.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(api.address.split(":")[1])), timeout=10).close()


def test_it_listens_on_loopback_only(api):
    assert api.address.startswith("127.0.0.1:")
