package headwater.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;

/** The pipelines of `tests/bench/topologies.rs`, as Kafka Streams has them. */
final class Pipelines {
    private static final Duration WINDOW = Duration.ofSeconds(60);
    private static final Serde<byte[]> BYTES = Serdes.ByteArray();

    private Pipelines() {}

    static Topology build(String name, String in, String table, String out) {
        StreamsBuilder builder = new StreamsBuilder();
        switch (name) {
            case "passthrough" -> bytes(builder, in).to(out);
            case "json-filter-map" -> builder.stream(in, Consumed.with(BYTES, json(Event.class)))
                .filter((key, event) -> event.inStock)
                .mapValues(Event.Total::of)
                .to(out, Produced.with(BYTES, json(Event.Total.class)));
            case "windowed-count" -> bytes(builder, in)
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeWithNoGrace(WINDOW))
                .count(Materialized.as("counts"))
                .toStream()
                .to(out, Produced.with(new WindowedSerdes.TimeWindowedSerde<>(BYTES, WINDOW.toMillis()), Serdes.Long()));
            case "stream-table" -> bytes(builder, in)
                .join(builder.<byte[], byte[]>table(table, Materialized.as("rows")), (value, row) -> row.length == 0 ? row : value)
                .to(out);
            default -> throw new IllegalArgumentException(
                "no such pipeline; there are passthrough, json-filter-map, windowed-count, stream-table");
        }
        return builder.build();
    }

    private static KStream<byte[], byte[]> bytes(StreamsBuilder builder, String topic) {
        return builder.stream(topic, Consumed.with(BYTES, BYTES));
    }

    /** A type as JSON by Jackson, as its documentation has it for speed: reader and writer made once. */
    private static <T> Serde<T> json(Class<T> type) {
        var reader = Event.JSON.readerFor(type);
        var writer = Event.JSON.writerFor(type);
        return Serdes.serdeFrom((topic, value) -> unchecked(() -> writer.writeValueAsBytes(value)),
            (topic, bytes) -> unchecked(() -> reader.readValue(bytes)));
    }

    /** What may fail with an input or output error. */
    private interface Fallible<T> {
        T get() throws IOException;
    }

    private static <T> T unchecked(Fallible<T> fallible) {
        try {
            return fallible.get();
        } catch (IOException problem) {
            throw new UncheckedIOException(problem);
        }
    }
}
