"""The local Kafka: installed, secured, started, watched and stopped without Docker, root or an installed Java."""
