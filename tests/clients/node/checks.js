// What the JavaScript smokes share: checks that are told a line each, waiting for a condition, and records to send.
'use strict'

const { randomUUID } = require('node:crypto')
const { isDeepStrictEqual, inspect } = require('node:util')

// How long to wait for what has to happen. Generous: it is reached only where something is wrong.
const PATIENCE_MS = 30_000

let failed = 0

async function check(what, run) {
  try {
    await run()
    console.log(`ok ${what}`)
  } catch (error) {
    failed++
    const causes = (error.errors ?? []).map((one) => one.message).join('; ')
    console.log(`FAIL ${what}: ${error.message ?? error} ${causes}`)
  }
}

function end() {
  process.exit(failed ? 1 : 0)
}

function equal(what, got, expected) {
  if (!isDeepStrictEqual(got, expected)) throw new Error(`${what}: ${short(got)} instead of ${short(expected)}`)
}

function short(value) {
  return inspect(value, { depth: 6, breakLength: Infinity }).slice(0, 600)
}

// Asks again until the answer is true.
async function until(what, probe) {
  for (const deadline = Date.now() + PATIENCE_MS; !(await probe()); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() > deadline) throw new Error(`${what}: not after ${PATIENCE_MS / 1000} s`)
  }
}

// Runs what has to fail.
async function fails(what, run) {
  try {
    await run()
  } catch {
    return
  }
  throw new Error(`${what} succeeds`)
}

// A name that no other run uses.
function fresh(client, what) {
  return `${client}-${what}-${randomUUID().slice(0, 8)}`
}

// Records that have everything but a header without a value: keys and none, values and tombstones, headers, large ones. Each is a
// second younger than the one before, the first a minute old.
function records(label, count = 12) {
  const first = Date.now() - 60_000
  const values = [Buffer.alloc(0), Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), Buffer.from('stream '.repeat(15_000)), null]
  return Array.from({ length: count }, (_, number) => ({
    key: number % 5 === 4 ? null : Buffer.from(`key-${number}`),
    value: number < values.length ? values[number] : Buffer.from(`${label}-${number}`),
    headers: number % 3 === 0 ? [] : [['from', Buffer.from(label)], ['number', Buffer.from([number])], ['empty', Buffer.alloc(0)]],
    timestamp: first + 1000 * number
  }))
}

module.exports = { check, end, equal, fails, fresh, records, until }
