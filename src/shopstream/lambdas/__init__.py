"""A local AWS Lambda: functions in processes of their own, and event source mappings that feed them from Kafka."""
