"""What a run on Lambda is refused for comes before anything is started; and a run that is left can be finished."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from shopstream.cli.on_lambda import find_zips
from shopstream.cli.run import how_to_finish
from shopstream.errors import UsageError
from shopstream.runs import Run
from shopstream.topology import load


def test_each_service_needs_its_zip(tmp_path):
    shop = load()
    for service in shop.services:
        with pytest.raises(UsageError, match=rf"{service}\.zip is missing"):
            find_zips(tmp_path, shop, print)
        (tmp_path / f"{service}.zip").touch()
    assert find_zips(tmp_path, shop, print) == tmp_path


def test_the_command_that_goes_on_with_a_run_has_the_options_of_the_first():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    left = Run(
        run_id="left", orders=9, seed=3, start=start, shop_rate=10.0, guarantee="at-least-once", platform="lambda"
    )
    text = how_to_finish(left, 1, {"rate": None, "faults": "fail=0.1", "zips": Path("some zips")})
    assert text.endswith("--on lambda --guarantee at-least-once --faults fail=0.1 --zips 'some zips'")
