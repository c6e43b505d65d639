// kafkajs: admin, all codecs, offsets by time, a group of two, transactions with fencing.
//
// Lacks: headers without a value, altering a single setting, the group protocol of KIP-848. All codecs but gzip are brought by others.
'use strict'

const kafkajs = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const { ZstdCodec } = require('zstd-codec')
const { lz4Compress, lz4Decompress } = require('@platformatic/wasm-utils')
const { check, end, equal, fails, fresh, records, until } = require('./checks')

const { CompressionTypes, CompressionCodecs, ConfigResourceTypes, Kafka, logLevel } = kafkajs
const CLIENT = 'kafkajs'
const EVERYTHING = [0, 1, 2, 3]
const kafka = new Kafka({ brokers: [process.argv[2]], clientId: CLIENT, logLevel: logLevel.NOTHING, retry: { retries: 8 } })
const admin = kafka.admin()

function codec(compress, decompress) {
  return () => ({ compress: async (encoder) => Buffer.from(compress(encoder.buffer)), decompress: async (buffer) => Buffer.from(decompress(buffer)) })
}

async function create(topic, numPartitions, configEntries = []) {
  equal('created', await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] }), true)
  return topic
}

// Sends these records as a batch and returns the offset of the first.
async function send(sender, topic, made, partition = 0, compression = CompressionTypes.None) {
  const messages = made.map((record) => ({ ...record, partition, headers: Object.fromEntries(record.headers), timestamp: String(record.timestamp) }))
  const [answer] = await sender.send({ topic, messages, compression, acks: -1 })
  return Number(answer.baseOffset)
}

async function fill(topic, count, partitions) {
  const producer = kafka.producer()
  await producer.connect()
  for (const partition of partitions) await send(producer, topic, records('fill', count), partition)
  await producer.disconnect()
}

// A member of a group, with what it has and what it has read.
class Member {
  constructor(group, settings = {}) {
    this.got = []
    this.has = []
    // A member that leaves waits for the answer to its last fetch.
    this.consumer = kafka.consumer({ groupId: group, heartbeatInterval: 500, sessionTimeout: 10_000, maxWaitTimeInMs: 200, ...settings })
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.has = Object.values(payload.memberAssignment).flat().sort()
    })
    this.consumer.on(this.consumer.events.REBALANCING, () => {
      this.has = []
    })
  }

  async join(topic) {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [topic], fromBeginning: true })
    const eachMessage = async ({ partition, message }) => this.got.push({ partition, ...message })
    await this.consumer.run({ autoCommit: false, eachMessage })
    return this
  }

  // Where the group is to read on.
  next(topic) {
    const next = new Map(this.got.map(({ partition, offset }) => [partition, String(Number(offset) + 1)]))
    return [...next].map(([partition, offset]) => ({ topic, partition, offset }))
  }

  leave() {
    return this.consumer.disconnect()
  }
}

// The first records of a topic, by partition and offset.
async function read(topic, count, settings = {}) {
  const reader = await new Member(fresh(CLIENT, 'reader'), settings).join(topic)
  try {
    await until(`${count} records are read`, () => reader.got.length >= count)
  } finally {
    await reader.leave()
  }
  return reader.got.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

async function offsets(topic, count, readUncommitted) {
  return (await read(topic, count, { readUncommitted })).map(({ offset }) => Number(offset))
}

async function checkAdmin(topic) {
  const retention = async () => {
    const query = { resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] }], includeSynonyms: false }
    return (await admin.describeConfigs(query)).resources[0].configEntries[0].configValue
  }
  const partitions = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions
  await check('a topic is created with a setting, and described', async () => {
    await create(topic, 2, [{ name: 'retention.ms', value: '86400000' }])
    equal('replicas in sync', (await partitions()).map(({ isr }) => isr.length), [1, 1])
    equal('retention.ms', await retention(), '86400000')
  })
  await check('a topic that exists is refused', async () => {
    equal('created', await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }), false)
  })
  await check('a setting is altered', async () => {
    const configEntries = [{ name: 'retention.ms', value: '7200000' }]
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
    await until('it is altered', async () => (await retention()) === '7200000')
  })
  await check('partitions are added', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    await until('there are four', async () => (await partitions()).length === 4)
  })
}

async function checkCodecs() {
  const { ZSTD, LZ4, Snappy } = CompressionTypes
  const zstd = await new Promise((resolve) => ZstdCodec.run((codec) => resolve(new codec.Simple())))
  CompressionCodecs[Snappy] = SnappyCodec
  CompressionCodecs[LZ4] = codec(lz4Compress, lz4Decompress)
  CompressionCodecs[ZSTD] = codec((data) => zstd.compress(data), (data) => zstd.decompress(data))
  const producer = kafka.producer()
  await producer.connect()
  for (const [name, type] of Object.entries(CompressionTypes)) {
    await check(`records by ${name.toLowerCase()} come back byte by byte`, async () => {
      const topic = await create(fresh(CLIENT, 'codec'), 2)
      const made = records(name)
      for (const partition of [0, 1]) equal('first offset', await send(producer, topic, made, partition, type), 0)
      const got = await read(topic, 24)
      got.forEach(({ partition, offset, key, value, headers, timestamp }, place) => {
        const expected = made[place % 12]
        equal('place', [partition, Number(offset)], [Math.floor(place / 12), place % 12])
        equal(`record ${place}`, { key, value, headers: Object.entries(headers), timestamp: Number(timestamp) }, expected)
      })
    })
  }
  await producer.disconnect()
}

async function checkTime() {
  const topic = await create(fresh(CLIENT, 'time'), 1)
  await check('offsets by time, the first, the last', async () => {
    const made = records('time')
    const producer = kafka.producer()
    await producer.connect()
    // One compressed batch: the broker has to look into it.
    await send(producer, topic, made, 0, CompressionTypes.GZIP)
    await producer.disconnect()
    const sixth = made[5].timestamp
    // Where nothing is as young, this client gives the end.
    for (const [timestamp, offset] of [[sixth - 60_000, '0'], [sixth, '5'], [sixth + 1, '6'], [sixth + 600_000, '12']]) {
      equal('offset', await admin.fetchTopicOffsetsByTimestamp(topic, timestamp), [{ partition: 0, offset }])
    }
    equal('ends', await admin.fetchTopicOffsets(topic), [{ partition: 0, offset: '12', high: '12', low: '0' }])
  })
  await check('records are deleted up to an offset', async () => {
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
    await until('they are gone', async () => (await admin.fetchTopicOffsets(topic))[0].low === '5')
  })
}

async function checkGroup() {
  const topic = await create(fresh(CLIENT, 'group'), 4)
  const group = fresh(CLIENT, 'group')
  const first = new Member(group)
  const second = new Member(group)
  const describe = async () => (await admin.describeGroups([group])).groups[0]
  await check('a second member takes partitions of the first', async () => {
    await first.join(topic)
    await until('the first has all partitions', () => first.has.length === 4)
    await second.join(topic)
    await until('both have two', () => first.has.length === 2 && second.has.length === 2)
    equal('partitions', [...first.has, ...second.has].sort(), EVERYTHING)
  })
  await check('the group is listed and described with two members', async () => {
    equal('listed', (await admin.listGroups()).groups.filter(({ groupId }) => groupId === group), [{ groupId: group, protocolType: 'consumer' }])
    const told = await describe()
    equal('state and members', [told.state, told.members.length], ['Stable', 2])
  })
  await check('both read, each what it has, and commit', async () => {
    await fill(topic, 10, EVERYTHING)
    await until('all 40 are read', () => first.got.length + second.got.length === 40)
    for (const member of [first, second]) {
      equal('partitions read', [...new Set(member.got.map(({ partition }) => partition))].sort(), member.has)
      await member.consumer.commitOffsets(member.next(topic))
    }
  })
  await check('who stays gets the partitions of who leaves', async () => {
    await first.leave()
    await until('the second has all', () => second.has.length === 4)
    await second.leave()
  })
  await check('a new member resumes where the group committed', async () => {
    await fill(topic, 1, EVERYTHING)
    const third = await new Member(group).join(topic)
    await until('the 4 new ones are read', () => third.got.length >= 4)
    await third.leave()
    equal('offsets', third.got.map(({ offset }) => offset), ['10', '10', '10', '10'])
    const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    equal('committed', partitions.map(({ offset }) => offset), ['10', '10', '10', '10'])
  })
  await check('an empty group is deleted', async () => {
    await until('it is empty', async () => (await describe()).state === 'Empty')
    equal('errors', (await admin.deleteGroups([group])).map(({ errorCode }) => errorCode), [0])
  })
}

async function transactional(transactionalId) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, retry: { retries: 3 } })
  await producer.connect()
  return producer
}

async function checkTransactions() {
  const topic = await create(fresh(CLIENT, 'transactions'), 1)
  const id = fresh(CLIENT, 'transactional')
  const first = await transactional(id)
  await check('what a transaction commits is seen, what it aborts is not', async () => {
    for (const [count, ending] of [[3, 'commit'], [2, 'abort'], [1, 'commit']]) {
      const transaction = await first.transaction()
      await send(transaction, topic, records('transaction', count))
      await transaction[ending]()
    }
    // The ends of transactions take an offset each: 3, 6 and 8.
    equal('committed', await offsets(topic, 4, false), [0, 1, 2, 7])
    equal('all', await offsets(topic, 6, true), [0, 1, 2, 4, 5, 7])
  })
  await check("a second producer of the same name ends the first's transaction and fences it", async () => {
    const zombie = await first.transaction()
    equal('offset', await send(zombie, topic, records('open', 1)), 9)
    const second = await transactional(id)
    const successor = await second.transaction()
    const last = await send(successor, topic, records('successor', 1))
    await fails('the commit of the first', async () => {
      await send(zombie, topic, records('zombie', 1))
      await zombie.commit()
    })
    await successor.commit()
    equal('committed', await offsets(topic, 5, false), [0, 1, 2, 7, last])
    await second.disconnect()
  })
  await first.disconnect()
}

async function checkOffsetsInTransaction() {
  await check('offsets are committed with a transaction, and thrown away with it', async () => {
    const topic = await create(fresh(CLIENT, 'input'), 1)
    const consumerGroupId = fresh(CLIENT, 'group')
    const producer = await transactional(fresh(CLIENT, 'transactional'))
    const committed = async () => (await admin.fetchOffsets({ groupId: consumerGroupId, topics: [topic] }))[0].partitions[0].offset
    for (const [offset, ending] of [['4', 'commit'], ['8', 'abort']]) {
      const transaction = await producer.transaction()
      await transaction.sendOffsets({ consumerGroupId, topics: [{ topic, partitions: [{ partition: 0, offset }] }] })
      await transaction[ending]()
      // The end of a transaction is answered before the last of its markers is written.
      await until('4 is committed', async () => (await committed()) === '4')
    }
    await producer.disconnect()
  })
}

async function main() {
  console.log(`version ${require('kafkajs/package.json').version}`)
  await admin.connect()
  const topic = fresh(CLIENT, 'admin')
  await checkAdmin(topic)
  await checkCodecs()
  await checkTime()
  await checkGroup()
  await checkTransactions()
  await checkOffsetsInTransaction()
  await check('a topic is deleted', async () => {
    await admin.deleteTopics({ topics: [topic] })
    await until('it is gone', async () => !(await admin.listTopics()).includes(topic))
  })
  end()
}

main()
