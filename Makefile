# Headwater. `make` alone prints this list.
#
#   make setup     make this machine ready: missing Debian packages, the check's Python environment; the others call it
#   make demo      replay a month of flights, show the live leaderboard, check it against DuckDB
#   make demo-kafka  the same on a real Kafka, state on disk, by several processes (INSTANCES=3)
#   make test      all tests; they need no Kafka cluster
#   make trials    a real Kafka that is killed, frozen and robbed of topics, logins and disks that are refused: ten minutes
#   make bench     what a record costs: in process, then on a real Kafka beside Kafka Streams; hours, minutes with BENCH=--smoke
#   make soak      the long forms: 1,000 seeds of the simulation (SEEDS=n), half an hour on a real Kafka (MINUTES=30), kept under tests/results/
#   make chaos     kill instances with -9 on a real Kafka and compare every record (KILLS=200)
#   make kafka     start Apache Kafka on this machine, in the background (KAFKA="--brokers 3"); make kafka-stop ends it
#   make clients   foreign Kafka clients in six languages on a broker: is each of them served? (BOOTSTRAP=127.0.0.1:9092)
#   make data      get the whole year of flights (the repository ships January)
#   make help      this list
#
# The first run fetches crates, missing Debian packages and DuckDB's Python wheel, `make kafka` and `make bench` Java, Maven and
# the broker's jars; later ones need no network.

CARGO ?= cargo
# The demo is built without default features, so that it never needs a C++ compiler.
DEMO_FLAGS := --release --package headwater-examples --no-default-features --features embedded
# The boards lie where cargo builds: outside of the clone if CARGO_TARGET_DIR says so.
BOARDS := $(or $(CARGO_TARGET_DIR),target)/leaderboard-boards.jsonl
SEEDS ?= 1000
MINUTES ?= 30
# Arguments of tests/kafka/start.
KAFKA ?=
INSTANCES ?= 3
KILLS ?= 200
# Nothing, or `--smoke`: an argument of both benches that start brokers.
BENCH ?=
# Debian's folder of compilers behind a cache; where it is not there nothing changes.
export PATH := /usr/lib/ccache:$(PATH)

.PHONY: help setup demo demo-kafka test trials bench soak chaos kafka kafka-stop clients data

help:
	@awk '/^# ?Headwater/ { on = 1 } on && !/^#/ { exit } on { sub(/^# ?/, ""); print }' $(MAKEFILE_LIST)

setup:
	@tests/setup

demo:
	@tests/setup demo
	$(CARGO) run --quiet $(DEMO_FLAGS) --bin leaderboard -- --boards $(abspath $(BOARDS))
	@$(MAKE) --no-print-directory -C examples/leaderboard check BOARDS=$(abspath $(BOARDS))

demo-kafka: setup
	@tests/setup kafka
	$(CARGO) build --quiet --release --package headwater-examples --bin leaderboard
	examples/leaderboard/on-kafka $(INSTANCES)

test: setup
	$(CARGO) test --workspace
	@$(MAKE) --no-print-directory -C examples/leaderboard test-check

trials: setup
	@tests/setup kafka
	CARGO='$(CARGO)' tests/kafka/trials

bench:
	@tests/setup bench
	@tests/setup peers
	tests/bench/run
	tests/bench/kafka/run $(BENCH)
	tests/bench/broker/run $(BENCH)

soak: setup
	$(CARGO) run --release --package headwater-tests --bin simulation -- --seeds $(SEEDS) --out tests/results
	$(CARGO) run --release --package headwater-tests --bin simulation -- --planted all --out tests/results
	@tests/setup kafka
	$(CARGO) build --quiet --release --package headwater-tests --bin chaos
	tests/chaos/run soak --minutes $(MINUTES) --out tests/results/soak.csv

kafka:
	@tests/setup kafka
	@tests/kafka/start $(KAFKA)

kafka-stop:
	@tests/kafka/stop

chaos: setup
	@tests/setup kafka
	$(CARGO) build --quiet --release --package headwater-tests --bin chaos
	tests/chaos/run --kills $(KILLS)

clients:
	@[ -n "$(BOOTSTRAP)" ] || { echo "name a broker that runs: make clients BOOTSTRAP=127.0.0.1:9092" >&2; exit 2; }
	tests/clients/run $(BOOTSTRAP)

data:
	$(MAKE) -C examples/leaderboard data
