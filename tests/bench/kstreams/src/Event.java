package headwater.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import java.util.SplittableRandom;

/** The event of the JSON pipeline, 165 bytes in 8 fields; field by field that of `tests/bench/topologies.rs`. */
public final class Event {
    static final ObjectMapper JSON =
        new ObjectMapper().setPropertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE);

    public long userId;
    public long itemId;
    public long priceCents;
    public long quantity;
    public char[] country;
    public boolean inStock;
    public long eventTimeMs;
    public double averageRating;

    /** What becomes of it: who, how much, when. */
    public static final class Total {
        public long userId;
        public long totalCents;
        public long atMs;

        static Total of(Event event) {
            Total total = new Total();
            total.userId = event.userId;
            total.totalCents = event.priceCents * event.quantity;
            total.atMs = event.eventTimeMs;
            return total;
        }
    }

    /** The event as JSON. Written by hand, since Jackson writes two characters as one text and serde as two. */
    static String draw(SplittableRandom random, long timeMs) {
        return "{\"user_id\":" + random.nextLong(1_000_000_000L, 2_000_000_000L)
            + ",\"item_id\":" + random.nextLong(100_000_000L, 1_000_000_000L)
            + ",\"price_cents\":" + random.nextInt(10_000, 100_000)
            + ",\"quantity\":" + random.nextInt(100, 1_000)
            + ",\"country\":[\"N\",\"Z\"],\"in_stock\":" + (random.nextInt(10) > 0)
            + ",\"event_time_ms\":" + timeMs + ",\"average_rating\":4.25}";
    }
}
