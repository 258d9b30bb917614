"""What a deployment costs: a plan and a dated price table in, USD by service out.

    prices.toml, prices.py   list prices, each with its source
    plan.py                  what a plan leads to; default_plan.json is the one with all defaults, trimmed
    standing.py              what is billed while it exists
    usage.py                 what an order uses, from the topology and measured sizes
    estimate.py              both together, for a run, an hour, a month, a million orders
    choices.py               the same with something changed: what it costs or saves
    report.py, plot.py       tables, JSON, SVG

Pure, but for the two files that come with it and the plan that is read. `shopstream.aws.price` uses the first three
before a deployment; the rest needs what the functions need.
"""
