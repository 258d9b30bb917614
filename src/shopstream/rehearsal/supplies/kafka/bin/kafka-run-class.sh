#!/bin/bash
# Runs a class of Kafka, as the script of the same name in the official archive does, with the same variables:
# JAVA_HOME, CLASSPATH, LOG_DIR, JMX_PORT, KAFKA_HEAP_OPTS, KAFKA_JVM_PERFORMANCE_OPTS, KAFKA_JMX_OPTS,
# KAFKA_LOG4J_OPTS, KAFKA_GC_LOG_OPTS, KAFKA_OPTS. Written for the rehearsal.
base=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)

daemon= name=
while [ $# -gt 0 ]; do
  case $1 in
    -name) name=$2; shift 2 ;;
    -daemon) daemon=yes; shift ;;
    -loggc) shift ;;
    *) break ;;
  esac
done
if [ $# -eq 0 ]; then
  echo "USAGE: $0 [-daemon] [-name servicename] classname [opts]" >&2
  exit 1
fi

: "${LOG_DIR:=$base/logs}"
if [ -z "$KAFKA_LOG4J_OPTS" ]; then
  KAFKA_LOG4J_OPTS="-Dlog4j.configuration=file:$base/config/tools-log4j.properties"
else
  mkdir -p "$LOG_DIR"
fi
: "${KAFKA_HEAP_OPTS:=-Xmx256M}"
: "${KAFKA_JVM_PERFORMANCE_OPTS:=-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true}"
if [ -z "$KAFKA_JMX_OPTS" ] && [ -n "$JMX_PORT" ]; then
  KAFKA_JMX_OPTS="-Dcom.sun.management.jmxremote -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false"
fi
if [ -n "$JMX_PORT" ]; then
  KAFKA_JMX_OPTS="$KAFKA_JMX_OPTS -Dcom.sun.management.jmxremote.port=$JMX_PORT"
fi
java=java
if [ -n "$JAVA_HOME" ]; then
  java=$JAVA_HOME/bin/java
fi

# The variables hold several options each: they are meant to be split.
# shellcheck disable=SC2086
set -- $KAFKA_HEAP_OPTS $KAFKA_JVM_PERFORMANCE_OPTS $KAFKA_GC_LOG_OPTS $KAFKA_JMX_OPTS \
  "-Dkafka.logs.dir=$LOG_DIR" $KAFKA_LOG4J_OPTS -cp "${CLASSPATH:+$CLASSPATH:}$base/libs/*" $KAFKA_OPTS "$@"
if [ -n "$daemon" ]; then
  mkdir -p "$LOG_DIR"
  nohup "$java" "$@" >"$LOG_DIR/${name:-kafka}.out" 2>&1 </dev/null &
else
  exec "$java" "$@"
fi
