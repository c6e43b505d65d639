package headwater.bench;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;

/** Between two runs: removes topics (`--drop`, those that exist) and makes empty ones (`--make`). */
public final class Renew {
    public static void main(String[] given) throws Exception {
        Arguments arguments = new Arguments(given, "bootstrap", null, "drop", "", "make", "", "partitions", "4");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) arguments.text("bootstrap")))) {
            Set<String> there = admin.listTopics().names().get();
            admin.deleteTopics(names(arguments.text("drop")).stream().filter(there::contains).toList()).all().get();
        }
        for (String topic : names(arguments.text("make"))) {
            Fill.create(arguments.text("bootstrap"), topic, (int) arguments.number("partitions"));
        }
    }

    private static List<String> names(String text) {
        return Arrays.stream(text.split(",")).filter(name -> !name.isEmpty()).toList();
    }
}
