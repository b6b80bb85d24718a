// Couchbase's own Node client against a cluster: every document operation, results compared.
//
//     node check.mjs CONNECTION_STRING [SETTEE]
//
// User Administrator, password "password", bucket default, with the collection inventory.airline. SETTEE is the
// program `settee`: documents are then read and written by both, and compared. Prints a line for each check, then the
// count; the exit code is 1 if a check failed.

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import couchbase from 'couchbase'
import { report } from './report.mjs'

const [USER, PASSWORD, BUCKET] = ['Administrator', 'password', 'default']
const COLLECTIONS = [['_default', '_default'], ['inventory', 'airline']]
const LOCKED_CAS = (2n ** 64n - 1n).toString()
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
const TEXT = 'na\u00efve \u2708 text'
const JSON_VALUES = [{ name: 'Couch', legs: [4, { deep: null }], '\u00fc': '\u{1f6cb}' }, [], [1, 'two', 3.5], 0, -12,
  2 ** 53 - 1, 1.25, true, false, null]
// The clock of expiries counts whole seconds: long enough to be there for the next request.
const SHORT = 3
const IMPATIENT = { timeout: 400 }
const BINARY = { transcoder: new couchbase.RawBinaryTranscoder() }
const STRING = { transcoder: new couchbase.RawStringTranscoder() }
const RAW_JSON = { transcoder: new couchbase.RawJsonTranscoder() }
// The format that stands in the flags' first byte, the same for every client; the other bits are each client's own.
const FORMATS = { json: '02', string: '04', raw: '03' }

async function reads(collection, key) {
  await report.fails('get of a missing document', couchbase.DocumentNotFoundError, () => collection.get(key('none')))
  report.same('exists, missing', (await collection.exists(key('none'))).exists, false)
  const written = await collection.upsert(key('there'), { a: 1 })
  const result = await collection.get(key('there'))
  report.same('get', result.content, { a: 1 })
  report.same('the CAS of the write is the CAS of the read', result.cas.toString(), written.cas.toString())
  const exists = await collection.exists(key('there'))
  report.same('exists', exists.exists, true)
  report.same('the CAS of exists', exists.cas.toString(), written.cas.toString())
  const { bucket_name: bucket, sequence_number: seqno } = written.token?.toJSON() ?? {}
  report.true('a mutation token', bucket === BUCKET && Number(seqno) > 0)
}

async function formats(collection, key) {
  for (const [number, value] of JSON_VALUES.entries()) {
    await collection.upsert(key(`json${number}`), value)
    report.same(`JSON ${JSON.stringify(value)}`, (await collection.get(key(`json${number}`))).content, value)
  }
  for (const [name, options, value] of [['string', STRING, TEXT], ['empty string', STRING, ''], ['bytes', BINARY, BYTES],
    ['no bytes', BINARY, Buffer.alloc(0)], ['raw JSON', RAW_JSON, '{"a" : [ 1 ]}']]) {
    await collection.upsert(key(name), value, options)
    const { content } = await collection.get(key(name), options)
    report.same(name, typeof value === 'string' ? content.toString() : content, value)
  }
  report.same('the flags tell a string', (await collection.get(key('string'))).content, TEXT)
  report.same('the flags tell bytes', (await collection.get(key('bytes'))).content, BYTES)
  report.same('the flags tell JSON', (await collection.get(key('raw JSON'))).content, { a: [1] })
  for (const [name, value] of [['compressible', Buffer.from('settee '.repeat(100_000))],
    ['incompressible', randomBytes(300_000)]]) {
    await collection.upsert(key(name), value, BINARY)
    const { content } = await collection.get(key(name), BINARY)
    report.true(`${value.length} bytes, ${name}`, value.equals(content))
  }
  const longKey = key('').padEnd(246, 'k')
  await collection.upsert(longKey, 'long')
  report.same('a key of 246 bytes', (await collection.get(longKey)).content, 'long')
}

async function writes(collection, key) {
  const { CasMismatchError, DocumentExistsError, DocumentNotFoundError } = couchbase
  const content = async () => (await collection.get(key('doc'))).content
  const inserted = await collection.insert(key('doc'), 'first')
  report.same('insert', await content(), 'first')
  await report.fails('insert again', DocumentExistsError, () => collection.insert(key('doc'), 'second'))
  await report.fails('replace of a missing document', DocumentNotFoundError, () => collection.replace(key('none'), 1))
  const replaced = await collection.replace(key('doc'), 'second', { cas: inserted.cas })
  report.same('replace with the right CAS', await content(), 'second')
  report.true('each write changes the CAS', replaced.cas.toString() !== inserted.cas.toString())
  await report.fails('replace with an old CAS', CasMismatchError,
    () => collection.replace(key('doc'), 3, { cas: inserted.cas }))
  await report.fails('remove with an old CAS', CasMismatchError,
    () => collection.remove(key('doc'), { cas: inserted.cas }))
  report.same('after refusals', await content(), 'second')
  const removed = await collection.remove(key('doc'), { cas: replaced.cas })
  report.true('remove answers a CAS', !['0', replaced.cas.toString()].includes(removed.cas.toString()))
  await report.fails('get of a removed document', DocumentNotFoundError, content)
  report.same('exists, removed', (await collection.exists(key('doc'))).exists, false)
  await report.fails('remove of a missing document', DocumentNotFoundError, () => collection.remove(key('doc')))
  await collection.insert(key('doc'), 'again')
  report.same('insert after remove', await content(), 'again')
}

async function locks(collection, key) {
  const { CasMismatchError, DocumentNotFoundError, DocumentNotLockedError } = couchbase
  const name = key('locked')
  await report.fails('lock of a missing document', DocumentNotFoundError, () => collection.getAndLock(key('none'), 5))
  const written = await collection.upsert(name, 'free')
  const locked = await collection.getAndLock(name, 30)
  report.same('getAndLock', locked.content, 'free')
  report.true('a lock has a CAS of its own',
    ![written.cas.toString(), '0', LOCKED_CAS].includes(locked.cas.toString()))
  const seen = await collection.get(name)
  report.same('a locked document is readable', [seen.content, seen.cas.toString()], ['free', LOCKED_CAS])
  for (const [what, call] of [
    ['upsert', () => collection.upsert(name, 1, IMPATIENT)],
    ['replace', () => collection.replace(name, 1, IMPATIENT)],
    ['remove', () => collection.remove(name, IMPATIENT)],
    ['touch', () => collection.touch(name, SHORT, IMPATIENT)],
    ['getAndTouch', () => collection.getAndTouch(name, SHORT, IMPATIENT)],
    ['getAndLock', () => collection.getAndLock(name, SHORT, IMPATIENT)],
    ['append', () => collection.binary().append(name, '1', IMPATIENT)]]) {
    await report.staysLocked(`${what} of a locked document`, call)
  }
  await report.fails('unlock with another CAS', CasMismatchError, () => collection.unlock(name, written.cas))
  await collection.unlock(name, locked.cas)
  await collection.upsert(name, 'changed')
  const current = await collection.get(name)
  report.same('upsert after unlock', current.content, 'changed')
  await report.fails('unlock of a free document', DocumentNotLockedError, () => collection.unlock(name, current.cas))
  await report.fails('unlock of a missing document', DocumentNotFoundError,
    () => collection.unlock(key('none'), current.cas))
  const holder = await collection.getAndLock(name, 30)
  await collection.replace(name, 'by the holder', { cas: holder.cas })
  await collection.upsert(name, 'free again')
  report.same("a write with the lock's CAS unlocks", (await collection.get(name)).content, 'free again')
}

async function binary(collection, key) {
  const { CasMismatchError, DeltaInvalidError, DocumentNotFoundError } = couchbase
  const ops = collection.binary()
  await collection.upsert(key('bytes'), Buffer.from('b'), BINARY)
  const appended = await ops.append(key('bytes'), Buffer.from('63ff', 'hex'))
  await ops.prepend(key('bytes'), Buffer.from('0061', 'hex'), { cas: appended.cas })
  report.same('append and prepend, the flags kept', (await collection.get(key('bytes'))).content,
    Buffer.from('00616263ff', 'hex'))
  for (const what of ['append', 'prepend']) {
    await report.fails(`${what} to a missing document`, DocumentNotFoundError, () => ops[what](key('none'), 'x'))
    await report.fails(`${what} with an old CAS`, CasMismatchError,
      () => ops[what](key('bytes'), 'x', { cas: appended.cas }))
  }
  const count = async (what, delta, options) => (await ops[what](key('count'), delta, options)).value
  report.same('increment makes the initial value', await count('increment', 1, { initial: 10 }), 10)
  report.same('increment by 1', await count('increment', 1), 11)
  report.same('increment by 100', await count('increment', 100), 111)
  report.same('decrement by 12', await count('decrement', 12), 99)
  report.same('decrement stops at 0', await count('decrement', 1000), 0)
  report.same('decrement makes the initial value', (await ops.decrement(key('down'), 1, { initial: 7 })).value, 7)
  await count('increment', 42)
  report.same('a counter is a JSON number', (await collection.get(key('count'))).content, 42)
  await report.fails('increment of a missing document, none to be made', DocumentNotFoundError,
    () => ops.increment(key('none'), 1))
  await collection.upsert(key('word'), 'word')
  await report.fails('increment of a word', DeltaInvalidError, () => ops.increment(key('word'), 1))
}

async function durability(collection, key) {
  for (const level of ['Majority', 'MajorityAndPersistOnMaster', 'PersistToMajority']) {
    const durable = { durabilityLevel: couchbase.DurabilityLevel[level] }
    const [name, ops] = [key(level), collection.binary()]
    await collection.upsert(name, 0, durable)
    await collection.replace(name, 1, { ...durable, expiry: 3600 })
    report.same(`${level}: increment`, (await ops.increment(name, 1, durable)).value, 2)
    await ops.append(name, '0', durable)
    await ops.prepend(name, '1', durable)
    report.same(`${level}: upsert, replace, append, prepend`, (await collection.get(name)).content, 120)
    await collection.remove(name, durable)
    await collection.insert(name, 'new', durable)
    report.same(`${level}: remove, insert`, (await collection.get(name)).content, 'new')
  }
}

// Writes documents that are to go or stay; `expired` looks later.
async function expiring(collection, key) {
  const { DocumentNotFoundError } = couchbase
  const ops = collection.binary()
  await collection.upsert(key('gone upsert'), 1, { expiry: SHORT })
  await collection.insert(key('gone insert'), 1, { expiry: SHORT })
  for (const name of ['gone replace', 'gone touch', 'gone getAndTouch', 'stay append']) {
    await collection.upsert(key(name), 'value')
  }
  await collection.replace(key('gone replace'), 2, { expiry: SHORT })
  report.true('touch answers a CAS', (await collection.touch(key('gone touch'), SHORT)).cas.toString() !== '0')
  report.same('getAndTouch', (await collection.getAndTouch(key('gone getAndTouch'), SHORT)).content, 'value')
  await ops.increment(key('gone increment'), 1, { initial: 1, expiry: SHORT })
  for (const name of ['gone upsert that preserves', 'gone replace that preserves', 'gone append', 'stay upsert',
    'stay replace', 'stay touch', 'stay getAndTouch']) {
    await collection.upsert(key(name), 'value', { expiry: SHORT })
  }
  await collection.upsert(key('gone upsert that preserves'), 2, { preserveExpiry: true })
  await collection.replace(key('gone replace that preserves'), 2, { preserveExpiry: true })
  await ops.append(key('gone append'), '2')
  await collection.upsert(key('stay upsert'), 2)
  await collection.replace(key('stay replace'), 2)
  await collection.touch(key('stay touch'), 0)
  await collection.getAndTouch(key('stay getAndTouch'), 0)
  await ops.append(key('stay append'), '2')
  await collection.upsert(key('stay for 40 days'), 2, { expiry: 40 * 86_400 })
  await report.fails('touch of a missing document', DocumentNotFoundError, () => collection.touch(key('none'), SHORT))
  await report.fails('getAndTouch of a missing document', DocumentNotFoundError,
    () => collection.getAndTouch(key('none'), SHORT))
}

async function expired(collection, key) {
  for (const name of ['upsert', 'insert', 'replace', 'touch', 'getAndTouch', 'increment', 'upsert that preserves',
    'replace that preserves', 'append']) {
    await report.fails(`expired: ${name}`, couchbase.DocumentNotFoundError, () => collection.get(key(`gone ${name}`)))
  }
  for (const name of ['upsert', 'replace', 'touch', 'getAndTouch', 'append', 'for 40 days']) {
    report.same(`not expired: ${name}`, (await collection.exists(key(`stay ${name}`))).exists, true)
  }
}

// What one client writes the other reads, value and flags.
async function bothWays(collection, key, settee) {
  for (const [kind, stored, value, options] of [['json', Buffer.from('{"by":["both",1]}'), { by: ['both', 1] }, {}],
    ['string', Buffer.from(TEXT), TEXT, STRING], ['raw', BYTES, BYTES, BINARY]]) {
    await collection.upsert(key(`theirs ${kind}`), value, options)
    const got = settee(['get', '--meta', key(`theirs ${kind}`)])
    report.same(`settee reads ${kind} of Node`, got.stdout, stored)
    report.true(`settee reads the flags of ${kind}`, got.stderr.toString().includes(`flags 0x${FORMATS[kind]}`))
    settee(['set', `--${kind}`, key(`ours ${kind}`), '-'], stored)
    // Without a transcoder, so that the flags tell the format.
    report.same(`Node reads ${kind} of settee`, (await collection.get(key(`ours ${kind}`))).content, value)
  }
  settee(['rm', key('theirs json')])
  report.same('Node sees what settee removed', (await collection.exists(key('theirs json'))).exists, false)
}

// Errors about more than one document.
async function refusals(connectionString, bucket) {
  await report.fails('a collection that does not exist', couchbase.UnambiguousTimeoutError,
    () => bucket.scope('inventory').collection('none').get('k', IMPATIENT))
  await report.fails('a scope that does not exist', couchbase.ScopeNotFoundError,
    () => bucket.scope('none').collection('airline').get('k', IMPATIENT))
  await report.fails('a wrong password', couchbase.AuthenticationFailureError,
    () => connect(connectionString, 'wrong'))
}

function connect(connectionString, password = PASSWORD) {
  const timeouts = { connectTimeout: 20_000, bootstrapTimeout: 20_000 }
  return couchbase.connect(connectionString, { username: USER, password, timeouts })
}

function program(path, connectionString, scope, name) {
  // Without the variables that the program reads its connection from.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SETTEE_')))
  return ([command, ...rest], input = Buffer.alloc(0)) => {
    const args = [command, '-c', connectionString, '--collection', `${scope}.${name}`, ...rest]
    const result = spawnSync(path, args, { env, input, timeout: 30_000 })
    if (result.status !== 0) throw new Error(`settee ${command} ended with ${result.status}: ${result.stderr}`)
    return result
  }
}

async function main([connectionString, settee]) {
  const run = `node-${Date.now().toString(16)}-${process.pid}`
  const cluster = await connect(connectionString)
  const bucket = cluster.bucket(BUCKET)
  const eachCollection = async (group, more) => {
    const prefix = `${run}-${group === expired ? expiring.name : group.name}`
    for (const [scope, name] of COLLECTIONS) {
      report.where = `${scope}.${name} `
      await report.group(group, bucket.scope(scope).collection(name), text => `${prefix}-${text}`, more?.(scope, name))
    }
    report.where = ''
  }
  await eachCollection(expiring)
  const later = sleep(SHORT * 1000 + 1200)
  for (const group of [reads, formats, writes, locks, binary, durability]) await eachCollection(group)
  if (settee) await eachCollection(bothWays, (scope, name) => program(settee, connectionString, scope, name))
  await report.group(refusals, connectionString, bucket)
  await later
  await eachCollection(expired)
  await cluster.close()
  console.log(`${report.passed} passed, ${report.failed} failed`)
  process.exitCode = report.failed === 0 ? 0 : 1
}

await main(process.argv.slice(2))
