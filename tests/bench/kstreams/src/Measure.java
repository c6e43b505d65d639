package headwater.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.common.TopicPartition;

/**
 * Starts any system that reads a topic and writes another, lets it read to the end, and prints one line of JSON: what a
 * record costs in the steady window, and how long things take. The system is the command behind `--`; it has to commit its
 * input offsets under the group's name, since they tell how far it is.
 *
 * <p>The window reaches from the fraction `--from` of the input to its end: what comes before warms caches and compilers.
 * With `--changelog` the state folder is taken to be empty, and the restore is what counts: from exec until all of the
 * input, a few records, is committed.
 */
public final class Measure {
    private static final long STOP_NS = TimeUnit.SECONDS.toNanos(60);
    private static final long GIVE_UP_NS = TimeUnit.SECONDS.toNanos(180);

    private final Arguments arguments;
    private final Topics topics;
    private final List<TopicPartition> in;
    private final List<TopicPartition> out;
    /** Where the group stands when the system starts. */
    private final Map<TopicPartition, Long> begins;
    private final long begin;
    private final long end;
    private final Map<TopicPartition, Long> outBefore;
    private long startNs;
    private Process process;
    private Double firstOutputS;
    private Sample from;
    private Sample to;

    /** The state of things at a moment. */
    private record Sample(long timeNs, long records, Usage system, long brokerCpuNs) {}

    public static void main(String[] given) throws Exception {
        Arguments arguments = new Arguments(given, "bootstrap", null, "name", "", "in", "in", "out", "out", "group", null,
            "from", "0.2", "broker-pids", "", "state-dir", "", "changelog", "", "digest", "yes", "log", "/dev/null");
        try (Topics topics = new Topics(arguments.text("bootstrap"))) {
            Measure measure = new Measure(arguments, topics);
            try {
                measure.run();
                System.out.println(new ObjectMapper().writeValueAsString(measure.result()));
            } finally {
                measure.stop();
            }
        }
    }

    private Measure(Arguments arguments, Topics topics) throws ExecutionException, InterruptedException {
        this.arguments = arguments;
        this.topics = topics;
        in = topics.partitions(arguments.text("in"));
        out = topics.partitions(arguments.text("out"));
        begins = topics.begins(in);
        begins.putAll(topics.committed(arguments.text("group"), in));
        begin = Topics.sum(begins);
        end = Topics.sum(topics.ends(in));
        outBefore = topics.ends(out);
        if (begin == end) {
            throw new IllegalStateException("there is nothing to read in " + arguments.text("in"));
        }
    }

    private void run() throws IOException, ExecutionException, InterruptedException {
        File log = new File(arguments.text("log"));
        startNs = System.nanoTime();
        process = new ProcessBuilder(arguments.command).redirectErrorStream(true).redirectOutput(log).start();
        long wanted = begin + (long) ((end - begin) * arguments.fraction("from"));
        long movedNs = startNs;
        long before = begin;
        while (to == null) {
            if (!process.isAlive()) {
                throw new IllegalStateException("the system ended by itself; its log is " + log);
            }
            if (firstOutputS == null && Topics.sum(topics.ends(out)) > Topics.sum(outBefore)) {
                firstOutputS = (System.nanoTime() - startNs) / 1e9;
            }
            long done = done();
            movedNs = done > before ? System.nanoTime() : movedNs;
            before = done;
            if (System.nanoTime() - movedNs > GIVE_UP_NS) {
                throw new IllegalStateException("nothing is committed for 180 s; the log is " + log);
            }
            if (from == null && done >= wanted) {
                from = sample(done);
            }
            if (done == end) {
                to = sample(done);
            }
            Thread.sleep(firstOutputS == null ? 5 : 20);
        }
    }

    /** How far the group has committed, over all partitions. */
    private long done() throws ExecutionException, InterruptedException {
        Map<TopicPartition, Long> committed = new HashMap<>(begins);
        committed.putAll(topics.committed(arguments.text("group"), in));
        return Topics.sum(committed);
    }

    private Sample sample(long records) throws IOException {
        long brokers = 0;
        for (String pid : arguments.text("broker-pids").split(",")) {
            brokers += pid.isEmpty() ? 0 : Usage.of(ProcessHandle.of(Long.parseLong(pid)).orElseThrow()).cpuNs();
        }
        return new Sample(System.nanoTime(), records, Usage.of(process.toHandle()), brokers);
    }

    private Map<String, Object> result() throws Exception {
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("name", arguments.text("name"));
        told.put("records", end - begin);
        double caughtUpS = (to.timeNs - startNs) / 1e9;
        if (arguments.text("changelog").isEmpty()) {
            window(told);
        } else {
            long length = topics.length(arguments.text("changelog"));
            told.put("changelog_records", length);
            told.put("restore_records_per_s", Math.round(length / caughtUpS));
            told.put("restore_cpu_ns_per_record", to.system.cpuNs() / Math.max(1, length));
        }
        told.put("first_output_s", rounded(firstOutputS));
        told.put("caught_up_s", rounded(caughtUpS));
        told.put("rss_mb", to.system.rssKb() / 1024);
        told.put("peak_mb", to.system.peakKb() / 1024);
        long stopNs = System.nanoTime();
        // What is in memory only is written now, and was caused by these records as well.
        long written = writtenAtLast();
        told.put("stop_s", rounded((System.nanoTime() - stopNs) / 1e9));
        told.put("written_mb", written >> 20);
        told.put("state_mb", size(arguments.text("state-dir")) >> 20);
        if (arguments.text("digest").equals("yes")) {
            Digest digest = Digest.of(arguments.text("bootstrap"), outBefore, topics.ends(out));
            told.put("out_records", digest.records());
            told.put("out_digest", Long.toHexString(digest.lastValues()));
        }
        return told;
    }

    /** What a record costs between the two samples; none if commits came too seldom for two. */
    private void window(Map<String, Object> told) {
        long records = to.records - from.records;
        told.put("window_records", records);
        if (records > 0) {
            told.put("cpu_ns", (to.system.cpuNs() - from.system.cpuNs()) / records);
            told.put("without_jit_ns", (to.system.cpuNs() - from.system.cpuNs() - to.system.jitNs() + from.system.jitNs()) / records);
            told.put("broker_cpu_ns", (to.brokerCpuNs - from.brokerCpuNs) / records);
            told.put("records_per_s", Math.round(records * 1e9 / (to.timeNs - from.timeNs)));
        }
    }

    private static Double rounded(Double seconds) {
        return seconds == null ? null : Math.round(seconds * 1e3) / 1e3;
    }

    private static long size(String folder) throws IOException {
        if (folder.isEmpty()) {
            return 0;
        }
        try (Stream<Path> files = Files.walk(Path.of(folder))) {
            return files.mapToLong(file -> Files.isRegularFile(file) ? file.toFile().length() : 0).sum();
        }
    }

    /** Stops the system, and tells what it has written by then. */
    private long writtenAtLast() throws InterruptedException {
        long written = to.system.writtenBytes();
        process.destroy();
        for (long began = System.nanoTime(); process.isAlive() && System.nanoTime() - began < STOP_NS; Thread.sleep(1)) {
            try {
                written = Math.max(written, Usage.of(process.toHandle()).writtenBytes());
            } catch (IOException | RuntimeException ended) {
                break;
            }
        }
        stop();
        return written;
    }

    /** Ends the system in order, or after a minute at once. */
    private void stop() throws InterruptedException {
        if (process != null) {
            process.destroy();
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
        }
    }
}
