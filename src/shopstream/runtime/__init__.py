"""What runs a service: the worker and the generator, over Kafka or in memory."""
