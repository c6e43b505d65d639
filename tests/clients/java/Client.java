package headwater.clients;

import static headwater.clients.Checks.bytes;
import static headwater.clients.Checks.equal;
import static headwater.clients.Checks.fails;
import static headwater.clients.Checks.fresh;
import static headwater.clients.Checks.until;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * kafka-clients, whose group is of the protocol given, `classic` or `consumer` (KIP-848): admin, all codecs, offsets by time, a
 * group of two, transactions with fencing. The reference: it lacks nothing that is checked elsewhere.
 */
public final class Client {
    private static final Duration POLL = Duration.ofMillis(200);
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static final Set<Integer> ALL = Set.of(0, 1, 2, 3);

    private final Checks checks = new Checks();
    private final String bootstrap;
    private final String protocol;
    private final Admin admin;

    private Client(String bootstrap, String protocol) {
        this.bootstrap = bootstrap;
        this.protocol = protocol;
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] arguments) {
        System.out.println("version " + AppInfoParser.getVersion());
        Client client = new Client(arguments[0], arguments[1]);
        client.checkAdmin();
        CODECS.forEach(client::checkCodec);
        client.checkTimestamps();
        client.checkOffsetsByTime();
        client.checkGroup();
        client.checkTransactions();
        client.checkOffsetsInTransaction();
        client.checkDeletion();
        client.checks.end();
    }

    private void checkAdmin() {
        String topic = fresh("admin");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        checks.check("a topic is created with a setting, and described", () -> {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1).configs(Map.of(TopicConfig.RETENTION_MS_CONFIG, "86400000")))).all().get();
            TopicDescription told = describe(topic);
            equal("partitions", told.partitions().stream().map(one -> one.partition()).toList(), List.of(0, 1));
            equal("replicas in sync", told.partitions().stream().map(one -> one.isr().size()).toList(), List.of(1, 1));
            equal("retention.ms", retention(resource).value(), "86400000");
        });
        checks.check("a topic that exists is refused", () -> fails(TopicExistsException.class, () -> create(topic, 1)));
        checks.check("a setting is altered and deleted", () -> {
            alter(resource, AlterConfigOp.OpType.SET, "7200000");
            until("it is altered", () -> retention(resource).value().equals("7200000"));
            alter(resource, AlterConfigOp.OpType.DELETE, "");
            until("it is the default again", () -> retention(resource).isDefault());
        });
        checks.check("partitions are added", () -> {
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
            until("there are four", () -> describe(topic).partitions().size() == 4);
        });
    }

    private TopicDescription describe(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private ConfigEntry retention(ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(TopicConfig.RETENTION_MS_CONFIG);
    }

    private void alter(ConfigResource resource, AlterConfigOp.OpType operation, String value) throws Exception {
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry(TopicConfig.RETENTION_MS_CONFIG, value), operation);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
    }

    private void checkCodec(String codec) {
        checks.check("records by " + codec + " come back byte by byte", () -> {
            String topic = create(fresh(codec), 2);
            for (int partition = 0; partition < 2; partition++) {
                List<ProducerRecord<byte[], byte[]>> made = records(topic, partition, 12);
                try (var producer = producer(Map.of("compression.type", codec, "linger.ms", 50))) {
                    equal("offsets", send(producer, made), IntStream.range(0, 12).mapToObj(Long::valueOf).toList());
                }
                List<ConsumerRecord<byte[], byte[]>> got = read(topic, partition, 12, "read_uncommitted");
                for (int place = 0; place < 12; place++) {
                    same(place, got.get(place), made.get(place));
                }
            }
        });
    }

    private static void same(long offset, ConsumerRecord<byte[], byte[]> got, ProducerRecord<byte[], byte[]> made) {
        equal("offset", got.offset(), offset);
        equal("key of " + offset, got.key(), made.key());
        equal("value of " + offset, got.value(), made.value());
        equal("headers of " + offset, headers(got.headers()), headers(made.headers()));
        equal("timestamp of " + offset, got.timestamp(), made.timestamp());
        equal("kind of timestamp of " + offset, got.timestampType(), TimestampType.CREATE_TIME);
    }

    private static List<String> headers(Headers headers) {
        return Arrays.stream(headers.toArray()).map(one -> one.key() + "=" + Arrays.toString(one.value())).toList();
    }

    private void checkTimestamps() {
        checks.check("a topic with log append time stamps records itself", () -> {
            String topic = fresh("append-time");
            Map<String, String> settings = Map.of(TopicConfig.MESSAGE_TIMESTAMP_TYPE_CONFIG, "LogAppendTime");
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(settings))).all().get();
            long begin = System.currentTimeMillis();
            try (var producer = producer(Map.of())) {
                send(producer, records(topic, 0, 2));
            }
            for (var record : read(topic, 0, 2, "read_uncommitted")) {
                equal("kind", record.timestampType(), TimestampType.LOG_APPEND_TIME);
                equal("it is of now: " + record.timestamp(), record.timestamp() >= begin && record.timestamp() <= System.currentTimeMillis(), true);
            }
        });
    }

    private void checkOffsetsByTime() {
        String topic = fresh("time");
        TopicPartition partition = new TopicPartition(topic, 0);
        checks.check("offsets by time, the first, the last, the newest", () -> {
            create(topic, 1);
            List<ProducerRecord<byte[], byte[]>> made = records(topic, 0, 12);
            // One compressed batch and one that is not: the broker has to look into both.
            for (String codec : List.of("zstd", "none")) {
                int half = codec.equals("none") ? 6 : 0;
                try (var producer = producer(Map.of("compression.type", codec, "linger.ms", 50))) {
                    send(producer, made.subList(half, half + 6));
                }
            }
            long sixth = made.get(5).timestamp();
            try (var consumer = consumer(fresh("reader"), Map.of())) {
                Map<Long, Optional<Long>> asked = Map.of(made.get(0).timestamp() - 5000, Optional.of(0L), sixth, Optional.of(5L),
                    sixth + 1, Optional.of(6L), sixth + 2000, Optional.of(7L), System.currentTimeMillis() + 60_000, Optional.empty());
                for (var one : asked.entrySet()) {
                    OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, one.getKey())).get(partition);
                    equal("offset", Optional.ofNullable(found).map(OffsetAndTimestamp::offset), one.getValue());
                }
            }
            equal("earliest", offset(partition, OffsetSpec.earliest()), 0L);
            equal("latest", offset(partition, OffsetSpec.latest()), 12L);
            equal("max timestamp", offset(partition, OffsetSpec.maxTimestamp()), 11L);
        });
        checks.check("records are deleted up to an offset", () -> {
            long low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(partition).get().lowWatermark();
            equal("low watermark", low, 5L);
            until("they are gone", () -> offset(partition, OffsetSpec.earliest()) == 5);
        });
    }

    private long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    /** A member of a group, with what it has read. */
    private final class Member implements AutoCloseable {
        private final List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        private final KafkaConsumer<byte[], byte[]> consumer;

        Member(String group, String topic) {
            consumer = consumer(group, Map.of("group.protocol", protocol));
            consumer.subscribe(List.of(topic));
        }

        Set<Integer> poll() {
            consumer.poll(POLL).forEach(got::add);
            return partitions(consumer.assignment());
        }

        Set<Integer> partitionsRead() {
            return got.stream().map(ConsumerRecord::partition).collect(Collectors.toSet());
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    private static Set<Integer> partitions(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::partition).collect(Collectors.toCollection(TreeSet::new));
    }

    private void checkGroup() {
        String topic = fresh("group");
        String group = fresh("group");
        checks.check("a second member takes partitions of the first, and each reads what it has", () -> {
            create(topic, 4);
            try (Member first = new Member(group, topic)) {
                until("the first has all partitions", () -> first.poll().equals(ALL));
                try (Member second = new Member(group, topic)) {
                    until("both have two", () -> share(first.poll(), second.poll()));
                    fill(topic, 10);
                    until("all 40 are read", () -> first.poll().size() + second.poll().size() == 4 && first.got.size() + second.got.size() == 40);
                    for (Member member : List.of(first, second)) {
                        equal("partitions read", member.partitionsRead(), Set.copyOf(member.poll()));
                        member.consumer.commitSync();
                    }
                    describeGroup(group, 2);
                }
                until("the one that stays has all", () -> first.poll().equals(ALL));
                describeGroup(group, 1);
            }
        });
        checks.check("a new member resumes where the group committed", () -> {
            fill(topic, 1);
            try (Member third = new Member(group, topic)) {
                until("the new ones are read", () -> third.poll().equals(ALL) && third.got.size() >= 4);
                equal("offsets", third.got.stream().map(ConsumerRecord::offset).toList(), List.of(10L, 10L, 10L, 10L));
                equal("partitions", third.partitionsRead(), ALL);
            }
            equal("committed", committed(group).values().stream().map(OffsetAndMetadata::offset).toList(), List.of(10L, 10L, 10L, 10L));
        });
        checks.check("offsets of an empty group are altered and deleted, and so is the group", () -> {
            TopicPartition partition = new TopicPartition(topic, 0);
            until("it is empty", () -> describeGroup(group).groupState() == GroupState.EMPTY);
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3, "told"))).all().get();
            equal("altered", committed(group).get(partition), new OffsetAndMetadata(3, "told"));
            admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
            equal("deleted", committed(group).get(partition), null);
            admin.deleteConsumerGroups(List.of(group)).all().get();
            until("it is gone", () -> listed(group).isEmpty());
        });
    }

    private static boolean share(Set<Integer> first, Set<Integer> second) {
        Set<Integer> both = new TreeSet<>(first);
        both.addAll(second);
        return first.size() == 2 && second.size() == 2 && both.equals(ALL);
    }

    private void fill(String topic, int count) throws Exception {
        try (var producer = producer(Map.of())) {
            for (int partition : ALL) {
                send(producer, records(topic, partition, count));
            }
        }
    }

    private Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    private List<GroupListing> listed(String group) throws Exception {
        return admin.listGroups(new ListGroupsOptions()).all().get().stream().filter(one -> one.groupId().equals(group)).toList();
    }

    private ConsumerGroupDescription describeGroup(String group) throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private void describeGroup(String group, int members) throws Exception {
        ConsumerGroupDescription told = describeGroup(group);
        GroupType type = GroupType.parse(protocol);
        equal("state", told.groupState(), GroupState.STABLE);
        equal("type", told.type(), type);
        equal("listed type", listed(group).get(0).type(), Optional.of(type));
        equal("members", told.members().size(), members);
        Set<Integer> partitions = new TreeSet<>();
        told.members().forEach(one -> partitions.addAll(partitions(one.assignment().topicPartitions())));
        equal("partitions", partitions, ALL);
    }

    private void checkTransactions() {
        String topic = fresh("transactions");
        String name = fresh("transactional");
        List<KafkaProducer<byte[], byte[]>> open = new ArrayList<>();
        checks.check("what a transaction commits is seen, what it aborts is not", () -> {
            create(topic, 1);
            var producer = transactional(name);
            open.add(producer);
            for (int count = 3; count > 0; count--) {
                producer.beginTransaction();
                send(producer, records(topic, 0, count));
                if (count == 2) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
            // The ends of transactions take an offset each: 3, 6 and 8.
            equal("committed", offsets(topic, 4, "read_committed"), List.of(0L, 1L, 2L, 7L));
            equal("all", offsets(topic, 6, "read_uncommitted"), List.of(0L, 1L, 2L, 4L, 5L, 7L));
        });
        checks.check("an open transaction ends what read_committed sees", () -> {
            open.get(0).beginTransaction();
            equal("offset", send(open.get(0), records(topic, 0, 1)), List.of(9L));
            equal("end", end(topic, "read_committed"), 9L);
            equal("end", end(topic, "read_uncommitted"), 10L);
        });
        checks.check("a second producer of the same name ends the first's transaction and fences it", () -> {
            var successor = transactional(name);
            open.add(successor);
            // Which of its two words for it the client uses depends on the request that is refused first.
            fails(KafkaException.class, () -> {
                send(open.get(0), records(topic, 0, 1));
                open.get(0).commitTransaction();
            });
            successor.beginTransaction();
            long last = send(successor, records(topic, 0, 1)).get(0);
            successor.commitTransaction();
            equal("committed", offsets(topic, 5, "read_committed"), List.of(0L, 1L, 2L, 7L, last));
        });
        open.forEach(producer -> producer.close(Duration.ZERO));
    }

    private void checkOffsetsInTransaction() {
        checks.check("offsets are committed with a transaction, and thrown away with it", () -> {
            String topic = create(fresh("input"), 1);
            String group = fresh("group");
            TopicPartition partition = new TopicPartition(topic, 0);
            try (var writer = producer(Map.of()); Member member = new Member(group, topic); var producer = transactional(fresh("transactional"))) {
                send(writer, records(topic, 0, 8));
                until("8 are read", () -> member.poll().size() == 1 && member.got.size() == 8);
                for (long offset : List.of(4L, 8L)) {
                    producer.beginTransaction();
                    producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(offset)), member.consumer.groupMetadata());
                    if (offset == 4) {
                        producer.commitTransaction();
                    } else {
                        producer.abortTransaction();
                    }
                    equal("committed", member.consumer.committed(Set.of(partition)).get(partition).offset(), 4L);
                }
            }
        });
    }

    private void checkDeletion() {
        checks.check("a topic is deleted", () -> {
            String topic = create(fresh("deleted"), 2);
            admin.deleteTopics(List.of(topic)).all().get();
            until("it is gone", () -> !admin.listTopics().names().get().contains(topic));
        });
    }

    private String create(String topic, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        return topic;
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap));
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaProducer<byte[], byte[]> transactional(String name) {
        var producer = producer(Map.of("transactional.id", name));
        producer.initTransactions();
        return producer;
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "group.id", group, "auto.offset.reset", "earliest",
            "enable.auto.commit", false));
        all.putAll(settings);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Sends these records and returns the offsets that the broker gave them. */
    private static List<Long> send(KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> made) throws InterruptedException, ExecutionException {
        List<Future<RecordMetadata>> sent = made.stream().map(producer::send).toList();
        producer.flush();
        List<Long> offsets = new ArrayList<>();
        for (Future<RecordMetadata> one : sent) {
            offsets.add(one.get().offset());
        }
        return offsets;
    }

    /** The first records of a partition. */
    private List<ConsumerRecord<byte[], byte[]>> read(String topic, int partition, int count, String isolation) throws Exception {
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        try (var consumer = consumer(fresh("reader"), Map.of("isolation.level", isolation))) {
            TopicPartition place = new TopicPartition(topic, partition);
            consumer.assign(List.of(place));
            consumer.seek(place, 0);
            until(count + " records of " + place + " are read", () -> {
                consumer.poll(POLL).forEach(got::add);
                return got.size() >= count;
            });
        }
        return got;
    }

    private List<Long> offsets(String topic, int count, String isolation) throws Exception {
        return read(topic, 0, count, isolation).stream().map(ConsumerRecord::offset).toList();
    }

    private long end(String topic, String isolation) {
        TopicPartition partition = new TopicPartition(topic, 0);
        try (var consumer = consumer(fresh("reader"), Map.of("isolation.level", isolation))) {
            return consumer.endOffsets(List.of(partition)).get(partition);
        }
    }

    /**
     * Records that have everything: keys and none, values and tombstones, headers twice and without a value, large ones. Each is a
     * second younger than the one before.
     */
    private static List<ProducerRecord<byte[], byte[]>> records(String topic, int partition, int count) {
        long first = System.currentTimeMillis() - 60_000;
        byte[] every = new byte[256];
        for (int value = 0; value < every.length; value++) {
            every[value] = (byte) value;
        }
        byte[][] values = {{}, every, bytes("stream ".repeat(15_000)), null};
        List<ProducerRecord<byte[], byte[]>> made = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            byte[] key = number % 5 == 4 ? null : bytes("key-" + number);
            byte[] value = number < values.length ? values[number] : bytes("value-" + number);
            List<Header> headers = List.of(new RecordHeader("from", bytes("java")), new RecordHeader("number", new byte[] {(byte) number}),
                new RecordHeader("empty", new byte[0]), new RecordHeader("null", null), new RecordHeader("from", bytes("again")));
            made.add(new ProducerRecord<>(topic, partition, first + 1000L * number, key, value, number % 3 == 0 ? List.of() : headers));
        }
        return made;
    }
}
