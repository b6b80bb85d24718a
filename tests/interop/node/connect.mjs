// Couchbase's own Node client connects: over TLS, with each kind of credentials, and from outside.
//
//     node connect.mjs INSIDE OUTSIDE
//
// Both are files with what `settee serve` printed. INSIDE: run with --tls, --client-cert enable and
// --jwt-user Administrator=a.b.c, and a posture that has tokens. OUTSIDE: run with --tls and --external. User
// Administrator, password "password", bucket default. Prints a line for each check, then the count; the exit code is 1
// if a check failed.

import { readFileSync } from 'node:fs'
import couchbase from 'couchbase'
import { report } from './report.mjs'

const [USER, PASSWORD, BUCKET] = ['Administrator', 'password', 'default']
// More keys than nodes, so that each node gets some.
const KEYS = 40

function connect(connectionString, options, milliseconds = 20_000) {
  const timeouts = { connectTimeout: milliseconds, bootstrapTimeout: milliseconds }
  return couchbase.connect(connectionString, { timeouts, ...options })
}

function password(trustStorePath) {
  return { username: USER, password: PASSWORD, security: trustStorePath ? { trustStorePath } : {} }
}

// Connects, writes to every node and reads it back.
async function works(what, run, connectionString, options) {
  const cluster = await connect(connectionString, options)
  const collection = cluster.bucket(BUCKET).defaultCollection()
  const numbers = Array.from({ length: KEYS }, (_, number) => number)
  await Promise.all(numbers.map(number => collection.upsert(`${run}-${number}`, number)))
  const got = await Promise.all(numbers.map(async number => (await collection.get(`${run}-${number}`)).content))
  report.same(what, got, numbers)
  await cluster.close()
}

async function main(files) {
  const run = `node-${Date.now().toString(16)}-${process.pid}`
  const [inside, outside] = files.map(file => readFileSync(file, 'utf8').split('\n'))
  const [, secure, caFile, certificatePath, keyPath] = inside
  const [mapped, mappedSecure, mappedCaFile] = outside
  const authenticator = new couchbase.CertificateAuthenticator(certificatePath, keyPath)
  for (const [what, connectionString, options] of [
    ['TLS with the authority\'s file', secure, password(caFile)],
    ['a client certificate', secure, { authenticator, security: { trustStorePath: caFile } }],
    ['a token', secure, { authenticator: new couchbase.JwtAuthenticator('a.b.c'), security: { trustStorePath: caFile } }],
    ['from outside', mapped, password()],
    ['from outside, the network named', `${mapped}?network=external`, password()],
    ['from outside over TLS', mappedSecure, password(mappedCaFile)],
  ]) await report.group(works, what, run, connectionString, options)
  await report.fails('TLS with another authority\'s file', couchbase.TimeoutError,
    () => connect(secure, password(mappedCaFile), 2_000))
  await report.fails('an unknown token', couchbase.AuthenticationFailureError, () => connect(secure,
    { authenticator: new couchbase.JwtAuthenticator('x.y.z'), security: { trustStorePath: caFile } }))
  console.log(`${report.passed} passed, ${report.failed} failed`)
  process.exitCode = report.failed === 0 ? 0 : 1
}

await main(process.argv.slice(2))
