"""Writes the sample plan that `shopstream cost` uses without --plan, from a plan of infra/terraform with all defaults.

    terraform plan -out default.tfplan && terraform show -json default.tfplan | python scripts/sample_plan.py

`tests/infra/test_cost_sample.py` says when it is no longer what infra/terraform leads to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopstream.cost.plan import SAMPLE, trimmed

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).parent.parent / "src" / "shopstream" / "cost" / SAMPLE


def render(plan: Mapping[str, Any]) -> str:
    """The sample's text: JSON, one line for each resource."""
    sample = trimmed(plan)
    lines = ",\n".join(json.dumps(each) for each in sample["planned_values"]["root_module"]["resources"])
    head = json.dumps({name: sample[name] for name in ("format_version", "variables")})[:-1]
    return f'{head},\n"planned_values": {{"root_module": {{"resources": [\n{lines}\n]}}}}}}\n'


if __name__ == "__main__":
    FILE.write_text(render(json.load(sys.stdin)), encoding="utf-8")
