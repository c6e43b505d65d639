-- The boards of examples/leaderboard as DuckDB computes them from the csv files alone. BOARDS.md says what each word means.
-- In:  the variable `data`, the folder of the four csv files:  SET VARIABLE data = 'examples/leaderboard/data';
-- Out: the view `boards`, one row per line of a board, and the view `counts`, one row.
-- Plain DuckDB: `duckdb -c "SET VARIABLE data = '...'" -c ".read boards.sql" -c "FROM boards"` shows them.

-- 1. The four files. `time_hour` is UTC, as its Z says; the other time columns are New York's local time and are not used.

CREATE OR REPLACE TABLE airlines AS
SELECT carrier, name
FROM read_csv(getvariable('data') || '/airlines.csv.gz', header = true, nullstr = 'NA', all_varchar = true);

CREATE OR REPLACE TABLE planes AS
SELECT tailnum, model
FROM read_csv(getvariable('data') || '/planes.csv.gz', header = true, nullstr = 'NA', all_varchar = true);

CREATE OR REPLACE TABLE weather AS
SELECT origin,
       epoch_ms(CAST(time_hour AS TIMESTAMP)) AS hour_ms,
       CAST(precip AS DOUBLE) AS precip,
       CAST(visib AS DOUBLE) AS visib
FROM read_csv(getvariable('data') || '/weather.csv.gz', header = true, nullstr = 'NA', all_varchar = true);

CREATE OR REPLACE TABLE flights AS
SELECT carrier, origin, dest, tailnum,
       CAST(arr_delay AS BIGINT) AS arr_delay,
       epoch_ms(CAST(time_hour AS TIMESTAMP)) AS hour_ms,
       epoch_ms(CAST(time_hour AS TIMESTAMP)) + 60000 * CAST(minute AS BIGINT) AS event_ms
FROM read_csv(getvariable('data') || '/flights.csv.gz', header = true, nullstr = 'NA', all_varchar = true);

-- 2. What is ranked: a scored flight appears once for each category that it has a member in.

CREATE OR REPLACE VIEW scored AS
SELECT flights.*, airlines.name, planes.model
FROM flights
LEFT JOIN airlines USING (carrier)
LEFT JOIN planes USING (tailnum)
WHERE arr_delay IS NOT NULL;

CREATE OR REPLACE VIEW entries AS
SELECT 'carrier' AS category, name AS member, origin, hour_ms, event_ms, arr_delay FROM scored WHERE name IS NOT NULL
UNION ALL
SELECT 'route', origin || '-' || dest, origin, hour_ms, event_ms, arr_delay FROM scored
UNION ALL
SELECT 'aircraft', model, origin, hour_ms, event_ms, arr_delay FROM scored WHERE model IS NOT NULL;

-- 3. Sessions of bad weather: hours of bad weather at an origin, chained while they are at most three hours apart.

CREATE OR REPLACE VIEW bad_hours AS
WITH bad AS (
    SELECT origin, hour_ms,
           hour_ms - lag(hour_ms) OVER (PARTITION BY origin ORDER BY hour_ms) AS since_last_ms
    FROM weather
    WHERE precip > 0 OR visib < 3
)
SELECT origin, hour_ms,
       count(*) FILTER (since_last_ms IS NULL OR since_last_ms > 3 * 3600000)
           OVER (PARTITION BY origin ORDER BY hour_ms) AS session
FROM bad;

CREATE OR REPLACE VIEW sessions AS
SELECT bad_hours.origin, session,
       min(bad_hours.hour_ms) AS start_ms,
       greatest(max(bad_hours.hour_ms), coalesce(max(event_ms), 0)) AS end_ms
FROM bad_hours
LEFT JOIN scored ON scored.origin = bad_hours.origin AND scored.hour_ms = bad_hours.hour_ms
GROUP BY bad_hours.origin, session;

-- 4. Scores: the sum of each member in each window.

CREATE OR REPLACE VIEW scores AS
SELECT 'hour' AS board, category, NULL AS origin,
       event_ms - event_ms % 3600000 AS start_ms, start_ms + 3600000 AS end_ms,
       member, sum(arr_delay) AS score
FROM entries
GROUP BY ALL
UNION ALL
SELECT 'day', category, NULL,
       event_ms - event_ms % 86400000 AS start_ms, start_ms + 86400000,
       member, sum(arr_delay)
FROM entries
GROUP BY ALL
UNION ALL
SELECT 'session', category, sessions.origin, start_ms, end_ms, member, sum(arr_delay)
FROM entries
JOIN bad_hours USING (origin, hour_ms)
JOIN sessions ON sessions.origin = bad_hours.origin AND sessions.session = bad_hours.session
GROUP BY ALL;

-- 5. Boards: the first ten of each window, highest sum first, equal sums by name.

CREATE OR REPLACE VIEW boards AS
SELECT board, category, origin, start_ms, end_ms,
       row_number() OVER (
           PARTITION BY board, category, origin, start_ms, end_ms
           ORDER BY score DESC, member ASC
       ) AS place,
       member, CAST(score AS BIGINT) AS score
FROM scores
QUALIFY place <= 10
ORDER BY ALL;

-- 6. Counts, in the order in which a flight meets them. All but the first two are of scored flights.

CREATE OR REPLACE VIEW counts AS
SELECT (SELECT count(*) FROM flights) AS flights,
       (SELECT count(*) FROM flights WHERE arr_delay IS NULL) AS no_arr_delay,
       count(*) AS scored,
       CAST(sum(arr_delay) AS BIGINT) AS score,
       count(*) FILTER (name IS NULL) AS no_airline,
       count(*) FILTER (tailnum IS NULL) AS no_tailnum,
       count(*) FILTER (tailnum IS NOT NULL AND model IS NULL) AS no_plane,
       count(*) FILTER (weather.origin IS NULL) AS no_weather,
       count(*) FILTER (precip > 0 OR visib < 3) AS bad_weather
FROM scored
LEFT JOIN weather ON weather.origin = scored.origin AND weather.hour_ms = scored.hour_ms;
