"""`shopstream lambda` refuses in a line what it cannot do."""

import pytest

from shopstream.cli import lambdas
from shopstream.errors import UsageError


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{", "is no JSON"), (b"\xff", "is no JSON"), (b"[" * 200_000 + b"]" * 200_000, "is nested too deeply")],
)
def test_an_event_that_cannot_be_read_is_refused(tmp_path, content, told):
    path = tmp_path / "event.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=told) as caught:
        lambdas._event(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
