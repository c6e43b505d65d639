"""confluent-kafka (librdkafka): admin, all codecs, offsets by time, groups of both protocols, transactions with fencing.

Lacks: nothing that is checked elsewhere.
"""

import sys

import confluent_kafka as ck
from checks import Checks, equal, fresh, now_ms, records, until
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)

CLIENT = "confluent-kafka"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TIMEOUT_S = 30
bootstrap = {"bootstrap.servers": sys.argv[1]}
checks = Checks(f"{ck.version()} ({ck.libversion()[0]})")
admin = AdminClient(bootstrap)


def done(futures):
    """The one result of a call of the admin client."""
    (future,) = futures.values()
    return future.result(TIMEOUT_S)


def create(topic, partitions=1):
    done(admin.create_topics([NewTopic(topic, partitions, 1)]))
    return topic


def producer(**settings):
    return Producer(bootstrap | {key.replace("_", "."): value for key, value in settings.items()})


def consumer(group, **settings):
    defaults = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "group.id": group}
    return Consumer(bootstrap | defaults | {key.replace("_", "."): value for key, value in settings.items()})


def send(to, topic, made, partition=0):
    """Sends these records and returns the offsets that the broker gave them."""
    offsets = []

    def acknowledged(error, message):
        offsets.append(error or message.offset())

    for record in made:
        to.produce(topic, record.value, record.key, partition, on_delivery=acknowledged, timestamp=record.timestamp,
                   headers=record.headers)
    equal("records that are not sent", to.flush(TIMEOUT_S), 0)
    return offsets


def read(topic, count, partition=0, **settings):
    """The first records of a partition, by a consumer without a group's assignment."""
    reader = consumer(fresh(CLIENT, "reader"), **settings)
    try:
        reader.assign([TopicPartition(topic, partition, 0)])
        got = []
        until(f"{count} records of {topic}, there are {len(got)}", lambda: poll_into(reader, got) or len(got) >= count)
        return got
    finally:
        reader.close()


def poll_into(reader, got, timeout_s=0.2):
    for message in reader.consume(100, timeout_s):
        if message.error():
            raise KafkaException(message.error())
        got.append(message)


def content(message):
    return (message.offset(), message.key(), message.value(), message.headers() or [], message.timestamp())


def expected(offset, record):
    return (offset, record.key, record.value, record.headers, (ck.TIMESTAMP_CREATE_TIME, record.timestamp))


def alter(topic, operation, value):
    entry = ConfigEntry("retention.ms", value, incremental_operation=operation)
    done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))


def check_admin(topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def config(name):
        return done(admin.describe_configs([resource]))[name]

    with checks.check("a topic is created with a setting, and described"):
        done(admin.create_topics([NewTopic(topic, 2, 1, config={"retention.ms": "86400000"})]))
        partitions = admin.list_topics(topic, TIMEOUT_S).topics[topic].partitions
        equal("partitions", sorted(partitions), [0, 1])
        equal("replicas", [len(partition.replicas) for partition in partitions.values()], [1, 1])
        equal("retention.ms", config("retention.ms").value, "86400000")
    with checks.check("a topic that exists is refused"):
        try:
            create(topic)
            raise AssertionError("it is created twice")
        except KafkaException as error:
            equal("error", error.args[0].code(), ck.KafkaError.TOPIC_ALREADY_EXISTS)
    with checks.check("a setting is altered and deleted"):
        alter(topic, AlterConfigOpType.SET, "7200000")
        until("it is altered", lambda: config("retention.ms").value == "7200000")
        alter(topic, AlterConfigOpType.DELETE, None)
        until("it is the default again", lambda: config("retention.ms").is_default)
    with checks.check("partitions are added"):
        done(admin.create_partitions([NewPartitions(topic, 4)]))
        until("there are 4 partitions", lambda: len(admin.list_topics(topic, TIMEOUT_S).topics[topic].partitions) == 4)


def check_codecs():
    for codec in CODECS:
        with checks.check(f"records by {codec} come back byte by byte"):
            topic = create(fresh(CLIENT, codec))
            made = records(codec, now_ms() - 60_000)
            sent = send(producer(compression_type=codec, enable_idempotence=True, linger_ms=50), topic, made)
            equal("offsets", sent, list(range(len(made))))
            for message, offset, record in zip(read(topic, len(made)), sent, made, strict=True):
                equal(f"record {offset}", content(message), expected(offset, record))


def check_time():
    with checks.check("offsets by time, the first and the last"):
        topic = create(fresh(CLIENT, "time"))
        made = records("time", now_ms() - 60_000)
        # One compressed batch: the broker has to look into it.
        send(producer(compression_type="gzip", linger_ms=50), topic, made)
        reader = consumer(fresh(CLIENT, "reader"))
        asked = [(made[0].timestamp - 5000, 0), (made[5].timestamp, 5), (made[5].timestamp + 1, 6), (now_ms() + 60_000, -1)]
        for timestamp, offset in asked:
            (found,) = reader.offsets_for_times([TopicPartition(topic, 0, timestamp)], TIMEOUT_S)
            equal(f"offset at {timestamp - made[0].timestamp} ms", found.offset, offset)
        equal("watermarks", reader.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S), (0, len(made)))
        reader.close()
        for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 12), (OffsetSpec.max_timestamp(), 11)):
            found = done(admin.list_offsets({TopicPartition(topic, 0): spec}))
            equal(f"offset by {spec}", found.offset, offset)
    with checks.check("records are deleted up to an offset"):
        equal("low watermark", done(admin.delete_records([TopicPartition(topic, 0, 5)])).low_watermark, 5)
        reader = consumer(fresh(CLIENT, "reader"))
        until("they are gone", lambda: reader.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S) == (5, 12))
        reader.close()


class Member:
    """A member of a group, with what it has read."""

    def __init__(self, group, topic, protocol):
        self.got = []
        self.consumer = consumer(group, group_protocol=protocol)
        self.consumer.subscribe([topic])

    def poll(self):
        poll_into(self.consumer, self.got)
        return {partition.partition for partition in self.consumer.assignment()}


def check_group(protocol):
    topic, group = create(fresh(CLIENT, "group"), 4), fresh(CLIENT, f"group-{protocol}")
    # Not idempotent, and so without state of its own at the broker: that is tried elsewhere.
    writer = producer()
    first = second = None
    with checks.check(f"{protocol}: a second member takes partitions of the first"):
        first = Member(group, topic, protocol)
        until("the first has all partitions", lambda: first.poll() == {0, 1, 2, 3})
        second = Member(group, topic, protocol)
        until("both have two", lambda: (a := first.poll(), b := second.poll()) and len(a) == len(b) == 2 and a | b == {0, 1, 2, 3})
    if not second:
        return
    with checks.check(f"{protocol}: the group is listed and described with two members"):
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
        equal("listed", [one.state.name for one in listed.valid if one.group_id == group], ["STABLE"])
        told = done(admin.describe_consumer_groups([group]))
        partitions = sorted(partition.partition for member in told.members for partition in member.assignment.topic_partitions)
        equal("state, members, partitions", (told.state.name, len(told.members), partitions), ("STABLE", 2, [0, 1, 2, 3]))
    with checks.check(f"{protocol}: both read, each what it has, and commit"):
        for partition in range(4):
            send(writer, topic, records(protocol, now_ms(), 10), partition)
        until("all 40 are read", lambda: (first.poll(), second.poll()) and len(first.got) + len(second.got) == 40)
        for member in (first, second):
            equal("partitions read", {message.partition() for message in member.got}, member.poll())
            member.consumer.commit(asynchronous=False)
    with checks.check(f"{protocol}: who stays gets the partitions of who leaves"):
        first.consumer.close()
        until("the second has all", lambda: second.poll() == {0, 1, 2, 3})
        second.consumer.close()
    with checks.check(f"{protocol}: a new member resumes where the group committed"):
        for partition in range(4):
            send(writer, topic, records("more", now_ms(), 1), partition)
        third = Member(group, topic, protocol)
        until("the 4 new ones are read", lambda: third.poll() and len(third.got) >= 4)
        equal("places", sorted((message.partition(), message.offset()) for message in third.got), [(p, 10) for p in range(4)])
        asked = third.consumer.committed([TopicPartition(topic, partition) for partition in range(4)], TIMEOUT_S)
        equal("committed", [one.offset for one in asked], [10] * 4)
        third.consumer.close()
    with checks.check(f"{protocol}: an empty group is deleted"):
        until("it is empty", lambda: done(admin.describe_consumer_groups([group])).state.name == "EMPTY")
        done(admin.delete_consumer_groups([group]))


def transactional(name):
    made = producer(transactional_id=name)
    made.init_transactions(TIMEOUT_S)
    return made


def check_transactions():
    topic, name = create(fresh(CLIENT, "transactions")), fresh(CLIENT, "transactional")
    with checks.check("what a transaction commits is seen, what it aborts is not"):
        writer = transactional(name)
        for label, count, end in (("a", 3, writer.commit_transaction), ("b", 2, writer.abort_transaction), ("c", 1, writer.commit_transaction)):
            writer.begin_transaction()
            send(writer, topic, records(label, now_ms(), count))
            end(TIMEOUT_S)
        # The ends of transactions take an offset each: 3, 6 and 8.
        equal("committed", [message.offset() for message in read(topic, 4, isolation_level="read_committed")], [0, 1, 2, 7])
        equal("all", [message.offset() for message in read(topic, 6, isolation_level="read_uncommitted")], [0, 1, 2, 4, 5, 7])
    with checks.check("an open transaction ends what read_committed sees"):
        writer.begin_transaction()
        equal("offset", send(writer, topic, records("d", now_ms(), 1)), [9])
        ends = []
        for level in ("read_committed", "read_uncommitted"):
            reader = consumer(fresh(CLIENT, "reader"), isolation_level=level)
            ends.append(reader.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S)[1])
            reader.close()
        equal("ends", ends, [9, 10])
    with checks.check("a second producer of the same name ends the first's transaction and fences it"):
        successor = transactional(name)
        try:
            send(writer, topic, records("zombie", now_ms(), 1))
            writer.commit_transaction(TIMEOUT_S)
            raise AssertionError("the first one commits")
        except KafkaException as error:
            assert error.args[0].code() in (ck.KafkaError._FENCED, ck.KafkaError.PRODUCER_FENCED), error
        successor.begin_transaction()
        (last,) = send(successor, topic, records("e", now_ms(), 1))
        successor.commit_transaction(TIMEOUT_S)
        equal("committed", [message.offset() for message in read(topic, 5, isolation_level="read_committed")], [0, 1, 2, 7, last])


def check_offsets_in_transaction():
    topic, group = create(fresh(CLIENT, "input")), fresh(CLIENT, "group-transaction")
    with checks.check("offsets are committed with a transaction, and thrown away with it"):
        send(producer(), topic, records("input", now_ms(), 8))
        member = Member(group, topic, "classic")
        until("8 are read", lambda: member.poll() and len(member.got) == 8)
        writer = transactional(fresh(CLIENT, "transactional"))
        for offset, end in ((4, writer.commit_transaction), (8, writer.abort_transaction)):
            writer.begin_transaction()
            writer.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], member.consumer.consumer_group_metadata(), TIMEOUT_S)
            end(TIMEOUT_S)
            equal("committed", member.consumer.committed([TopicPartition(topic, 0)], TIMEOUT_S)[0].offset, 4)
        member.consumer.close()


def check_delete(topic):
    with checks.check("a topic is deleted"):
        done(admin.delete_topics([topic]))
        until("it is gone", lambda: topic not in admin.list_topics(timeout=TIMEOUT_S).topics)


def main():
    topic = fresh(CLIENT, "admin")
    check_admin(topic)
    check_codecs()
    check_time()
    for protocol in ("classic", "consumer"):
        check_group(protocol)
    check_transactions()
    check_offsets_in_transaction()
    check_delete(topic)


main()
checks.end()
