"""EC2's security groups as a firewall of the rehearsal's network.

What a group would block at AWS is blocked between the machines here, and the attempt is counted. It is checked against
our reading of "Security group rules" and "Security group connection tracking" in AWS's VPC guide, not against AWS.

What it does not show: network ACLs, route tables (whoever may send to an address can reach it), name service and time
(which groups do not filter), and UDP's answers (there is no memory of connections: an answer needs a rule of its own).
"""

from shopstream.rehearsal.firewall.applying import apply, blocked, remove
from shopstream.rehearsal.firewall.judging import Decision, explain
from shopstream.rehearsal.firewall.reading import describe, site_of
from shopstream.rehearsal.firewall.ruleset import Blocked, blocked_in, ruleset
from shopstream.rehearsal.firewall.site import Operator, Party, Rule, Service, Site

__all__ = [
    "Blocked",
    "Decision",
    "Operator",
    "Party",
    "Rule",
    "Service",
    "Site",
    "apply",
    "blocked",
    "blocked_in",
    "describe",
    "explain",
    "remove",
    "ruleset",
    "site_of",
]
