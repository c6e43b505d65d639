package headwater.clients;

import static headwater.clients.Checks.equal;
import static headwater.clients.Checks.fresh;
import static headwater.clients.Checks.until;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TaskMetadata;
import org.apache.kafka.streams.ThreadMetadata;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams with exactly_once_v2: counts per key, behind a repartition topic, by one instance, by two, and by one that
 * starts anew and has to read its counts back from their changelog. Each count has to appear once, and in order.
 */
public final class Streams {
    private static final List<String> KEYS = IntStream.range(0, 20).mapToObj(key -> "key-" + key).toList();
    private static final Duration CLOSE = Duration.ofSeconds(30);

    private final Checks checks = new Checks();
    private final String application = fresh("streams");
    private final String input = application + "-input";
    private final String output = application + "-output";
    private final List<KafkaStreams> running = new ArrayList<>();
    private final Map<String, List<Long>> counts = new HashMap<>();
    private final String bootstrap;
    private final KafkaConsumer<String, Long> reader;
    private final Path states;
    private long written;

    private Streams(String bootstrap) throws Exception {
        this.bootstrap = bootstrap;
        states = Files.createTempDirectory("headwater-clients");
        reader = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed"), new StringDeserializer(), new LongDeserializer());
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("version " + AppInfoParser.getVersion());
        Streams streams = new Streams(arguments[0]);
        streams.checkAll();
        streams.running.forEach(one -> one.close(Duration.ZERO));
        try (var left = Files.walk(streams.states)) {
            left.sorted((one, other) -> other.compareTo(one)).forEach(path -> path.toFile().delete());
        }
        streams.checks.end();
    }

    private void checkAll() {
        checks.check("counts of one instance appear once each", () -> {
            try (Admin admin = admin()) {
                admin.createTopics(List.of(new NewTopic(input, 2, (short) 1), new NewTopic(output, 2, (short) 1))).all().get();
            }
            List<TopicPartition> partitions = List.of(new TopicPartition(output, 0), new TopicPartition(output, 1));
            reader.assign(partitions);
            reader.seekToBeginning(partitions);
            start("first");
            count(10);
        });
        checks.check("its internal topics are made, the changelog is compacted", () -> {
            try (Admin admin = admin()) {
                String changelog = application + "-counts-changelog";
                Set<String> made = new HashSet<>(admin.listTopics().names().get());
                equal("internal topics", made.containsAll(Set.of(changelog, application + "-by-key-repartition")), true);
                ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, changelog);
                equal("cleanup.policy", admin.describeConfigs(List.of(resource)).all().get().get(resource).get("cleanup.policy").value(), "compact");
            }
        });
        checks.check("a second instance takes tasks, and every count still appears once", () -> {
            start("second");
            until("both have tasks", () -> tasks(running.get(0)) == 2 && tasks(running.get(1)) == 2);
            count(20);
        });
        checks.check("who stays gets the tasks of who ends", () -> {
            running.remove(0).close(CLOSE);
            until("the second has all", () -> tasks(running.get(0)) == 4);
            count(30);
        });
        checks.check("an instance that starts anew restores its counts", () -> {
            running.remove(0).close(CLOSE);
            start("third");
            count(40);
        });
    }

    private Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    /** A new instance without any state of its own. */
    private void start(String name) throws Exception {
        Properties settings = new Properties();
        settings.putAll(Map.of(
            StreamsConfig.APPLICATION_ID_CONFIG, application,
            StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
            StreamsConfig.STATE_DIR_CONFIG, states.resolve(name).toString(),
            // Every count is to appear, not just the last of a commit.
            StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0,
            StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest",
            // An instance that ends does not leave the group; its tasks go to others when its session ends.
            StreamsConfig.consumerPrefix("session.timeout.ms"), 6000));
        KafkaStreams streams = new KafkaStreams(topology(), settings);
        running.add(streams);
        streams.start();
    }

    private Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(input, Consumed.with(Serdes.String(), Serdes.String()))
            .selectKey((key, value) -> value)
            .repartition(Repartitioned.with(Serdes.String(), Serdes.String()).withName("by-key"))
            .groupByKey()
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream().to(output, Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    private static int tasks(KafkaStreams streams) {
        return streams.metadataForLocalThreads().stream().map(ThreadMetadata::activeTasks).mapToInt(Set<TaskMetadata>::size).sum();
    }

    /** Writes every key until it was written so often, and expects the counts up to there. */
    private void count(long times) throws Exception {
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer())) {
            for (; written < times; written++) {
                for (String key : KEYS) {
                    producer.send(new ProducerRecord<>(input, null, key));
                }
            }
        }
        until("every key was counted to " + times, () -> {
            for (ConsumerRecord<String, Long> record : reader.poll(Duration.ofMillis(200))) {
                counts.computeIfAbsent(record.key(), key -> new ArrayList<>()).add(record.value());
            }
            return KEYS.stream().allMatch(key -> counts.getOrDefault(key, List.of()).contains(times));
        });
        List<Long> expected = LongStream.rangeClosed(1, times).boxed().toList();
        for (String key : KEYS) {
            equal("counts of " + key, counts.get(key), expected);
        }
    }
}
