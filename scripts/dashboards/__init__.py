"""The dashboards of Kafka, ZooKeeper and the hosts, as data: `scripts/build_dashboards.py` turns them into JSON."""
