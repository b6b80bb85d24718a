use super::*;

fn clock() -> Clock {
    Clock::new(Instant::now(), Duration::from_secs(1_700_000_000))
}

fn write(value: &[u8]) -> Write<'_> {
    Write { value, datatype: json_bit(value), flags: 7, expiry: 0, cas: 0, preserve_ttl: false }
}

fn pass(clock: &mut Clock, seconds: u64) {
    clock.set(clock.now() + Duration::from_secs(seconds));
}

#[test]
fn op_8_set_add_replace_on_present_and_missing() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    let w = write(b"1");
    assert_eq!(vb.store(Mode::Replace, b"\0k", &w, &mut clock), Err(Status::KEY_ENOENT));
    assert_eq!(vb.store(Mode::Set, b"\0k", &Write { cas: 5, ..w }, &mut clock), Err(Status::KEY_ENOENT));
    let first = vb.store(Mode::Add, b"\0k", &w, &mut clock).unwrap();
    assert_eq!(vb.store(Mode::Add, b"\0k", &w, &mut clock), Err(Status::KEY_EEXISTS));
    assert_eq!(
        vb.store(Mode::Replace, b"\0k", &Write { cas: first.cas + 1, ..w }, &mut clock),
        Err(Status::KEY_EEXISTS)
    );
    let second = vb.store(Mode::Set, b"\0k", &Write { cas: first.cas, ..w }, &mut clock).unwrap();
    assert!(second.cas > first.cas && second.seqno == first.seqno + 1);
    assert_eq!(vb.extend(End::Back, b"\0none", b"x", 0, &mut clock), Err(Status::NOT_STORED));
    assert_eq!(vb.delete(b"\0none", 0, &mut clock), Err(Status::KEY_ENOENT));
}

#[test]
fn op_7_delete_leaves_a_tombstone_with_a_new_cas() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    let stored = vb.store(Mode::Set, b"\0k", &write(b"1"), &mut clock).unwrap();
    assert_eq!(vb.delete(b"\0k", stored.cas + 1, &mut clock), Err(Status::KEY_EEXISTS));
    let deleted = vb.delete(b"\0k", stored.cas, &mut clock).unwrap();
    assert!(deleted.cas > stored.cas && deleted.seqno == 2);
    assert!(vb.live(b"\0k", &mut clock).is_none());
    let tombstone = vb.any(b"\0k", &mut clock).unwrap();
    assert!(tombstone.deleted && tombstone.cas == deleted.cas && tombstone.value.is_empty());
    assert!(vb.store(Mode::Add, b"\0k", &write(b"2"), &mut clock).unwrap().cas > deleted.cas);
}

#[test]
fn expiry_is_lazy_and_exact_to_the_second() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    vb.store(Mode::Set, b"\0k", &Write { expiry: 10, ..write(b"1") }, &mut clock).unwrap();
    pass(&mut clock, 9);
    assert!(vb.live(b"\0k", &mut clock).is_some());
    pass(&mut clock, 1);
    assert!(vb.live(b"\0k", &mut clock).is_none());
    assert_eq!(vb.high_seqno(), 2, "expiring is a mutation");
    assert!(vb.store(Mode::Add, b"\0k", &write(b"2"), &mut clock).is_ok());
    let past = Write { expiry: 1_600_000_000, ..write(b"1") };
    vb.store(Mode::Set, b"\0p", &past, &mut clock).unwrap();
    assert!(vb.live(b"\0p", &mut clock).is_none(), "an instant in the past expires at once");
}

#[test]
fn mi_6_a_write_removes_the_expiry_unless_told_to_preserve_it() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    vb.store(Mode::Set, b"\0k", &Write { expiry: 10, ..write(b"1") }, &mut clock).unwrap();
    let kept = Write { preserve_ttl: true, expiry: 99, ..write(b"2") };
    vb.store(Mode::Set, b"\0k", &kept, &mut clock).unwrap();
    assert_eq!(vb.live(b"\0k", &mut clock).unwrap().expiry, clock.unix_secs() + 10);
    vb.store(Mode::Set, b"\0k", &write(b"3"), &mut clock).unwrap();
    assert_eq!(vb.live(b"\0k", &mut clock).unwrap().expiry, 0);
}

#[test]
fn op_9_locked_documents() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    vb.store(Mode::Set, b"\0k", &write(b"1"), &mut clock).unwrap();
    let lock_cas = vb.lock(b"\0k", 5, &mut clock).unwrap().cas;
    assert_eq!(vb.live(b"\0k", &mut clock).unwrap().visible_cas(&clock), u64::MAX);
    assert_eq!(vb.lock(b"\0k", 5, &mut clock).err(), Some(Status::LOCKED));
    for cas in [0, lock_cas + 1] {
        assert_eq!(
            vb.store(Mode::Set, b"\0k", &Write { cas, ..write(b"2") }, &mut clock),
            Err(Status::LOCKED)
        );
        assert_eq!(vb.delete(b"\0k", cas, &mut clock), Err(Status::LOCKED));
        assert_eq!(vb.extend(End::Front, b"\0k", b"2", cas, &mut clock), Err(Status::LOCKED));
    }
    assert_eq!(vb.touch(b"\0k", 0, &mut clock).err(), Some(Status::LOCKED));
    let counter = Counter { increment: true, delta: 1, initial: 0, expiry: 0 };
    assert_eq!(vb.count(b"\0k", counter, false, &mut clock), Err(Status::LOCKED));
    assert_eq!(vb.unlock(b"\0k", lock_cas + 1, &mut clock), Err(Status::LOCKED));
    let stored = vb.store(Mode::Set, b"\0k", &Write { cas: lock_cas, ..write(b"2") }, &mut clock).unwrap();
    assert_eq!(vb.live(b"\0k", &mut clock).unwrap().visible_cas(&clock), stored.cas, "the write unlocked it");
    assert_eq!(vb.unlock(b"\0k", lock_cas, &mut clock), Err(Status::NOT_LOCKED));
}

#[test]
fn op_10_lock_times() {
    for (asked, lasts) in [(0, 15), (31, 15), (30, 30), (1, 1)] {
        let (mut vb, mut clock) = (Vbucket::new(1), clock());
        vb.store(Mode::Set, b"\0k", &write(b"1"), &mut clock).unwrap();
        vb.lock(b"\0k", asked, &mut clock).unwrap();
        pass(&mut clock, lasts - 1);
        assert_eq!(vb.lock(b"\0k", 1, &mut clock).err(), Some(Status::LOCKED), "asked for {asked}");
        pass(&mut clock, 1);
        assert!(vb.lock(b"\0k", 1, &mut clock).is_ok(), "asked for {asked}");
    }
}

#[test]
fn op_11_counters() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    let up = Counter { increment: true, delta: 5, initial: 10, expiry: u32::MAX };
    assert_eq!(vb.count(b"\0c", up, false, &mut clock), Err(Status::KEY_ENOENT));
    let make = Counter { expiry: 60, ..up };
    assert_eq!(vb.count(b"\0c", make, false, &mut clock).unwrap().0, 10);
    let doc = vb.live(b"\0c", &mut clock).unwrap().clone();
    assert_eq!((doc.value, doc.flags, doc.expiry), (b"10".to_vec(), 0, clock.unix_secs() + 60));
    assert_eq!(vb.count(b"\0c", Counter { expiry: 0, ..up }, false, &mut clock).unwrap().0, 15);
    assert_eq!(vb.live(b"\0c", &mut clock).unwrap().expiry, clock.unix_secs() + 60, "the expiry stays");
    let down = Counter { increment: false, delta: 100, ..up };
    assert_eq!(vb.count(b"\0c", down, false, &mut clock).unwrap().0, 0, "DECREMENT stops at 0");
    let wrap = Counter { delta: u64::MAX, ..up };
    assert_eq!(vb.count(b"\0c", wrap, false, &mut clock).unwrap().0, u64::MAX);
    assert_eq!(vb.count(b"\0c", up, false, &mut clock).unwrap().0, 4, "INCREMENT wraps");
    vb.store(Mode::Set, b"\0t", &write(b"text"), &mut clock).unwrap();
    assert_eq!(vb.count(b"\0t", up, false, &mut clock), Err(Status::DELTA_BADVAL));
}

#[test]
fn op_12_touch_sets_and_removes_the_expiry_and_changes_the_cas() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    let stored = vb.store(Mode::Set, b"\0k", &write(b"1"), &mut clock).unwrap();
    let touched = vb.touch(b"\0k", 100, &mut clock).unwrap().clone();
    assert!(touched.cas > stored.cas && touched.expiry == clock.unix_secs() + 100);
    assert_eq!(vb.touch(b"\0k", 0, &mut clock).unwrap().expiry, 0);
    assert_eq!(vb.touch(b"\0none", 0, &mut clock).err(), Some(Status::KEY_ENOENT));
}

#[test]
fn op_13_append_keeps_flags_and_expiry_and_finds_the_datatype_anew() {
    let (mut vb, mut clock) = (Vbucket::new(1), clock());
    vb.store(Mode::Set, b"\0k", &Write { expiry: 50, ..write(b"{}") }, &mut clock).unwrap();
    assert_eq!(vb.live(b"\0k", &mut clock).unwrap().datatype, JSON);
    vb.extend(End::Back, b"\0k", b"!", 0, &mut clock).unwrap();
    vb.extend(End::Front, b"\0k", b"?", 0, &mut clock).unwrap();
    let doc = vb.live(b"\0k", &mut clock).unwrap();
    assert_eq!((&doc.value[..], doc.datatype, doc.flags), (&b"?{}!"[..], 0, 7));
    assert_eq!(doc.expiry, 1_700_000_050);
}

#[test]
fn snappy_bombs_and_broken_blocks_are_not_inflated() {
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    assert_eq!(inflate(&bomb, SNAPPY), None);
    assert_eq!(inflate(b"\x10oops", SNAPPY), None);
    let block = snap::raw::Encoder::new().compress_vec(&[b'x'; 1000]).unwrap();
    assert_eq!(inflate(&block, SNAPPY).unwrap(), vec![b'x'; 1000]);
}

#[test]
fn json_is_found_by_looking() {
    for (body, bit) in [
        (&b"{\"a\":1}"[..], JSON),
        (b" [1,2] ", JSON),
        (b"12", JSON),
        (b"\"text\"", JSON),
        (b"{\"a\":", 0),
        (b"text", 0),
        (b"", 0),
        (b"{}x", 0),
    ] {
        assert_eq!(json_bit(body), bit, "{}", String::from_utf8_lossy(body));
    }
}
