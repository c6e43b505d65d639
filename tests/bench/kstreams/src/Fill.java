package headwater.bench;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Fills a topic with what the benches read; the same arguments give the same keys, values and distances in time. Kinds:
 *
 * <ul>
 *   <li>`plain`: 16-byte hexadecimal keys drawn from all, 100-byte values, 1 ms of event time per 1,000 records, every
 *       hundredth record 1 s late: behind the newest time, yet in an open window;
 *   <li>`json`: the same keys, and events of 165 bytes;
 *   <li>`table`: each key once, 100-byte rows, older than all of the above;
 *   <li>`empty`: the topic alone.
 * </ul>
 */
public final class Fill {
    private static final long LATE_MS = 1_000;
    private static final long HOUR_MS = 3_600_000;
    private static final long READY_NS = 60_000_000_000L;
    private static final long TABLE_BEFORE_MS = 10_000;

    public static void main(String[] given) throws Exception {
        Arguments arguments = new Arguments(given, "bootstrap", null, "kind", null, "topic", null, "records", "10_000_000",
            "keys", "1_000_000", "partitions", "4", "seed", "0");
        String kind = arguments.text("kind");
        String topic = arguments.text("topic");
        create(arguments.text("bootstrap"), topic, (int) arguments.number("partitions"));
        long records = switch (kind) {
            case "plain", "json" -> arguments.number("records");
            case "table" -> arguments.number("keys");
            case "empty" -> 0;
            default -> throw new IllegalArgumentException("no such kind; there are plain, json, table, empty");
        };
        long begin = System.nanoTime();
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (Producer<byte[], byte[]> producer = producer(arguments.text("bootstrap"))) {
            Source source = new Source(kind, topic, arguments.number("keys"), new SplittableRandom(arguments.number("seed")));
            for (long n = 0; n < records && failure.get() == null; n++) {
                producer.send(source.record(n), (written, problem) -> failure.compareAndSet(null, problem));
            }
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        System.out.printf("%s: %,d records of kind %s in %.1f s%n", topic, records, kind, (System.nanoTime() - begin) / 1e9);
    }

    /** Draws the records of a kind. */
    private static final class Source {
        // A recent time, since Kafka deletes what is old; windows are whole minutes and shall not end in between.
        private final long baseMs = System.currentTimeMillis() / HOUR_MS * HOUR_MS - HOUR_MS + 5_000;
        private final String kind;
        private final String topic;
        private final long keys;
        private final SplittableRandom random;
        private final byte[] value = new byte[100];

        Source(String kind, String topic, long keys, SplittableRandom random) {
            this.kind = kind;
            this.topic = topic;
            this.keys = keys;
            this.random = random;
            Arrays.fill(value, (byte) (kind.equals("table") ? 't' : 'v'));
        }

        ProducerRecord<byte[], byte[]> record(long n) {
            if (kind.equals("table")) {
                return new ProducerRecord<>(topic, null, baseMs - TABLE_BEFORE_MS, key(n), value);
            }
            long timeMs = baseMs + n / 1_000 - (n % 100 == 99 ? LATE_MS : 0);
            byte[] key = key(random.nextLong(keys));
            byte[] drawn = kind.equals("json") ? Event.draw(random, timeMs).getBytes(StandardCharsets.US_ASCII) : value;
            return new ProducerRecord<>(topic, null, timeMs, key, drawn);
        }
    }

    static byte[] key(long number) {
        byte[] key = new byte[16];
        for (int at = 15; at >= 0; at--, number >>>= 4) {
            key[at] = (byte) Character.forDigit((int) (number & 15), 16);
        }
        return key;
    }

    static void create(String bootstrap, String topic, int partitions) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        try (Admin admin = Admin.create(properties)) {
            NewTopic wanted = new NewTopic(topic, partitions, (short) 1).configs(Map.of("retention.ms", "-1"));
            admin.createTopics(List.of(wanted)).all().get();
            ready(admin, topic, partitions);
        } catch (ExecutionException problem) {
            if (!(problem.getCause() instanceof TopicExistsException)) {
                throw problem;
            }
        }
    }

    /**
     * Waits until the partitions of a new topic are led. Until then a broker may refuse a producer's first batch and take its
     * second one, as the first of a producer that it does not know; the first one is out of order from then on, for good.
     */
    private static void ready(Admin admin, String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        for (int partition = 0; partition < partitions; partition++) {
            ends.put(new TopicPartition(topic, partition), OffsetSpec.latest());
        }
        long begin = System.nanoTime();
        while (true) {
            try {
                // It asks again by itself as long as nobody leads one of them, but not while the topic is not known.
                admin.listOffsets(ends).all().get();
                return;
            } catch (ExecutionException problem) {
                boolean isNew = problem.getCause() instanceof UnknownTopicOrPartitionException;
                if (!isNew || System.nanoTime() - begin > READY_NS) {
                    throw problem;
                }
                Thread.sleep(50);
            }
        }
    }

    private static Producer<byte[], byte[]> producer(String bootstrap) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        // About 1,000 records of 126 bytes, as the batches of the benches in process.
        properties.put("batch.size", 131_072);
        properties.put("linger.ms", 50);
        properties.put("buffer.memory", 128 << 20);
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }
}
