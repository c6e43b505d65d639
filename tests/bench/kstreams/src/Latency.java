package headwater.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * How long records take through a running system that passes values on: from when they should have been sent until a
 * consumer at the tail of the output sees them. The generator is an open loop: record i is due at start + i / rate, says
 * so in the first 8 bytes of its value, and waits for nothing. If more than one in a hundred leaves over 1 ms late, the
 * numbers are the generator's, and where records are missing, they are too good: such a run is void (exit status 3).
 */
public final class Latency {
    private static final long LAG_LIMIT_NS = 1_000_000;
    private static final long PATIENCE_NS = 30_000_000_000L;

    private final Arguments arguments;
    private final Histogram latency = histogram();
    private final Histogram lag = histogram();
    private final AtomicLong sent = new AtomicLong();
    private final AtomicLong failed = new AtomicLong();
    private long measuredFromNs;
    private long counted;
    private long seen;

    public static void main(String[] given) throws Exception {
        Latency run = new Latency(new Arguments(given, "bootstrap", null, "name", "", "in", "in", "out", "out",
            "rate", "20_000", "warm-up", "60", "seconds", "120", "keys", "1_000_000", "linger-ms", "0",
            "isolation", "read_committed", "log", ""));
        run.run();
        System.exit(run.report() ? 0 : 3);
    }

    private Latency(Arguments arguments) {
        this.arguments = arguments;
    }

    private static Histogram histogram() {
        return new Histogram(1_000, 60_000_000_000L, 3);
    }

    private void run() throws Exception {
        String bootstrap = arguments.text("bootstrap");
        List<TopicPartition> out;
        Map<TopicPartition, Long> ends;
        try (Topics topics = new Topics(bootstrap)) {
            out = topics.partitions(arguments.text("out"));
            ends = topics.ends(out);
        }
        long rate = arguments.number("rate");
        long records = rate * (arguments.number("warm-up") + arguments.number("seconds"));
        long startNs = System.nanoTime() + 1_000_000_000L;
        measuredFromNs = startNs + arguments.number("warm-up") * 1_000_000_000L;
        Thread generator = new Thread(() -> generate(startNs, rate, records), "generator");
        generator.start();
        try (Consumer<byte[], byte[]> consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap,
                "isolation.level", arguments.text("isolation"), "fetch.min.bytes", 1, "fetch.max.wait.ms", 10),
                new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(out);
            ends.forEach(consumer::seek);
            long lastNs = startNs + records * 1_000_000_000L / rate;
            while (seen < records && System.nanoTime() < lastNs + PATIENCE_NS) {
                collect(consumer);
            }
        }
        generator.join();
    }

    private void collect(Consumer<byte[], byte[]> consumer) {
        var records = consumer.poll(Duration.ofMillis(100));
        long nowNs = System.nanoTime();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            long dueNs = ByteBuffer.wrap(record.value()).getLong();
            seen++;
            if (dueNs >= measuredFromNs) {
                counted++;
                latency.recordValue(Math.min(Math.max(nowNs - dueNs, 0), latency.getHighestTrackableValue()));
            }
        }
    }

    private void generate(long startNs, long rate, long records) {
        SplittableRandom random = new SplittableRandom(0);
        long keys = arguments.number("keys");
        String topic = arguments.text("in");
        // A queue of far over ten seconds, so that `send` never waits for an answer.
        try (Producer<byte[], byte[]> producer = new KafkaProducer<>(Map.of("bootstrap.servers", arguments.text("bootstrap"),
                "linger.ms", arguments.number("linger-ms"), "batch.size", 65_536, "buffer.memory", 256 << 20),
                new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.partitionsFor(topic);
            for (long n = 0; n < records; n++) {
                long dueNs = startNs + n * 1_000_000_000L / rate;
                for (long waitNs = dueNs - System.nanoTime(); waitNs > 0; waitNs = dueNs - System.nanoTime()) {
                    LockSupport.parkNanos(waitNs);
                }
                byte[] value = new byte[100];
                ByteBuffer.wrap(value).putLong(dueNs);
                producer.send(new ProducerRecord<>(topic, Fill.key(random.nextLong(keys)), value), (written, problem) -> {
                    (problem == null ? sent : failed).incrementAndGet();
                });
                if (dueNs >= measuredFromNs) {
                    lag.recordValue(Math.min(Math.max(System.nanoTime() - dueNs, 0), lag.getHighestTrackableValue()));
                }
            }
        }
    }

    /** Prints the line of JSON; tells whether the run counts. */
    private boolean report() throws Exception {
        boolean isVoid = lag.getValueAtPercentile(99) > LAG_LIMIT_NS || failed.get() > 0 || seen < sent.get();
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("name", arguments.text("name"));
        told.put("void", isVoid);
        told.put("rate", arguments.number("rate"));
        told.put("sent", sent.get());
        told.put("failed", failed.get());
        told.put("seen", seen);
        told.put("counted", counted);
        for (double percent : new double[] {50, 90, 99, 99.9, 99.99, 100}) {
            told.put(percent == 100 ? "max_ms" : "p" + String.valueOf(percent).replaceFirst("\\.0$", "") + "_ms", ms(latency, percent));
        }
        told.put("generator_lag_p50_ms", ms(lag, 50));
        told.put("generator_lag_p99_ms", ms(lag, 99));
        told.put("generator_lag_max_ms", ms(lag, 100));
        System.out.println(new ObjectMapper().writeValueAsString(told));
        if (!arguments.text("log").isEmpty()) {
            try (PrintStream log = new PrintStream(arguments.text("log"))) {
                latency.outputPercentileDistribution(log, 1e6);
            }
        }
        return !isVoid;
    }

    private static double ms(Histogram histogram, double percent) {
        return Math.round(histogram.getValueAtPercentile(percent) / 1e4) / 100.0;
    }
}
