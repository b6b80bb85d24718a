"""Couchbase's own Python client against a cluster: every document operation, results compared.

    check.py CONNECTION_STRING [SETTEE]

User Administrator, password "password", bucket default, with the collection inventory.airline. SETTEE is the
program `settee`: documents are then read and written by both, and compared. Prints a line for each check, then the
count; the exit code is 1 if a check failed.
"""

import os
import subprocess
import sys
import time
from datetime import timedelta

from couchbase import exceptions as ex
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.durability import DurabilityLevel, ServerDurability
from couchbase.options import (AppendOptions, ClusterOptions, ClusterTimeoutOptions, DecrementOptions, DeltaValue,
                               GetAndLockOptions, GetAndTouchOptions, GetOptions, IncrementOptions, InsertOptions,
                               PrependOptions, RemoveOptions, ReplaceOptions, SignedInt64, TouchOptions, UpsertOptions)
from couchbase.transcoder import RawBinaryTranscoder, RawJSONTranscoder, RawStringTranscoder

USER, PASSWORD, BUCKET = "Administrator", "password", "default"
COLLECTIONS = [("_default", "_default"), ("inventory", "airline")]
LOCKED_CAS = 2**64 - 1
BYTES = bytes(range(256))
TEXT = "na\u00efve \u2708 text"
JSON_VALUES = [{"name": "Couch", "legs": [4, {"deep": None}], "\u00fc": "\U0001f6cb"}, [], [1, "two", 3.5], "text", "", 0,
               -12, 2**53, 1.25, True, False, None]
# The clock of expiries counts whole seconds: long enough to be there for the next request.
SHORT = timedelta(seconds=3)
IMPATIENT = timedelta(milliseconds=400)
STRING, BINARY, RAW_JSON = RawStringTranscoder(), RawBinaryTranscoder(), RawJSONTranscoder()
# The format that stands in the flags' first byte, the same for every client; the other bits are each client's own.
FORMATS = {"json": 0x02, "string": 0x04, "raw": 0x03}


class Report:
    """Counts checks and prints a line for each."""

    def __init__(self):
        self.passed = self.failed = 0
        self.where = ""

    def note(self, what, fault=None):
        if fault is None:
            self.passed += 1
            print(f"ok      {self.where}{what}")
        else:
            self.failed += 1
            print(f"FAILED  {self.where}{what}: {fault}")

    def same(self, what, got, wanted):
        self.note(what, None if got == wanted and type(got) is type(wanted) else f"{got!r}, not {wanted!r}")

    def true(self, what, condition):
        self.note(what, None if condition else "it is not so")

    def fails(self, what, kind, call):
        """`call` must raise `kind`."""
        try:
            result = call()
        except kind:
            self.note(f"{what}: {kind.__name__}")
        except Exception as error:  # any other kind is what this is to find
            self.note(what, f"{type(error).__name__}, not {kind.__name__}: {error}")
        else:
            self.note(what, f"{result!r}, not {kind.__name__}")

    def group(self, run, *arguments):
        """Runs checks that build on each other: an unforeseen error ends this group alone."""
        try:
            run(self, *arguments)
        except Exception as error:
            self.note(run.__name__, f"ended by {type(error).__name__}: {error}")


def reads(report, collection, key):
    report.fails("get of a missing document", ex.DocumentNotFoundException, lambda: collection.get(key("none")))
    report.same("exists, missing", collection.exists(key("none")).exists, False)
    written = collection.upsert(key("there"), {"a": 1})
    result = collection.get(key("there"))
    report.same("get", result.content_as[dict], {"a": 1})
    report.same("the CAS of the write is the CAS of the read", result.cas, written.cas)
    exists = collection.exists(key("there"))
    report.same("exists", exists.exists, True)
    report.same("the CAS of exists", exists.cas, written.cas)
    token = written.mutation_token()
    report.true("a mutation token", token is not None and token.bucket_name == BUCKET and token.sequence_number > 0)


def formats(report, collection, key):
    for number, value in enumerate(JSON_VALUES):
        collection.upsert(key(f"json{number}"), value)
        report.same(f"JSON {value!r}", collection.get(key(f"json{number}")).value, value)
    for name, transcoder, value in [("string", STRING, TEXT), ("empty string", STRING, ""), ("bytes", BINARY, BYTES),
                                    ("no bytes", BINARY, b""), ("raw JSON", RAW_JSON, b'{"a" : [ 1 ]}')]:
        collection.upsert(key(name), value, UpsertOptions(transcoder=transcoder))
        got = collection.get(key(name), GetOptions(transcoder=transcoder)).value
        report.same(name, got.encode() if isinstance(value, bytes) and isinstance(got, str) else got, value)
    report.fails("the flags keep a string from being read as JSON", ex.ValueFormatException,
                 lambda: collection.get(key("string")).value)
    report.fails("the flags keep bytes from being read as a string", ex.ValueFormatException,
                 lambda: collection.get(key("bytes"), GetOptions(transcoder=STRING)).value)
    for name, value in [("compressible", b"settee " * 100_000), ("incompressible", os.urandom(300_000))]:
        collection.upsert(key(name), value, UpsertOptions(transcoder=BINARY))
        got = collection.get(key(name), GetOptions(transcoder=BINARY)).value
        report.true(f"{len(value)} bytes, {name}", got == value)
    long_key = key("").ljust(246, "k")
    collection.upsert(long_key, "long")
    report.same("a key of 246 bytes", collection.get(long_key).value, "long")


def writes(report, collection, key):
    inserted = collection.insert(key("doc"), "first")
    report.same("insert", collection.get(key("doc")).value, "first")
    report.fails("insert again", ex.DocumentExistsException, lambda: collection.insert(key("doc"), "second"))
    report.fails("replace of a missing document", ex.DocumentNotFoundException,
                 lambda: collection.replace(key("none"), 1))
    replaced = collection.replace(key("doc"), "second", ReplaceOptions(cas=inserted.cas))
    report.same("replace with the right CAS", collection.get(key("doc")).value, "second")
    report.true("each write changes the CAS", replaced.cas != inserted.cas)
    report.fails("replace with an old CAS", ex.CasMismatchException,
                 lambda: collection.replace(key("doc"), 3, ReplaceOptions(cas=inserted.cas)))
    report.fails("remove with an old CAS", ex.CasMismatchException,
                 lambda: collection.remove(key("doc"), RemoveOptions(cas=inserted.cas)))
    report.same("after refusals", collection.get(key("doc")).value, "second")
    removed = collection.remove(key("doc"), RemoveOptions(cas=replaced.cas))
    report.true("remove answers a CAS", removed.cas not in (0, replaced.cas))
    report.fails("get of a removed document", ex.DocumentNotFoundException, lambda: collection.get(key("doc")))
    report.same("exists, removed", collection.exists(key("doc")).exists, False)
    report.fails("remove of a missing document", ex.DocumentNotFoundException, lambda: collection.remove(key("doc")))
    collection.insert(key("doc"), "again")
    report.same("insert after remove", collection.get(key("doc")).value, "again")


def locks(report, collection, key):
    report.fails("lock of a missing document", ex.DocumentNotFoundException,
                 lambda: collection.get_and_lock(key("none"), timedelta(seconds=5)))
    written = collection.upsert(key("locked"), "free")
    locked = collection.get_and_lock(key("locked"), timedelta(seconds=30))
    report.same("get_and_lock", locked.value, "free")
    report.true("a lock has a CAS of its own", locked.cas not in (written.cas, 0, LOCKED_CAS))
    seen = collection.get(key("locked"))
    report.same("a locked document is readable", (seen.value, seen.cas), ("free", LOCKED_CAS))
    for what, call in [
            ("upsert", lambda: collection.upsert(key("locked"), 1, UpsertOptions(timeout=IMPATIENT))),
            ("replace", lambda: collection.replace(key("locked"), 1, ReplaceOptions(timeout=IMPATIENT))),
            ("remove", lambda: collection.remove(key("locked"), RemoveOptions(timeout=IMPATIENT))),
            ("touch", lambda: collection.touch(key("locked"), SHORT, TouchOptions(timeout=IMPATIENT))),
            ("get_and_touch", lambda: collection.get_and_touch(key("locked"), SHORT,
                                                               GetAndTouchOptions(timeout=IMPATIENT))),
            ("get_and_lock", lambda: collection.get_and_lock(key("locked"), SHORT,
                                                             GetAndLockOptions(timeout=IMPATIENT))),
            ("append", lambda: collection.binary().append(key("locked"), b"1", AppendOptions(timeout=IMPATIENT)))]:
        report.fails(f"{what} of a locked document", ex.DocumentLockedException, call)
    report.fails("unlock with another CAS", ex.CasMismatchException,
                 lambda: collection.unlock(key("locked"), written.cas))
    collection.unlock(key("locked"), locked.cas)
    collection.upsert(key("locked"), "changed")
    report.same("upsert after unlock", collection.get(key("locked")).value, "changed")
    current = collection.get(key("locked")).cas
    report.fails("unlock of a free document", ex.DocumentNotLockedException,
                 lambda: collection.unlock(key("locked"), current))
    report.fails("unlock of a missing document", ex.DocumentNotFoundException,
                 lambda: collection.unlock(key("none"), current))
    holder = collection.get_and_lock(key("locked"), timedelta(seconds=30))
    collection.replace(key("locked"), "by the holder", ReplaceOptions(cas=holder.cas))
    collection.upsert(key("locked"), "free again")
    report.same("a write with the lock's CAS unlocks", collection.get(key("locked")).value, "free again")


def binary(report, collection, key):
    ops = collection.binary()
    collection.upsert(key("bytes"), b"b", UpsertOptions(transcoder=BINARY))
    appended = ops.append(key("bytes"), b"c\xff")
    ops.prepend(key("bytes"), b"\x00a", PrependOptions(cas=appended.cas))
    report.same("append and prepend, the flags kept", collection.get(key("bytes"), GetOptions(transcoder=BINARY)).value,
                b"\x00abc\xff")
    for what, call in [("append", ops.append), ("prepend", ops.prepend)]:
        report.fails(f"{what} to a missing document", ex.DocumentNotFoundException,
                     lambda: call(key("none"), b"x"))
    for what, call, options in [("append", ops.append, AppendOptions), ("prepend", ops.prepend, PrependOptions)]:
        report.fails(f"{what} with an old CAS", ex.CasMismatchException,
                     lambda: call(key("bytes"), b"x", options(cas=appended.cas)))
    report.same("increment makes the initial value",
                ops.increment(key("count"), IncrementOptions(initial=SignedInt64(10))).content, 10)
    report.same("increment by 1", ops.increment(key("count")).content, 11)
    report.same("increment by 100", ops.increment(key("count"), IncrementOptions(delta=DeltaValue(100))).content, 111)
    report.same("decrement by 12", ops.decrement(key("count"), DecrementOptions(delta=DeltaValue(12))).content, 99)
    report.same("decrement stops at 0",
                ops.decrement(key("count"), DecrementOptions(delta=DeltaValue(1000))).content, 0)
    report.same("decrement makes the initial value",
                ops.decrement(key("down"), DecrementOptions(initial=SignedInt64(7))).content, 7)
    ops.increment(key("count"), IncrementOptions(delta=DeltaValue(42)))
    report.same("a counter is a JSON number", collection.get(key("count")).value, 42)
    report.fails("increment of a missing document, none to be made", ex.DocumentNotFoundException,
                 lambda: ops.increment(key("none"), IncrementOptions(initial=SignedInt64(-1))))
    collection.upsert(key("word"), "word")
    report.fails("increment of a word", ex.DeltaInvalidException, lambda: ops.increment(key("word")))


def durability(report, collection, key):
    for level in [DurabilityLevel.MAJORITY, DurabilityLevel.MAJORITY_AND_PERSIST_TO_ACTIVE,
                  DurabilityLevel.PERSIST_TO_MAJORITY]:
        durable, name = ServerDurability(level), key(level.name)
        collection.upsert(name, 0, UpsertOptions(durability=durable))
        collection.replace(name, 1, ReplaceOptions(durability=durable, expiry=timedelta(hours=1)))
        report.same(f"{level.name}: increment",
                    collection.binary().increment(name, IncrementOptions(durability=durable)).content, 2)
        collection.binary().append(name, b"0", AppendOptions(durability=durable))
        collection.binary().prepend(name, b"1", PrependOptions(durability=durable))
        report.same(f"{level.name}: upsert, replace, append, prepend", collection.get(name).value, 120)
        collection.remove(name, RemoveOptions(durability=durable))
        collection.insert(name, "new", InsertOptions(durability=durable))
        report.same(f"{level.name}: remove, insert", collection.get(name).value, "new")


def expiring(report, collection, key):
    """Writes documents that are to go or stay; `expired` looks later."""
    upsert, ops = collection.upsert, collection.binary()
    upsert(key("gone upsert"), 1, UpsertOptions(expiry=SHORT))
    collection.insert(key("gone insert"), 1, InsertOptions(expiry=SHORT))
    for name in ["gone replace", "gone touch", "gone get_and_touch", "stay append"]:
        upsert(key(name), "value")
    collection.replace(key("gone replace"), 2, ReplaceOptions(expiry=SHORT))
    touched = collection.touch(key("gone touch"), SHORT)
    report.true("touch answers a CAS", touched.cas != 0)
    report.same("get_and_touch", collection.get_and_touch(key("gone get_and_touch"), SHORT).value, "value")
    ops.increment(key("gone increment"), IncrementOptions(initial=SignedInt64(1), expiry=SHORT))
    for name in ["gone upsert that preserves", "gone replace that preserves", "gone append", "stay upsert",
                 "stay replace", "stay touch", "stay get_and_touch"]:
        upsert(key(name), "value", UpsertOptions(expiry=SHORT))
    upsert(key("gone upsert that preserves"), 2, UpsertOptions(preserve_expiry=True))
    collection.replace(key("gone replace that preserves"), 2, ReplaceOptions(preserve_expiry=True))
    ops.append(key("gone append"), b"2")
    upsert(key("stay upsert"), 2)
    collection.replace(key("stay replace"), 2)
    collection.touch(key("stay touch"), timedelta(0))
    collection.get_and_touch(key("stay get_and_touch"), timedelta(0))
    ops.append(key("stay append"), b"2")
    upsert(key("stay for 40 days"), 2, UpsertOptions(expiry=timedelta(days=40)))
    report.fails("touch of a missing document", ex.DocumentNotFoundException,
                 lambda: collection.touch(key("none"), SHORT))
    report.fails("get_and_touch of a missing document", ex.DocumentNotFoundException,
                 lambda: collection.get_and_touch(key("none"), SHORT))


def expired(report, collection, key):
    for name in ["upsert", "insert", "replace", "touch", "get_and_touch", "increment", "upsert that preserves",
                 "replace that preserves", "append"]:
        report.fails(f"expired: {name}", ex.DocumentNotFoundException, lambda: collection.get(key(f"gone {name}")))
    for name in ["upsert", "replace", "touch", "get_and_touch", "append", "for 40 days"]:
        report.same(f"not expired: {name}", collection.exists(key(f"stay {name}")).exists, True)


def both_ways(report, collection, key, settee):
    """What one client writes the other reads, value and flags."""
    kinds = [("json", b'{"by": ["both", 1]}', {"by": ["both", 1]}, None), ("string", TEXT.encode(), TEXT, STRING),
             ("raw", BYTES, BYTES, BINARY)]
    for kind, stored, value, transcoder in kinds:
        name, options = key(f"theirs {kind}"), {} if transcoder is None else {"transcoder": transcoder}
        collection.upsert(name, value, UpsertOptions(**options))
        got = settee(["get", "--meta", name])
        report.same(f"settee reads {kind} of Python", got.stdout, stored)
        report.true(f"settee reads the flags of {kind}", f"flags 0x{FORMATS[kind]:02x}" in got.stderr.decode())
        name = key(f"ours {kind}")
        settee(["set", f"--{kind}", name, "-"], stored)
        report.same(f"Python reads {kind} of settee", collection.get(name, GetOptions(**options)).value, value)
    settee(["rm", key("theirs json")])
    report.same("Python sees what settee removed", collection.exists(key("theirs json")).exists, False)


def refusals(report, connection_string, bucket):
    """Errors about more than one document."""
    report.fails("a collection that does not exist", ex.UnAmbiguousTimeoutException,
                 lambda: bucket.scope("inventory").collection("none").get("k", GetOptions(timeout=IMPATIENT)))
    report.fails("a scope that does not exist", ex.ScopeNotFoundException,
                 lambda: bucket.scope("none").collection("airline").get("k", GetOptions(timeout=IMPATIENT)))
    report.fails("a wrong password", ex.AuthenticationException, lambda: connect(connection_string, "wrong"))


def connect(connection_string, password=PASSWORD):
    timeouts = ClusterTimeoutOptions(connect_timeout=timedelta(seconds=20), bootstrap_timeout=timedelta(seconds=20))
    options = ClusterOptions(PasswordAuthenticator(USER, password), timeout_options=timeouts)
    return Cluster.connect(connection_string, options)


def program(path, connection_string, scope, name):
    def call(arguments, stdin=None):
        command = [path, arguments[0], "-c", connection_string, "--collection", f"{scope}.{name}", *arguments[1:]]
        # Without the variables that the program reads its connection from.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SETTEE_")}
        result = subprocess.run(command, input=stdin or b"", capture_output=True, timeout=30, env=environment)
        if result.returncode != 0:
            raise RuntimeError(f"settee {arguments[0]} ended with {result.returncode}: {result.stderr.decode()}")
        return result
    return call


def main():
    connection_string, settee = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    report, run = Report(), f"python-{time.time_ns():x}"
    cluster = connect(connection_string)
    bucket = cluster.bucket(BUCKET)

    def each_collection(group, *more):
        for scope, name in COLLECTIONS:
            report.where = f"{scope}.{name} "
            arguments = [argument(scope, name) for argument in more]
            prefix = f"{run}-{group.__name__.replace('expired', 'expiring')}"
            report.group(group, bucket.scope(scope).collection(name), lambda text: f"{prefix}-{text}", *arguments)
        report.where = ""

    each_collection(expiring)
    all_written = time.monotonic()
    for group in [reads, formats, writes, locks, binary, durability]:
        each_collection(group)
    if settee:
        each_collection(both_ways, lambda scope, name: program(settee, connection_string, scope, name))
    report.group(refusals, connection_string, bucket)
    time.sleep(max(0.0, all_written + SHORT.total_seconds() + 1.2 - time.monotonic()))
    each_collection(expired)
    cluster.close()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
