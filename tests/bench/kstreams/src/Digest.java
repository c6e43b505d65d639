package headwater.bench;

import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.Bytes;

/**
 * What a system has written: how many committed records, and one number for the last value of every key. Two systems that
 * compute the same have the same two; the order between keys does not matter.
 *
 * @param records committed records
 * @param lastValues sum over all keys of a hash of key and last value
 */
record Digest(long records, long lastValues) {
    static Digest of(String bootstrap, Map<TopicPartition, Long> begins, Map<TopicPartition, Long> ends) {
        long records = 0;
        Map<Bytes, Integer> last = new HashMap<>();
        try (Consumer<byte[], byte[]> consumer = consumer(bootstrap)) {
            consumer.assign(ends.keySet());
            begins.forEach(consumer::seek);
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    records++;
                    last.put(Bytes.wrap(record.key()), Arrays.hashCode(record.value()));
                }
            }
        }
        long sum = last.entrySet().stream().mapToLong(entry -> mix(entry.getKey().hashCode(), entry.getValue())).sum();
        return new Digest(records, sum);
    }

    /** Spreads two hashes over 64 bits, so that their sum tells more than each. */
    private static long mix(int key, int value) {
        long both = ((long) key << 32 | value & 0xffff_ffffL) * 0x9E37_79B9_7F4A_7C15L;
        return both ^ both >>> 32;
    }

    private static Consumer<byte[], byte[]> consumer(String bootstrap) {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
}
