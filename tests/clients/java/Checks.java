package headwater.clients;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.ExecutionException;

/** The checks of one client: each is told in a line; the exit code says whether all passed. */
final class Checks {
    /** How long to wait for what has to happen. Generous: it is reached only where something is wrong. */
    static final Duration PATIENCE = Duration.ofSeconds(30);

    private int failed;

    interface Check {
        void run() throws Exception;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    void check(String what, Check check) {
        try {
            check.run();
            System.out.println("ok " + what);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAIL " + what + ": " + cause(error));
        }
    }

    void end() {
        System.exit(failed == 0 ? 0 : 1);
    }

    static Throwable cause(Throwable error) {
        return error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
    }

    static void equal(String what, Object got, Object expected) {
        if (!Objects.deepEquals(got, expected)) {
            throw new AssertionError(what + ": " + text(got) + " instead of " + text(expected));
        }
    }

    /** Asks again until the condition holds; what is asked must itself wait a little. */
    static void until(String what, Condition condition) throws Exception {
        Instant deadline = Instant.now().plus(PATIENCE);
        while (!condition.holds()) {
            if (Instant.now().isAfter(deadline)) {
                throw new AssertionError(what + ": not after " + PATIENCE.toSeconds() + " s");
            }
        }
    }

    /** Runs what has to fail with this error. */
    static Throwable fails(Class<? extends Throwable> expected, Check check) throws Exception {
        try {
            check.run();
        } catch (Exception error) {
            if (expected.isInstance(cause(error))) {
                return cause(error);
            }
            throw error;
        }
        throw new AssertionError("it succeeds; " + expected.getSimpleName() + " is expected");
    }

    /** A name that no other run uses. */
    static String fresh(String what) {
        return "java-" + what + "-" + UUID.randomUUID().toString().substring(0, 8);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(Object value) {
        String text = value instanceof byte[] bytes ? Arrays.toString(bytes) : String.valueOf(value);
        return text.length() < 600 ? text : text.substring(0, 600) + "...";
    }
}
