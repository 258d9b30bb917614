"""The auditor: proves from the topics alone that every order had exactly one outcome, or names what is wrong."""

from shopstream.audit.checks import ANOMALIES
from shopstream.audit.engine import Auditor
from shopstream.audit.rates import configured_rates
from shopstream.audit.verdict import Anomaly, Judgement, Sample, Verdict

__all__ = ["ANOMALIES", "Anomaly", "Auditor", "Judgement", "Sample", "Verdict", "configured_rates"]
