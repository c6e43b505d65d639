// @platformatic/kafka: admin, all codecs that Node has, offsets by time, groups of both protocols, transactions with fencing.
//
// Lacks: headers twice or without a value. It wants Node 22; on Node 20 it needs one function more, and has no zstd.
'use strict'

Promise.withResolvers ??= () => {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

const { dirname, join } = require('node:path')
const { zstdCompressSync } = require('node:zlib')
const { Admin, Consumer, Producer } = require('@platformatic/kafka')
const { check, end, equal, fails, fresh, records, until } = require('./checks')

const CLIENT = 'platformatic'
const CODECS = ['none', 'gzip', 'snappy', 'lz4', ...(zstdCompressSync ? ['zstd'] : [])]
const EVERYTHING = [0, 1, 2, 3]
const TOPIC = 2 // a resource's type
const [SET, DELETE] = [0, 1]
const [READ_UNCOMMITTED, READ_COMMITTED] = [0, 1]
const bootstrap = { bootstrapBrokers: [process.argv[2]], clientId: CLIENT }
const admin = new Admin(bootstrap)

async function create(topic, partitions, configs = []) {
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  return topic
}

// Sends these records as a batch and returns the offset of the first.
async function send(sender, topic, made, partition = 0, settings = {}) {
  const messages = made.map((record) => ({ ...record, topic, partition, headers: new Map(record.headers.map(([name, value]) => [Buffer.from(name), value])), timestamp: BigInt(record.timestamp) }))
  return Number((await sender.send({ messages, ...settings })).offsets[0].offset)
}

async function fill(topic, count, partitions) {
  const producer = new Producer(bootstrap)
  for (const partition of partitions) await send(producer, topic, records('fill', count), partition)
  await producer.close()
}

// A member of a group, with what it has read.
class Member {
  got = []

  constructor(groupId, settings = {}) {
    const times = settings.groupProtocol === 'consumer' ? {} : { sessionTimeout: 10_000, heartbeatInterval: 500 }
    this.consumer = new Consumer({ ...bootstrap, groupId, ...times, maxWaitTime: 200, autocommit: false, ...settings })
  }

  async join(topic) {
    this.stream = await this.consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
    this.stream.on('data', (message) => this.got.push(message))
    return this
  }

  has() {
    return (this.consumer.assignments ?? []).flatMap(({ partitions }) => partitions).sort()
  }

  async commit() {
    const got = this.got.filter(({ partition }) => this.has().includes(partition))
    const next = new Map(got.map(({ topic, partition, offset, leaderEpoch }) => [partition, { topic, partition, offset: offset + 1n, leaderEpoch }]))
    await this.consumer.commit({ offsets: [...next.values()] })
  }

  async leave() {
    await this.stream?.close()
    await this.consumer.close(true)
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
  return reader.got.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset))
}

async function offsets(topic, count, isolationLevel) {
  return (await read(topic, count, { isolationLevel })).map(({ offset }) => Number(offset))
}

async function checkAdmin(topic) {
  const retention = async () => {
    const [{ configs }] = await admin.describeConfigs({ resources: [{ resourceType: TOPIC, resourceName: topic, configurationKeys: ['retention.ms'] }] })
    return configs[0]
  }
  const alter = (configOperation, value) =>
    admin.incrementalAlterConfigs({ resources: [{ resourceType: TOPIC, resourceName: topic, configs: [{ name: 'retention.ms', configOperation, value }] }] })
  const partitions = async () => (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitions
  await check('a topic is created with a setting, and described', async () => {
    await create(topic, 2, [{ name: 'retention.ms', value: '86400000' }])
    equal('replicas in sync', (await partitions()).map(({ isr }) => isr.length), [1, 1])
    equal('retention.ms', (await retention()).value, '86400000')
  })
  await check('a topic that exists is refused', () => fails('a second creation', () => create(topic, 1)))
  await check('a setting is altered and deleted', async () => {
    await alter(SET, '7200000')
    await until('it is altered', async () => (await retention()).value === '7200000')
    await alter(DELETE, null)
    await until('it is another again', async () => (await retention()).value !== '7200000')
  })
  await check('partitions are added', async () => {
    await admin.createPartitions({ topics: [{ name: topic, count: 4, assignments: null }] })
    await until('there are four', async () => (await partitions()).length === 4)
  })
}

async function checkCodecs() {
  const producer = new Producer(bootstrap)
  for (const compression of CODECS) {
    await check(`records by ${compression} come back byte by byte`, async () => {
      const topic = await create(fresh(CLIENT, compression), 2)
      const made = records(compression)
      for (const partition of [0, 1]) equal('first offset', await send(producer, topic, made, partition, { compression }), 0)
      const got = await read(topic, 24)
      got.forEach(({ partition, offset, key, value, headerEntries, timestamp }, place) => {
        equal('place', [partition, Number(offset)], [Math.floor(place / 12), place % 12])
        const headers = headerEntries.map(([name, content]) => [name.toString(), content])
        // A key or value that is null comes back as undefined.
        equal(`record ${place}`, { key: key ?? null, value: value ?? null, headers, timestamp: Number(timestamp) }, made[place % 12])
      })
    })
  }
  await producer.close()
}

async function checkTime() {
  const topic = await create(fresh(CLIENT, 'time'), 1)
  const at = async (timestamp) => {
    const [{ partitions }] = await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: BigInt(timestamp) }] }] })
    return Number(partitions[0].offset)
  }
  await check('offsets by time, the first, the last, the newest', async () => {
    const made = records('time')
    const producer = new Producer(bootstrap)
    // One compressed batch: the broker has to look into it.
    await send(producer, topic, made, 0, { compression: 'lz4' })
    await producer.close()
    const sixth = made[5].timestamp
    for (const [timestamp, offset] of [[sixth - 60_000, 0], [sixth, 5], [sixth + 1, 6], [sixth + 600_000, -1], [-2, 0], [-1, 12], [-3, 11]]) {
      equal(`offset at ${timestamp}`, await at(timestamp), offset)
    }
  })
  await check('records are deleted up to an offset', async () => {
    const [{ partitions }] = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 5n }] }] })
    equal('low watermark', partitions[0].lowWatermark, 5n)
    await until('they are gone', async () => (await at(-2)) === 5)
  })
}

async function committed(group, topic) {
  const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [group] })
  const partitions = topics.find(({ name }) => name === topic)?.partitions ?? []
  return partitions.sort((a, b) => a.partitionIndex - b.partitionIndex).map(({ committedOffset }) => Number(committedOffset))
}

async function checkGroup(groupProtocol) {
  const topic = await create(fresh(CLIENT, 'group'), 4)
  const group = fresh(CLIENT, 'group')
  const first = new Member(group, { groupProtocol })
  const second = new Member(group, { groupProtocol })
  await check(`${groupProtocol}: a second member takes partitions of the first`, async () => {
    await first.join(topic)
    await until('the first has all partitions', () => first.has().length === 4)
    await second.join(topic)
    await until('both have two', () => first.has().length === 2 && second.has().length === 2)
    equal('partitions', [...first.has(), ...second.has()].sort(), EVERYTHING)
  })
  await check(`${groupProtocol}: the group is listed`, async () => {
    const told = (await admin.listGroups({ types: [groupProtocol] })).get(group)
    equal('state and protocol', [told?.state, told?.protocolType], ['Stable', 'consumer'])
    // Its admin describes groups of the older protocol only.
    if (groupProtocol === 'classic') equal('members', (await admin.describeGroups({ groups: [group] })).get(group).members.size, 2)
  })
  await check(`${groupProtocol}: both read, each what it has, and commit`, async () => {
    await fill(topic, 10, EVERYTHING)
    const read = () => new Set([...first.got, ...second.got].map(({ partition, offset }) => `${partition}/${offset}`))
    await until('all 40 are read', () => read().size === 40)
    for (const member of [first, second]) {
      // It may have read more: a fetch that waits while the partition goes to another member still hands out what comes.
      equal('partitions not read', member.has().filter((one) => !member.got.some(({ partition }) => partition === one)), [])
      await member.commit()
    }
    equal('committed', await committed(group, topic), [10, 10, 10, 10])
  })
  await check(`${groupProtocol}: who stays gets the partitions of who leaves`, async () => {
    await first.leave()
    await until('the second has all', () => second.has().length === 4)
    await second.leave()
  })
  await check(`${groupProtocol}: a new member resumes where the group committed`, async () => {
    await fill(topic, 1, EVERYTHING)
    const third = await new Member(group, { groupProtocol }).join(topic)
    await until('the 4 new ones are read', () => third.got.length >= 4)
    await third.leave()
    equal('offsets', third.got.map(({ offset }) => Number(offset)), [10, 10, 10, 10])
  })
  await check(`${groupProtocol}: an empty group is deleted`, async () => {
    await until('it is empty', async () => (await admin.listGroups({ types: [groupProtocol] })).get(group)?.state === 'Empty')
    await admin.deleteGroups({ groups: [group] })
  })
}

// Without a word on it, this client asks for the producer 0 of epoch 0, and not for whichever the broker gives: who comes second by
// a transactional id is refused then, and fences nobody.
function transactional(transactionalId) {
  return new Producer({ ...bootstrap, transactionalId, idempotent: true, producerId: -1n, producerEpoch: -1, retries: 2 })
}

async function checkTransactions() {
  const topic = await create(fresh(CLIENT, 'transactions'), 1)
  const id = fresh(CLIENT, 'transactional')
  const first = transactional(id)
  await check('what a transaction commits is seen, what it aborts is not', async () => {
    for (const [count, ending] of [[3, 'commit'], [2, 'abort'], [1, 'commit']]) {
      const transaction = await first.beginTransaction()
      await send(transaction, topic, records('transaction', count))
      await transaction[ending]()
    }
    // The ends of transactions take an offset each: 3, 6 and 8.
    equal('committed', await offsets(topic, 4, READ_COMMITTED), [0, 1, 2, 7])
    equal('all', await offsets(topic, 6, READ_UNCOMMITTED), [0, 1, 2, 4, 5, 7])
  })
  await check("a second producer of the same name ends the first's transaction and fences it", async () => {
    // A topic of its own: of two transactions that one producer aborted, this client hides the later one only.
    const fenced = await create(fresh(CLIENT, 'fenced'), 1)
    const zombie = await first.beginTransaction()
    equal('offset', await send(zombie, fenced, records('open', 1)), 0)
    const second = transactional(id)
    const successor = await second.beginTransaction()
    const last = await send(successor, fenced, records('successor', 1))
    await fails('the commit of the first', async () => {
      await send(zombie, fenced, records('zombie', 1))
      await zombie.commit()
    })
    await successor.commit()
    equal('committed', await offsets(fenced, 1, READ_COMMITTED), [last])
    await second.close()
  })
}

async function checkOffsetsInTransaction() {
  await check('offsets are committed with a transaction, and thrown away with it', async () => {
    const topic = await create(fresh(CLIENT, 'input'), 1)
    const group = fresh(CLIENT, 'group')
    await fill(topic, 8, [0])
    const member = await new Member(group).join(topic)
    await until('8 are read', () => member.got.length === 8)
    const producer = transactional(fresh(CLIENT, 'transactional'))
    for (const [place, ending] of [[3, 'commit'], [7, 'abort']]) {
      const transaction = await producer.beginTransaction()
      await transaction.addConsumer(member.consumer)
      await transaction.addOffset(member.got[place])
      await transaction[ending]()
      // The end of a transaction is answered before the last of its markers is written.
      await until('4 is committed', async () => (await committed(group, topic))[0] === 4)
    }
    await producer.close()
    await member.leave()
  })
}

async function main() {
  // Its manifest is not among what it exports.
  console.log(`version ${require(join(dirname(require.resolve('@platformatic/kafka')), '../package.json')).version}`)
  const topic = fresh(CLIENT, 'admin')
  await checkAdmin(topic)
  await checkCodecs()
  await checkTime()
  for (const protocol of ['classic', 'consumer']) await checkGroup(protocol)
  await checkTransactions()
  await checkOffsetsInTransaction()
  await check('a topic is deleted', async () => {
    await admin.deleteTopics({ topics: [topic] })
    await until('it is gone', async () => !(await admin.listTopics()).includes(topic))
  })
  end()
}

main()
