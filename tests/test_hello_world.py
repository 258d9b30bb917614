"""The first Lambda says "Hello World"."""

from services.hello_world.hello_world import handler, hello


def test_hello_says_hello_world():
    assert hello() == "Hello World"


def test_the_lambda_says_it_too_whatever_it_is_called_with():
    assert handler({}, None) == handler({"anything": 1}, object()) == "Hello World"
