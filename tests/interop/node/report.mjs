import { isDeepStrictEqual } from 'node:util'
import couchbase from 'couchbase'

// Counts checks and prints a line for each.
export const report = {
  passed: 0,
  failed: 0,
  where: '',
  note(what, fault) {
    if (fault === undefined) {
      this.passed += 1
      console.log(`ok      ${this.where}${what}`)
    } else {
      this.failed += 1
      console.log(`FAILED  ${this.where}${what}: ${fault}`)
    }
  },
  same(what, got, wanted) {
    const show = value => JSON.stringify(value)
    this.note(what, isDeepStrictEqual(got, wanted) ? undefined : `${show(got)}, not ${show(wanted)}`)
  },
  true(what, condition) {
    this.note(what, condition ? undefined : 'it is not so')
  },
  // The promise of `call` must be rejected with a `kind`.
  async fails(what, kind, call) {
    try {
      const result = await call()
      this.note(what, `${JSON.stringify(result)}, not ${kind.name}`)
    } catch (error) {
      if (error instanceof kind) this.note(`${what}: ${kind.name}`)
      else this.note(what, `${error?.constructor?.name}, not ${kind.name}: ${error?.message}`)
    }
  },
  // The call must be given up because the document stayed locked: this client says so in a time-out's reasons.
  async staysLocked(what, call) {
    try {
      const result = await call()
      this.note(what, `${JSON.stringify(result)}, not a time-out`)
    } catch (error) {
      const reasons = error instanceof couchbase.TimeoutError ? error.context?.retry_reasons : undefined
      if (reasons?.includes('key_value_locked')) this.note(`${what}: locked`)
      else this.note(what, `${error?.constructor?.name}, not a time-out for a lock: ${error?.message}`)
    }
  },
  // Runs checks that build on each other: an unforeseen error ends this group alone.
  async group(run, ...args) {
    try {
      await run(...args)
    } catch (error) {
      this.note(run.name, `ended by ${error?.constructor?.name}: ${error?.message}`)
    }
  },
}
