package peer;

import com.alibaba.fastjson2.JSON;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.Options;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * Rounds in one JVM, so that all but the first find it warmed up. Each line of standard input asks for one:
 *   clear INPUT N STATUSES SETTLEMENTS   clear the first N records of INPUT's one partition into these topics
 *   read N TOPIC:OFFSET...               only read so many records of these topics' partitions 0 (see RawReader)
 * and is answered by one line of JSON. Ends with its standard input.
 */
public final class Main {
    private final Map<String, String> options = new HashMap<>();
    private final String bootstrap, name, store;
    private final int commitMs;

    public static void main(String[] args) throws Exception {
        BlockingQueue<String> lines = new LinkedBlockingQueue<>();
        Thread reader = new Thread(() -> {
            new BufferedReader(new InputStreamReader(System.in)).lines().forEach(lines::add);
            Runtime.getRuntime().halt(0); // whoever started us is gone, or wants no more
        });
        reader.setDaemon(true);
        reader.start();
        Main main = new Main(args);
        for (int round = 1; ; round++) {
            String[] words = lines.take().split(" ");
            Map<String, Object> answer = words[0].equals("read")
                    ? RawReader.read(main.bootstrap, Long.parseLong(words[1]), Arrays.copyOfRange(words, 2, words.length))
                    : main.clear(words[1], Long.parseLong(words[2]), words[3], words[4], round);
            System.out.println(JSON.toJSONString(answer));
        }
    }

    private Main(String[] args) {
        for (String a : args) {
            String[] kv = a.replaceFirst("^--", "").split("=", 2);
            options.put(kv[0], kv[1]);
        }
        bootstrap = options.get("bootstrap");
        name = options.getOrDefault("name", "peer"); // topics and the group begin with it
        store = options.getOrDefault("store", "rocksdb");
        commitMs = Integer.parseInt(options.getOrDefault("commit-interval-ms", "100"));
    }

    private Map<String, Object> clear(String input, long max, String status, String settlements, int round) throws Exception {
        Progress progress = new Progress(max, Long.parseLong(options.getOrDefault("broker-pid", "0")));
        String app = name + "-" + commitMs + "-" + round + "-" + System.currentTimeMillis();
        Duration window = Duration.ofMillis(Integer.parseInt(options.getOrDefault("window-ms", "1000")));
        List<String> participants = List.of(options.get("participants").split(","));
        Map<String, ClearingProcessor.Asset> assets = new HashMap<>();
        for (String asset : options.get("assets").split(",")) { // HKD:2:100000000,...
            String[] f = asset.split(":");
            assets.put(f[0], new ClearingProcessor.Asset(Integer.parseInt(f[1]), Long.parseLong(f[2])));
        }
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            TopicPartition tp = new TopicPartition(input, 0);
            long target = admin.listOffsets(Map.of(tp, OffsetSpec.earliest())).partitionResult(tp).get().offset() + max;

            Topology topology = topology(input, status, settlements, store, () ->
                    new ClearingProcessor(participants, assets, window, filter(), progress));
            KafkaStreams streams = new KafkaStreams(topology, config(app));
            streams.setUncaughtExceptionHandler(e -> {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();

            // The committed offset, as the broker has it, decides: half way is the first commit seen at or past max/2.
            Progress.Sample half = null, end;
            long halfOffset = 0, committed;
            for (;;) {
                committed = committed(admin, app, tp);
                if (half == null && committed >= target - max / 2) {
                    half = progress.sample();
                    halfOffset = committed;
                }
                if (committed >= target) {
                    end = progress.sample();
                    break;
                }
                Thread.sleep(20);
            }
            long heapUsed = Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
            streams.close(Duration.ofSeconds(30));
            streams.cleanUp();
            admin.deleteTopics(admin.listTopics().names().get().stream().filter(t -> t.startsWith(app)).toList()).all().get();
            admin.removeMembersFromConsumerGroup(app, new RemoveMembersFromConsumerGroupOptions()).all().get();
            admin.deleteConsumerGroups(Set.of(app)).all().get();
            return report(max, end.minus(progress.first), target - halfOffset, end.minus(half), heapUsed);
        }
    }

    private SeenFilter filter() {
        return options.containsKey("filter-mb") ? new SeenFilter(Integer.parseInt(options.get("filter-mb"))) : null;
    }

    private static Topology topology(String input, String status, String settlements, String store,
            ProcessorSupplier<byte[], byte[], byte[], byte[]> clearing) {
        Serde<byte[]> bytes = Serdes.ByteArray();
        KeyValueBytesStoreSupplier ids = switch (store) {
            case "memory" -> Stores.inMemoryKeyValueStore(ClearingProcessor.IDS);
            case "hash" -> HashStore.supplier(ClearingProcessor.IDS);
            case "rocksdb" -> Stores.persistentKeyValueStore(ClearingProcessor.IDS);
            default -> throw new IllegalArgumentException("--store=rocksdb|memory|hash");
        };
        Topology t = new Topology();
        t.addSource("payments", new ByteArrayDeserializer(), new ByteArrayDeserializer(), input);
        t.addProcessor("clearing", clearing, "payments");
        // An id is written once: a record cache in front would only cost. Positions are rewritten all the time:
        // the cache folds a commit interval's writes into one changelog record per key.
        t.addStateStore(Stores.keyValueStoreBuilder(ids, bytes, bytes), "clearing");
        t.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(ClearingProcessor.POSITIONS), bytes, Serdes.Long())
                .withCachingEnabled(), "clearing");
        t.addSink(ClearingProcessor.STATUS, status, new ByteArraySerializer(), new ByteArraySerializer(), "clearing");
        t.addSink(ClearingProcessor.SETTLEMENT, settlements, new ByteArraySerializer(), new ByteArraySerializer(), "clearing");
        return t;
    }

    private Properties config(String app) {
        Properties c = new Properties();
        c.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        c.put(StreamsConfig.APPLICATION_ID_CONFIG, app);
        c.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state-dir"));
        c.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        c.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);
        c.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        c.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        c.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        c.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 20_000);
        c.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Rocks.class);
        c.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
        c.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        c.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        c.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        c.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.RECEIVE_BUFFER_CONFIG), 1 << 20);
        c.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.CHECK_CRCS_CONFIG), false);
        c.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 512 << 10);
        c.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        c.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        c.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);
        c.put(StreamsConfig.producerPrefix(ProducerConfig.SEND_BUFFER_CONFIG), 1 << 20);
        for (Map.Entry<String, String> e : options.entrySet()) { // any Streams or client setting, to try one: --set.NAME=VALUE
            if (e.getKey().startsWith("set.")) c.put(e.getKey().substring(4), e.getValue());
        }
        return c;
    }

    /** A duplicate check mostly asks for keys that are not there: filters for the memtable too, and a larger one. */
    public static final class Rocks implements RocksDBConfigSetter {
        @Override
        public void setConfig(String storeName, Options options, Map<String, Object> configs) {
            options.setWriteBufferSize(64L << 20);
            options.setMemtablePrefixBloomSizeRatio(0.1);
            options.setMemtableWholeKeyFiltering(true);
            BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
            table.setCacheIndexAndFilterBlocks(false);
            options.setTableFormatConfig(table);
        }

        @Override
        public void close(String storeName, Options options) {
        }
    }

    private static long committed(Admin admin, String group, TopicPartition tp) throws Exception {
        try {
            var m = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(tp);
            return m == null ? -1 : m.offset();
        } catch (java.util.concurrent.ExecutionException e) { // no such group yet
            return -1;
        }
    }

    private static Map<String, Object> report(long n, Progress.Sample all, long steadyN, Progress.Sample steady, long heap) {
        Map<String, Object> r = new LinkedHashMap<>();
        r.put("payments", n);
        r.put("seconds", all.wall());
        r.put("cpu_s", all.cpu());
        r.put("kafka_cpu_s", all.brokerCpu());
        r.put("steady_payments", steadyN);
        r.put("steady_seconds", steady.wall());
        r.put("steady_cpu_s", steady.cpu());
        r.put("memory_bytes", heap);
        return r;
    }
}
