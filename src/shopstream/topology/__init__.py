"""The one description of topics, services, users and their rights, read from topology.yaml."""

from shopstream.topology.model import Acl, EventSource, Operator, Service, Topic, Topology
from shopstream.topology.reading import default_path, load, parse

__all__ = ["Acl", "EventSource", "Operator", "Service", "Topic", "Topology", "default_path", "load", "parse"]
