"""aiokafka: admin, all codecs, offsets by time, a group of two, transactions with fencing; all of it asynchronous.

Lacks: deleting a setting or a group, offsets of the newest timestamp, the group protocol of KIP-848. Its admin client leaves most
error codes to who calls it.
"""

import asyncio
import sys
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError
from checks import PATIENCE_S, Checks, equal, fresh, now_ms, records

CLIENT = "aiokafka"
CODECS = (None, "gzip", "snappy", "lz4", "zstd")
BOOTSTRAP = sys.argv[1]
checks = Checks(aiokafka.__version__)


async def until(what, probe):
    """Asks again until the answer is true; what is asked must itself wait a little."""
    deadline = time.monotonic() + PATIENCE_S
    while not await probe():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_S} s"


async def create(admin, topic, partitions=1, configs=None):
    answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs or {})])
    equal(f"errors of creating {topic}", [error[:2] for error in answer.topic_errors], [(topic, 0)])
    return topic


async def producer(**settings):
    made = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)
    await made.start()
    return made


async def consumer(*topics, **settings):
    made = AIOKafkaConsumer(*topics, bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", enable_auto_commit=False, **settings)
    await made.start()
    return made


async def send(to, topic, made, partition=0):
    """Sends these records in a batch and returns the offsets that the broker gave them."""
    sent = [await to.send(topic, record.value, record.key, partition, record.timestamp, record.headers) for record in made]
    await to.flush()
    return [(await one).offset for one in sent]


async def fill(topic, label, count, partitions=(0,)):
    """Sends records by a producer of their own."""
    to = await producer()
    for partition in partitions:
        await send(to, topic, records(label, now_ms() - 60_000, count), partition)
    await to.stop()


async def poll_into(reader, got):
    for messages in (await reader.getmany(timeout_ms=200)).values():
        got.extend(messages)
    return True


async def read(topic, count, partition=0, **settings):
    """The first records of a partition."""
    reader = await consumer(**settings)
    try:
        reader.assign([TopicPartition(topic, partition)])
        await reader.seek_to_beginning()
        got = []

        async def enough():
            await poll_into(reader, got)
            return len(got) >= count

        await until(f"{count} records of {topic}", enough)
        return got
    finally:
        await reader.stop()


def content(message):
    return (message.offset, message.key, message.value, list(message.headers), message.timestamp, message.timestamp_type)


async def check_admin(admin, topic):
    async def config(name):
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((error, _, _, _, entries),) = answer.resources
        equal("error", error, 0)
        return {entry[0]: entry[1] for entry in entries}[name]

    async def partitions():
        (told,) = await admin.describe_topics([topic])
        return sorted((one["partition"], len(one["isr"])) for one in told["partitions"])

    with checks.check("a topic is created with a setting, and described"):
        await create(admin, topic, 2, {"retention.ms": "86400000"})
        equal("partitions and replicas in sync", await partitions(), [(0, 1), (1, 1)])
        equal("retention.ms", await config("retention.ms"), "86400000")
    with checks.check("a topic that exists is refused"):
        (error,) = (await admin.create_topics([NewTopic(topic, 1, 1)])).topic_errors
        equal("error", error[:2], (topic, TopicAlreadyExistsError.errno))
    with checks.check("a setting is altered"):
        (answer,) = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})])
        equal("error", answer.resources[0][0], 0)

        async def altered():
            return await config("retention.ms") == "7200000"

        await until("it is altered", altered)
    with checks.check("partitions are added"):
        answer = await admin.create_partitions({topic: NewPartitions(4)})
        equal("errors", [error[:2] for error in answer.topic_errors], [(topic, 0)])

        async def added():
            return len(await partitions()) == 4

        await until("there are four", added)


async def check_codecs(admin):
    for codec in CODECS:
        with checks.check(f"records by {codec or 'none'} come back byte by byte"):
            topic = await create(admin, fresh(CLIENT, codec or "none"), 2)
            made = records("codec", now_ms() - 60_000)
            writer = await producer(compression_type=codec, linger_ms=50, max_batch_size=500_000, enable_idempotence=codec == "lz4")
            for partition in (0, 1):
                equal("offsets", await send(writer, topic, made, partition), list(range(len(made))))
                for offset, (message, record) in enumerate(zip(await read(topic, len(made), partition), made, strict=True)):
                    equal(f"record {offset}", content(message), (offset, record.key, record.value, record.headers, record.timestamp, 0))
            await writer.stop()


async def check_time(admin):
    topic = await create(admin, fresh(CLIENT, "time"))
    place = TopicPartition(topic, 0)
    reader = await consumer()
    with checks.check("offsets by time, the first, the last"):
        made = records("time", now_ms() - 60_000)
        # One compressed batch: the broker has to look into it.
        writer = await producer(compression_type="zstd", linger_ms=50, max_batch_size=500_000)
        await send(writer, topic, made)
        await writer.stop()
        asked = [(made[0].timestamp - 5000, 0), (made[5].timestamp, 5), (made[5].timestamp + 1, 6), (now_ms() + 60_000, None)]
        for timestamp, offset in asked:
            found = (await reader.offsets_for_times({place: timestamp}))[place]
            equal(f"offset at {timestamp - made[0].timestamp} ms", found and found.offset, offset)
        ends = (await reader.beginning_offsets([place]))[place], (await reader.end_offsets([place]))[place]
        equal("first and last", ends, (0, 12))
    with checks.check("records are deleted up to an offset"):
        equal("low watermark", await admin.delete_records({place: RecordsToDelete(5)}), {place: 5})

        async def gone():
            return (await reader.beginning_offsets([place]))[place] == 5

        await until("they are gone", gone)
    await reader.stop()


class Member:
    """A member of a group, with what it has read."""

    def __init__(self, topic, group):
        self.topic, self.group, self.got = topic, group, []

    async def join(self):
        self.consumer = await consumer(self.topic, group_id=self.group)
        return self

    def has(self):
        return {place.partition for place in self.consumer.assignment()}

    async def owns(self, partitions):
        await poll_into(self.consumer, self.got)
        return self.has() == partitions


async def check_group(admin):
    topic, group = await create(admin, fresh(CLIENT, "group"), 4), fresh(CLIENT, "group")
    everything = {0, 1, 2, 3}
    first = second = None
    with checks.check("a second member takes partitions of the first"):
        first = await Member(topic, group).join()
        await until("the first has all partitions", lambda: first.owns(everything))
        second = await Member(topic, group).join()

        async def shared():
            await asyncio.gather(poll_into(first.consumer, first.got), poll_into(second.consumer, second.got))
            return len(first.has()) == len(second.has()) == 2 and first.has() | second.has() == everything

        await until("both have two", shared)
    if not second:
        return
    with checks.check("the group is listed and described with two members"):
        equal("listed", [one for one in await admin.list_consumer_groups() if one[0] == group], [(group, "consumer")])
        (answer,) = await admin.describe_consumer_groups([group])
        ((error, name, state, protocol_type, protocol, members),) = answer.groups
        equal("description", (error, name, state, protocol_type, protocol, len(members)), (0, group, "Stable", "consumer", "roundrobin", 2))
    with checks.check("both read, each what it has, and commit"):
        await fill(topic, "group", 10, everything)

        async def read_all():
            await shared()
            return len(first.got) + len(second.got) == 40

        await until("all 40 are read", read_all)
        for member in (first, second):
            equal("partitions read", {message.partition for message in member.got}, member.has())
            await member.consumer.commit()
    with checks.check("who stays gets the partitions of who leaves"):
        await first.consumer.stop()
        await until("the second has all", lambda: second.owns(everything))
        await second.consumer.stop()
    with checks.check("a new member resumes where the group committed"):
        await fill(topic, "more", 1, everything)
        third = await Member(topic, group).join()

        async def resumed():
            await poll_into(third.consumer, third.got)
            return len(third.got) >= 4

        await until("the 4 new ones are read", resumed)
        equal("places", sorted((message.partition, message.offset) for message in third.got), [(p, 10) for p in range(4)])
        await third.consumer.stop()
        committed = await admin.list_consumer_group_offsets(group)
        equal("committed", {place.partition: one.offset for place, one in committed.items()}, dict.fromkeys(everything, 10))


async def offsets(topic, count, level):
    return [message.offset for message in await read(topic, count, isolation_level=level)]


async def check_transactions(admin):
    topic, name = await create(admin, fresh(CLIENT, "transactions")), fresh(CLIENT, "transactional")
    writer = await producer(transactional_id=name)
    with checks.check("what a transaction commits is seen, what it aborts is not"):
        for count, end in ((3, writer.commit_transaction), (2, writer.abort_transaction), (1, writer.commit_transaction)):
            await writer.begin_transaction()
            await send(writer, topic, records("transaction", now_ms(), count))
            await end()
        # The ends of transactions take an offset each: 3, 6 and 8.
        equal("committed", await offsets(topic, 4, "read_committed"), [0, 1, 2, 7])
        equal("all", await offsets(topic, 6, "read_uncommitted"), [0, 1, 2, 4, 5, 7])
    with checks.check("a second producer of the same name ends the first's transaction and fences it"):
        await writer.begin_transaction()
        equal("offset", await send(writer, topic, records("open", now_ms(), 1)), [9])
        successor = await producer(transactional_id=name)
        try:
            await send(writer, topic, records("zombie", now_ms(), 1))
            await writer.commit_transaction()
            raise AssertionError("the first one commits")
        except KafkaError:
            pass
        await successor.begin_transaction()
        (last,) = await send(successor, topic, records("successor", now_ms(), 1))
        await successor.commit_transaction()
        equal("committed", await offsets(topic, 5, "read_committed"), [0, 1, 2, 7, last])
        await successor.stop()


async def check_offsets_in_transaction(admin):
    topic, group = await create(admin, fresh(CLIENT, "input")), fresh(CLIENT, "group")
    place = TopicPartition(topic, 0)
    with checks.check("offsets are committed with a transaction, and thrown away with it"):
        await fill(topic, "input", 8)
        member = await Member(topic, group).join()

        async def read_all():
            await poll_into(member.consumer, member.got)
            return len(member.got) == 8

        async def committed():
            return await member.consumer.committed(place) == 4

        await until("8 are read", read_all)
        writer = await producer(transactional_id=fresh(CLIENT, "transactional"))
        for offset, end in ((4, writer.commit_transaction), (8, writer.abort_transaction)):
            await writer.begin_transaction()
            await writer.send_offsets_to_transaction({place: offset}, group)
            await end()
            # The end of a transaction is answered before the last of its markers is written.
            await until("4 is committed", committed)
        await writer.stop()
        await member.consumer.stop()


async def check_delete(admin, topic):
    with checks.check("a topic is deleted"):
        answer = await admin.delete_topics([topic])
        equal("errors", list(answer.topic_error_codes), [(topic, 0)])

        async def gone():
            return topic not in await admin.list_topics()

        await until("it is gone", gone)


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    topic = fresh(CLIENT, "admin")
    await check_admin(admin, topic)
    for check in (check_codecs, check_time, check_group, check_transactions, check_offsets_in_transaction):
        await check(admin)
    await check_delete(admin, topic)
    await admin.close()


asyncio.run(main())
checks.end()
