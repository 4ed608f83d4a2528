package peer;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

import java.time.Duration;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The raw limit: Kafka's own consumer over partition 0 of some topics (TOPIC:OFFSET), and nothing done with a record. */
final class RawReader {
    /** Measured from before the first fetch until the last record is in hand. */
    static Map<String, Object> read(String bootstrap, long records, String... topics) {
        Map<String, Object> config = Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
                ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 10_000,
                ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, 16 << 20,
                ConsumerConfig.FETCH_MAX_BYTES_CONFIG, 32 << 20,
                ConsumerConfig.RECEIVE_BUFFER_CONFIG, 1 << 20,
                ConsumerConfig.CHECK_CRCS_CONFIG, false,
                ConsumerConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        Map<TopicPartition, Long> starts = Stream.of(topics).map(t -> t.split(":"))
                .collect(Collectors.toMap(t -> new TopicPartition(t[0], 0), t -> Long.parseLong(t[1])));
        Progress progress = new Progress(records, 0);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(starts.keySet());
            consumer.endOffsets(starts.keySet()); // connected, and nothing fetched yet
            starts.forEach(consumer::seek);
            progress.started();
            long read = 0, bytes = 0;
            while (read < records) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    read++;
                    bytes += record.value().length;
                }
            }
            Progress.Sample took = progress.sample().minus(progress.first);
            return Map.of("records", read, "size_bytes", bytes, "seconds", took.wall(), "cpu_s", took.cpu());
        }
    }
}
