//! Operations of every kind.

use std::time::Duration;

use bytes::Bytes;
use settee::engine::{
    CollectionRef, Concat, Count, Durability, OpKind, Operation, RetryStrategy, Store, StoreMode,
};
use settee::expiry::Expiry;
use settee::ids::Cas;

use super::choices::Choices;

/// Pauses of the script and time-outs of operations.
pub(super) const TIMES: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::ZERO,
    Duration::from_micros(1),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(501),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(11),
    Duration::from_secs(61),
    Duration::from_secs(3600),
    Duration::from_nanos(1),
];

pub(super) fn operation(u: &mut Choices<'_>, collection: CollectionRef) -> Operation {
    let key = match u.byte() {
        number @ 0..=199 => Bytes::from(format!("key{}", number % 16)),
        number @ 200..=210 => Bytes::from(vec![b'k'; 240 + usize::from(number - 200)]),
        211..=215 => Bytes::new(),
        _ => Bytes::copy_from_slice(u.bytes(20)),
    };
    let kind = kind(u);
    let timeout = match u.byte() {
        0..=199 => None,
        200 => Some(Duration::MAX),
        _ => Some(u.of(&TIMES)),
    };
    let retry = if u.one_in(4) { RetryStrategy::FailFast } else { RetryStrategy::BestEffort };
    Operation { collection, key: key.into(), kind, timeout, retry }
}

fn kind(u: &mut Choices<'_>) -> OpKind {
    match u.below(16) {
        0 | 1 => OpKind::Get,
        2 => OpKind::GetAndTouch { expiry: expiry(u) },
        3 => OpKind::GetAndLock { seconds: u32::from(u.byte()) },
        4 => OpKind::Unlock { cas: cas(u) },
        5 => OpKind::Exists,
        6 => OpKind::Touch { expiry: expiry(u) },
        7..=9 => OpKind::Store(Store {
            mode: u.of(&[StoreMode::Upsert, StoreMode::Insert, StoreMode::Replace]),
            value: value(u),
            flags: u.of(&[0x0200_0000, 0, 0x0300_0000, u32::MAX]),
            expiry: expiry(u),
            preserve_expiry: u.one_in(4),
            cas: cas(u),
            durability: durability(u),
        }),
        10 => OpKind::Remove { cas: cas(u), durability: durability(u) },
        11 => OpKind::Append(concat(u)),
        12 => OpKind::Prepend(concat(u)),
        13 => OpKind::Increment(count(u)),
        14 => OpKind::Decrement(count(u)),
        _ => OpKind::Get,
    }
}

fn concat(u: &mut Choices<'_>) -> Concat {
    Concat { value: value(u), cas: cas(u), durability: durability(u) }
}

fn count(u: &mut Choices<'_>) -> Count {
    Count {
        delta: u64::from(u.byte()),
        initial: u.one_in(2).then_some(7),
        expiry: expiry(u),
        durability: durability(u),
    }
}

/// Short ones, compressible ones, and some that are lent instead of copied.
fn value(u: &mut Choices<'_>) -> Bytes {
    match u.byte() {
        0..=99 => Bytes::copy_from_slice(u.bytes(64)),
        number @ 100..=199 => Bytes::from(vec![b'v'; usize::from(number)]),
        number @ 200..=239 => Bytes::from(
            (0..8_180 + u32::from(number))
                .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8)
                .collect::<Vec<_>>(),
        ),
        _ => Bytes::new(),
    }
}

fn expiry(u: &mut Choices<'_>) -> Expiry {
    match u.byte() {
        0..=199 => Expiry::NONE,
        200..=229 => Expiry::after(Duration::from_secs(60), 0).expect("a minute"),
        _ => Expiry::at(u64::from(u32::MAX)).expect("the last second"),
    }
}

fn cas(u: &mut Choices<'_>) -> Cas {
    Cas(u64::from(u.byte() / 128))
}

fn durability(u: &mut Choices<'_>) -> Durability {
    match u.byte() {
        0..=199 => Durability::None,
        200..=219 => Durability::Majority,
        220..=239 => Durability::MajorityAndPersistToActive,
        _ => Durability::PersistToMajority,
    }
}
