package headwater.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * What a process, with those that it started, has used so far, as Linux counts it. Processor time comes in steps of
 * 10 ms, which is a thousandth of a window of 10 s.
 *
 * @param cpuNs all threads, in user and kernel mode, those that have ended among them
 * @param jitNs of that Java's compiler threads
 * @param rssKb memory in use now
 * @param peakKb the most that was in use at a time
 * @param writtenBytes what went towards a disk; sockets do not count
 */
record Usage(long cpuNs, long jitNs, long rssKb, long peakKb, long writtenBytes) {
    private static final long TICK_NS = 10_000_000;

    static Usage of(ProcessHandle process) throws IOException {
        Usage sum = new Usage(0, 0, 0, 0, 0);
        for (ProcessHandle one : Stream.concat(Stream.of(process), process.descendants()).toList()) {
            sum = sum.plus(ofOne(Path.of("/proc", Long.toString(one.pid()))));
        }
        return sum;
    }

    private Usage plus(Usage other) {
        return new Usage(cpuNs + other.cpuNs, jitNs + other.jitNs, rssKb + other.rssKb, peakKb + other.peakKb,
            writtenBytes + other.writtenBytes);
    }

    private static Usage ofOne(Path folder) throws IOException {
        long jitNs = 0;
        try (Stream<Path> threads = Files.list(folder.resolve("task"))) {
            for (Path thread : threads.toList()) {
                jitNs += isCompiler(thread) ? cpuNs(thread) : 0;
            }
        }
        Path status = folder.resolve("status");
        return new Usage(cpuNs(folder), jitNs, field(status, "VmRSS:"), field(status, "VmHWM:"),
            field(folder.resolve("io"), "write_bytes:"));
    }

    private static boolean isCompiler(Path thread) throws IOException {
        try {
            return Files.readString(thread.resolve("comm")).matches("C[12] CompilerThr.*\\s*");
        } catch (NoSuchFileException ended) {
            return false;
        }
    }

    /** User and kernel time; the fields are counted from behind the name, which may hold spaces. */
    private static long cpuNs(Path folder) throws IOException {
        String text = Files.readString(folder.resolve("stat"));
        String[] fields = text.substring(text.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) * TICK_NS;
    }

    private static long field(Path file, String name) throws IOException {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.filter(line -> line.startsWith(name)).findFirst()
                .map(line -> Long.parseLong(line.replaceAll("[^0-9]", ""))).orElse(0L);
        }
    }
}
