"""kafka-python: admin, all codecs, offsets by time, a group of two, transactions with fencing.

Lacks: headers without a value, the group protocol of KIP-848.
"""

import sys

import kafka
from checks import Checks, equal, fresh, now_ms, records, until
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, OffsetSpec, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

CLIENT = "kafka-python"
CODECS = (None, "gzip", "snappy", "lz4", "zstd")
bootstrap = {"bootstrap_servers": sys.argv[1]}
checks = Checks(kafka.__version__)
admin = KafkaAdminClient(**bootstrap)


def create(topic, partitions=1):
    admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}})
    return topic


def made_records(label, first_ms, count=12):
    """Without the header that has no value: this client refuses to send it."""
    return [record._replace(headers=[header for header in record.headers if header[1] is not None])
            for record in records(label, first_ms, count)]


def send(to, topic, made, partition=0):
    """Sends these records and returns the offsets that the broker gave them."""
    sent = [to.send(topic, record.value, record.key, record.headers, partition, record.timestamp) for record in made]
    to.flush(30)
    return [one.get(30).offset for one in sent]


def fill(topic, label, count, partitions=(0,)):
    """Sends records by a producer of their own."""
    to = KafkaProducer(**bootstrap)
    for partition in partitions:
        send(to, topic, made_records(label, now_ms() - 60_000, count), partition)
    to.close()


def consumer(group=None, **settings):
    return KafkaConsumer(**bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **settings)


def read(topic, count, partition=0, **settings):
    """The first records of a partition."""
    reader = consumer(**settings)
    try:
        reader.assign([TopicPartition(topic, partition)])
        reader.seek_to_beginning()
        got = []
        until(f"{count} records of {topic}", lambda: poll_into(reader, got) or len(got) >= count)
        return got
    finally:
        reader.close()


def poll_into(reader, got):
    for messages in reader.poll(200).values():
        got.extend(messages)


def content(message):
    return (message.offset, message.key, message.value, list(message.headers), message.timestamp, message.timestamp_type)


def check_admin(topic):
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)

    def config(name):
        return admin.describe_configs([resource], config_filter="all")["topic"][topic][name]

    with checks.check("a topic is created with a setting, and described"):
        admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1, "configs": {"retention.ms": "86400000"}}})
        (told,) = admin.describe_topics([topic])
        partitions = sorted((partition["partition_index"], len(partition["isr_nodes"])) for partition in told["partitions"])
        equal("partitions and replicas in sync", partitions, [(0, 1), (1, 1)])
        equal("retention.ms", config("retention.ms")["value"], "86400000")
    with checks.check("a topic that exists is refused"):
        try:
            create(topic)
            raise AssertionError("it is created twice")
        except TopicAlreadyExistsError:
            pass
    with checks.check("a setting is altered and deleted"):
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})])
        until("it is altered", lambda: config("retention.ms")["value"] == "7200000")
        admin.reset_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": None})])
        until("it is the default again", lambda: config("retention.ms")["config_source"] == "DEFAULT_CONFIG")
    with checks.check("partitions are added"):
        admin.create_partitions({topic: 4})
        until("there are 4", lambda: len(admin.describe_topics([topic])[0]["partitions"]) == 4)


def check_codecs():
    for codec in CODECS:
        with checks.check(f"records by {codec or 'none'} come back byte by byte"):
            topic = create(fresh(CLIENT, codec or "none"), 2)
            made = made_records("codec", now_ms() - 60_000)
            writer = KafkaProducer(**bootstrap, compression_type=codec, linger_ms=50)
            for partition in (0, 1):
                equal("offsets", send(writer, topic, made, partition), list(range(len(made))))
                for offset, (message, record) in enumerate(zip(read(topic, len(made), partition), made, strict=True)):
                    equal(f"record {offset}", content(message), (offset, record.key, record.value, record.headers, record.timestamp, 0))
            writer.close()


def check_time():
    topic = create(fresh(CLIENT, "time"))
    place = TopicPartition(topic, 0)
    with checks.check("offsets by time, the first, the last, the newest"):
        made = made_records("time", now_ms() - 60_000)
        # One compressed batch: the broker has to look into it.
        writer = KafkaProducer(**bootstrap, compression_type="lz4", linger_ms=50)
        send(writer, topic, made)
        writer.close()
        reader = consumer()
        asked = [(made[0].timestamp - 5000, 0), (made[5].timestamp, 5), (made[5].timestamp + 1, 6), (now_ms() + 60_000, None)]
        for timestamp, offset in asked:
            found = reader.offsets_for_times({place: timestamp})[place]
            equal(f"offset at {timestamp - made[0].timestamp} ms", found and found.offset, offset)
        equal("first and last", (reader.beginning_offsets([place])[place], reader.end_offsets([place])[place]), (0, 12))
        reader.close()
        equal("newest", admin.list_partition_offsets({place: OffsetSpec.MAX_TIMESTAMP})[place].offset, 11)
    with checks.check("records are deleted up to an offset"):
        equal("low watermark", admin.delete_records({place: 5})[place]["low_watermark"], 5)
        until("they are gone", lambda: admin.list_partition_offsets({place: OffsetSpec.EARLIEST})[place].offset == 5)


class Member:
    """A member of a group, with what it has read."""

    def __init__(self, group, topic):
        self.got = []
        self.consumer = consumer(group)
        self.consumer.subscribe([topic])

    def poll(self):
        poll_into(self.consumer, self.got)
        return {partition.partition for partition in self.consumer.assignment()}


def check_group():
    topic, group = create(fresh(CLIENT, "group"), 4), fresh(CLIENT, "group")
    first = second = None
    with checks.check("a second member takes partitions of the first"):
        first = Member(group, topic)
        until("the first has all partitions", lambda: first.poll() == {0, 1, 2, 3})
        second = Member(group, topic)
        until("both have two", lambda: (a := first.poll(), b := second.poll()) and len(a) == len(b) == 2 and a | b == {0, 1, 2, 3})
    if not second:
        return
    with checks.check("the group is listed and described with two members"):
        equal("listed", [one["group_state"] for one in admin.list_groups() if one["group_id"] == group], ["Stable"])
        told = admin.describe_groups([group])[group]
        has = [one["partitions"] for member in told["members"] for one in member["member_assignment"]["assigned_partitions"]]
        equal("state, partitions", (told["group_state"], sorted(has)), ("Stable", sorted([sorted(first.poll()), sorted(second.poll())])))
    with checks.check("both read, each what it has, and commit"):
        fill(topic, "group", 10, range(4))
        until("all 40 are read", lambda: (first.poll(), second.poll()) and len(first.got) + len(second.got) == 40)
        for member in (first, second):
            equal("partitions read", {message.partition for message in member.got}, member.poll())
            member.consumer.commit()
    with checks.check("who stays gets the partitions of who leaves"):
        first.consumer.close()
        until("the second has all", lambda: second.poll() == {0, 1, 2, 3})
        second.consumer.close()
    with checks.check("a new member resumes where the group committed"):
        fill(topic, "more", 1, range(4))
        third = Member(group, topic)
        until("the 4 new ones are read", lambda: third.poll() and len(third.got) >= 4)
        equal("places", sorted((message.partition, message.offset) for message in third.got), [(p, 10) for p in range(4)])
        third.consumer.close()
        committed = {place.partition: one.offset for place, one in admin.list_group_offsets({group: None})[group].items()}
        equal("committed", committed, dict.fromkeys(range(4), 10))
    with checks.check("an empty group is deleted"):
        until("it is empty", lambda: admin.describe_groups([group])[group]["group_state"] == "Empty")
        equal("answer", admin.delete_groups([group])[group], "OK")


def transactional(name):
    made = KafkaProducer(**bootstrap, transactional_id=name)
    made.init_transactions()
    return made


def offsets(topic, count, level):
    return [message.offset for message in read(topic, count, isolation_level=level)]


def check_transactions():
    topic, name = create(fresh(CLIENT, "transactions")), fresh(CLIENT, "transactional")
    with checks.check("what a transaction commits is seen, what it aborts is not"):
        writer = transactional(name)
        for count, end in ((3, writer.commit_transaction), (2, writer.abort_transaction), (1, writer.commit_transaction)):
            writer.begin_transaction()
            send(writer, topic, made_records("transaction", now_ms(), count))
            end()
        # The ends of transactions take an offset each: 3, 6 and 8.
        equal("committed", offsets(topic, 4, "read_committed"), [0, 1, 2, 7])
        equal("all", offsets(topic, 6, "read_uncommitted"), [0, 1, 2, 4, 5, 7])
    with checks.check("a second producer of the same name ends the first's transaction and fences it"):
        writer.begin_transaction()
        equal("offset", send(writer, topic, made_records("open", now_ms(), 1)), [9])
        successor = transactional(name)
        try:
            send(writer, topic, made_records("zombie", now_ms(), 1))
            writer.commit_transaction()
            raise AssertionError("the first one commits")
        except KafkaError:
            pass
        successor.begin_transaction()
        (last,) = send(successor, topic, made_records("successor", now_ms(), 1))
        successor.commit_transaction()
        equal("committed", offsets(topic, 5, "read_committed"), [0, 1, 2, 7, last])
        successor.close()
        writer.close(0)


def check_offsets_in_transaction():
    topic, group = create(fresh(CLIENT, "input")), fresh(CLIENT, "group")
    place = TopicPartition(topic, 0)
    with checks.check("offsets are committed with a transaction, and thrown away with it"):
        fill(topic, "input", 8)
        member = Member(group, topic)
        until("8 are read", lambda: member.poll() and len(member.got) == 8)
        writer = transactional(fresh(CLIENT, "transactional"))
        for offset, end in ((4, writer.commit_transaction), (8, writer.abort_transaction)):
            writer.begin_transaction()
            writer.send_offsets_to_transaction({place: OffsetAndMetadata(offset, "", -1)}, member.consumer.group_metadata())
            end()
            # The end of a transaction is answered before the last of its markers is written.
            until("4 is committed", lambda: member.consumer.committed(place) == 4)
        writer.close()
        member.consumer.close()


def check_delete(topic):
    with checks.check("a topic is deleted"):
        admin.delete_topics([topic])
        until("it is gone", lambda: topic not in admin.list_topics())


def main():
    topic = fresh(CLIENT, "admin")
    check_admin(topic)
    check_codecs()
    check_time()
    check_group()
    check_transactions()
    check_offsets_in_transaction()
    check_delete(topic)


main()
checks.end()
