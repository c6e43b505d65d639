package headwater.bench;

import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/**
 * A pipeline on Kafka Streams, until the process is ended. Settings are Kafka Streams' own defaults but for what every
 * system in a comparison shares: guarantee, commit interval, one thread; `--cache default` leaves the record cache on.
 */
public final class KStreams {
    public static void main(String[] given) throws Exception {
        Arguments arguments = new Arguments(given, "bootstrap", null, "pipeline", null, "state-dir", null, "in", "in",
            "out", "out", "table", "table", "guarantee", "at_least_once", "commit-ms", "100", "cache", "0", "group", "kstreams");
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments.text("group"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.text("bootstrap"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments.text("state-dir"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments.text("guarantee"));
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments.number("commit-ms"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, "org.apache.kafka.common.serialization.Serdes$ByteArraySerde");
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, "org.apache.kafka.common.serialization.Serdes$ByteArraySerde");
        properties.put("auto.offset.reset", "earliest");
        // A restart shall not wait for the session of the process before: Kafka Streams does not leave its group.
        properties.put("session.timeout.ms", 6_000);
        if (!arguments.text("cache").equals("default")) {
            properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, arguments.number("cache"));
        }
        var topology = Pipelines.build(arguments.text("pipeline"), arguments.text("in"), arguments.text("table"), arguments.text("out"));
        KafkaStreams streams = new KafkaStreams(topology, properties);
        streams.setUncaughtExceptionHandler(problem -> {
            problem.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close();
            closed.countDown();
        }));
        streams.start();
        closed.await();
    }
}
