"""shopstream: a simulated web shop whose orders flow through Apache Kafka exactly once."""

__version__ = "0.1.0"
