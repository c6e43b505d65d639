package headwater.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Arguments `--name value`, each with a default; behind `--` a command. What is not known is refused. */
final class Arguments {
    final List<String> command = new ArrayList<>();
    private final Map<String, String> values = new LinkedHashMap<>();

    /** {@code known} are names and defaults in turn; a default of null has to be given. */
    Arguments(String[] given, String... known) {
        for (int at = 0; at < known.length; at += 2) {
            values.put(known[at], known[at + 1]);
        }
        for (int at = 0; at < given.length; at += 2) {
            if (given[at].equals("--")) {
                command.addAll(List.of(given).subList(at + 1, given.length));
                break;
            }
            String name = given[at].replaceFirst("^--", "");
            if (!given[at].startsWith("--") || !values.containsKey(name) || at + 1 == given.length) {
                throw usage("`" + given[at] + "` is not known or lacks its value");
            }
            values.put(name, given[at + 1]);
        }
        values.forEach((name, value) -> {
            if (value == null) {
                throw usage("--" + name + " is missing");
            }
        });
    }

    /** Says what is wrong and which arguments there are, and ends the process. */
    private IllegalArgumentException usage(String problem) {
        StringBuilder text = new StringBuilder(problem + "; the arguments are:");
        values.forEach((name, value) -> text.append("\n  --").append(name).append(' ').append(value == null ? "(needed)" : value));
        System.err.println(text);
        System.exit(2);
        return new IllegalArgumentException(problem);
    }

    String text(String name) {
        return values.get(name);
    }

    long number(String name) {
        return Long.parseLong(values.get(name).replace("_", ""));
    }

    double fraction(String name) {
        return Double.parseDouble(values.get(name));
    }
}
