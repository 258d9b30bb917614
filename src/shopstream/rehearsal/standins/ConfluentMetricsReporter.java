package io.confluent.metrics.reporter;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A stand-in for Confluent's metrics reporter; it is not Confluent's, and its records are JSON of its own. It takes the
 * same properties, connects with the same client settings and writes to the same topic.
 */
public final class ConfluentMetricsReporter implements MetricsReporter {
    private static final String PREFIX = "confluent.metrics.reporter.";
    private final Map<String, KafkaMetric> metrics = new ConcurrentHashMap<>();
    private final Properties client = new Properties();
    private ScheduledExecutorService timer;
    private KafkaProducer<byte[], byte[]> producer;
    private String topic;
    private String broker;
    private boolean created;
    private int partitions;
    private short replicas;
    private Map<String, String> topicSettings;

    @Override
    public void configure(Map<String, ?> configs) {
        Map<String, String> own = new HashMap<>();
        configs.forEach((key, value) -> {
            if (key.startsWith(PREFIX) && value != null) {
                own.put(key.substring(PREFIX.length()), value.toString());
            }
        });
        if (!own.containsKey("bootstrap.servers")) {
            throw new ConfigException(PREFIX + "bootstrap.servers", null, "is required");
        }
        Object id = configs.get("broker.id");
        broker = id == null ? String.valueOf(configs.get("node.id")) : id.toString();
        topic = own.getOrDefault("topic", "_confluent-metrics");
        partitions = Integer.parseInt(own.getOrDefault("topic.partitions", "12"));
        replicas = Short.parseShort(own.getOrDefault("topic.replicas", "3"));
        created = !Boolean.parseBoolean(own.getOrDefault("topic.create", "true"));
        topicSettings = Map.of("retention.ms", own.getOrDefault("topic.retention.ms", "259200000"));
        long period = Long.parseLong(own.getOrDefault("publish.ms", "15000"));
        own.forEach((key, value) -> {
            if (!key.startsWith("topic") && !key.equals("publish.ms") && !key.startsWith("volume")
                    && !key.startsWith("whitelist") && !key.startsWith("include")) {
                client.put(key, value);
            }
        });
        client.put("client.id", "confluent-metrics-reporter");
        client.putIfAbsent("max.block.ms", "5000");
        timer = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread thread = new Thread(task, "confluent-metrics-reporter");
            thread.setDaemon(true);
            return thread;
        });
        timer.scheduleWithFixedDelay(this::publish, period, period, TimeUnit.MILLISECONDS);
    }

    private void publish() {
        try {
            if (!created) {
                create();
            }
            if (producer == null) {
                producer = new KafkaProducer<>(client, new ByteArraySerializer(), new ByteArraySerializer());
            }
            String record = "{\"broker\":" + broker + ",\"time\":" + System.currentTimeMillis() + ",\"metrics\":"
                    + metrics.size() + ",\"standIn\":true}";
            byte[] key = broker.getBytes(StandardCharsets.UTF_8);
            producer.send(new ProducerRecord<>(topic, key, record.getBytes(StandardCharsets.UTF_8)), (done, error) -> {
                if (error != null) {
                    complain(error);
                }
            });
        } catch (Exception error) {
            complain(error);
        }
    }

    private void create() throws Exception {
        try (Admin admin = Admin.create(client)) {
            NewTopic wanted = new NewTopic(topic, partitions, replicas).configs(topicSettings);
            admin.createTopics(List.of(wanted)).all().get(10, TimeUnit.SECONDS);
        } catch (java.util.concurrent.ExecutionException error) {
            if (!(error.getCause() instanceof TopicExistsException)) {
                throw error;
            }
        }
        created = true;
    }

    private static void complain(Exception error) {
        System.err.println("stand-in for the metrics reporter: " + error);
    }

    @Override
    public void init(List<KafkaMetric> known) {
        known.forEach(this::metricChange);
    }

    @Override
    public void metricChange(KafkaMetric metric) {
        metrics.put(metric.metricName().toString(), metric);
    }

    @Override
    public void metricRemoval(KafkaMetric metric) {
        metrics.remove(metric.metricName().toString());
    }

    @Override
    public void close() {
        if (timer != null) {
            timer.shutdownNow();
        }
        if (producer != null) {
            producer.close(java.time.Duration.ofSeconds(2));
        }
    }
}
