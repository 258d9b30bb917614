"""The whole life of a deployment, rehearsed on this machine with the production's own scripts, and judged.

phases.py      the phases, and which of them a command means; pure
record.py      what is remembered between two commands
world.py       where everything lies, and how a program is run in a phase
site.py        the copy of the checkout that is deployed
preparing.py   the phases needs, supplies, zips, ground
deploying.py   infrastructure, boot, firewall, configure
functions.py   where functions run: a network namespace of their own on the machines' bridge
flowing.py     flow, judge
hurting.py     faults, change
ending.py      teardown
rehearsal.py   runs the phases
counting.py    what was run of what is declared; pure
report.py      for the terminal; page.py: one HTML page
"""
