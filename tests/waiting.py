"""Waiting for what comes by itself."""

import time


def until(condition, what="it came about", seconds=30.0):
    """Wait until a condition holds; its value comes back."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)
    return value
