#!/bin/bash
# Written for the rehearsal, after the script of the same name in the official archive.
base=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
if [ $# -eq 0 ]; then
  echo "USAGE: $0 [-daemon] configuration.properties" >&2
  exit 1
fi
: "${KAFKA_LOG4J_OPTS:=-Dlog4j.configuration=file:$base/config/log4j.properties}"
: "${KAFKA_HEAP_OPTS:=-Xmx1G -Xms1G}"
export KAFKA_LOG4J_OPTS KAFKA_HEAP_OPTS
# shellcheck disable=SC2206 # several arguments in one variable, as in the official script
options=(${EXTRA_ARGS--name kafkaServer -loggc})
if [ "$1" = -daemon ]; then
  options=(-daemon "${options[@]}")
  shift
fi
exec "$base/bin/kafka-run-class.sh" "${options[@]}" kafka.Kafka "$@"
