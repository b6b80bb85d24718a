//! Random trouble, by seed: whatever happens, every operation ends once and by its deadline, no write is repeated, and
//! afterwards everything works (`cluster-maps.md` 12: I1, I4, I5, I9).

use std::time::{Duration, Instant};

use settee::engine::{OpId, OpKind};
use settee::error::ErrorKind;
use settee::wire::{Opcode, Status};
use settee_sim::{Action, Edit, LinkId, Net, NetSettings, NodeId, Reachability, Rule};

use crate::common::{Client, append, config, ms, node, secs, small, start, upsert, value};

/// A generator that is the same on every machine (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

const NODES: usize = 4;
const KEYS: u64 = 12;
const OPCODES: [Opcode; 6] = [
    Opcode::GET,
    Opcode::SET,
    Opcode::APPEND,
    Opcode::HELLO,
    Opcode::GET_CLUSTER_CONFIG,
    Opcode::SELECT_BUCKET,
];

fn trouble(client: &mut Client, dice: &mut Dice) {
    let at = NodeId(dice.roll(NODES as u64) as usize);
    let opcode = OPCODES[dice.roll(OPCODES.len() as u64) as usize];
    let action = match dice.roll(24) {
        0 => return client.world.net.cut_all(node(at.0)),
        1 => {
            client.cluster().kill_node(at);
            return;
        }
        2 => {
            client.cluster().restart_node(at);
            return;
        }
        3 => {
            client.cluster().pause_node(at);
            return;
        }
        4 => {
            let now = client.now();
            client.cluster().resume_node(at, now);
            return;
        }
        5 => return client.cluster().rebalance(),
        6 => {
            client.cluster().move_vbuckets("default", 0..20, at);
            return;
        }
        7 => return client.world.net.set_reachability(node(at.0), Reachability::Swallow),
        8 => return client.world.net.set_reachability(node(at.0), Reachability::BlackHole),
        9 => return client.world.net.set_reachability(node(at.0), Reachability::Refuse),
        10 | 11 => return client.world.net.set_reachability(node(at.0), Reachability::Open),
        12 => {
            let last = client.world.net.links().count().saturating_sub(1);
            return client.world.net.cut(LinkId(last));
        }
        13 => {
            client.cluster().bump_revision("default");
            return;
        }
        14 => Action::DropAnswer,
        15 => Action::Ignore,
        16 => Action::Delay(ms(dice.roll(4000))),
        17 => Action::CloseWithoutAnswer,
        18 => Action::Raw((0..dice.roll(60)).map(|_| dice.roll(256) as u8).collect()),
        19 => Action::Truncate(dice.roll(30) as usize),
        20 => Action::Twice,
        21 => {
            let statuses = [Status::ETMPFAIL, Status::NOT_MY_VBUCKET, Status::NO_BUCKET, Status(0x4242)];
            Action::Status(statuses[dice.roll(4) as usize])
        }
        22 => Action::Edit(Box::new(Edit { opcode: Some(dice.roll(256) as u8), ..Edit::default() })),
        _ => Action::Edit(Box::new(Edit { opaque: Some(dice.roll(1 << 20) as u32), ..Edit::default() })),
    };
    client.cluster().add_rule(at, Rule::new(opcode, action).times(1 + dice.roll(3) as u32));
}

fn heal(client: &mut Client) {
    let now = client.now();
    client.cluster().clear_rules();
    for index in 0..NODES {
        client.world.net.set_reachability(node(index), Reachability::Open);
        client.cluster().resume_node(NodeId(index), now);
        if client.cluster().is_down(NodeId(index)) {
            client.cluster().restart_node(NodeId(index));
        }
    }
}

struct Asked {
    op: OpId,
    deadline: Instant,
    /// Key and text of an append.
    appended: Option<(String, String)>,
}

fn run(seed: u64) {
    let mut dice = Dice(seed);
    let mut settings = NetSettings::default();
    settings.jitter = ms(dice.roll(3));
    settings.max_segment = dice.roll(60) as usize;
    settings.seed = seed;
    let net = Net::new(NODES, small(), settings, start());
    let text = "couchbase://10.0.0.1,10.0.0.2,10.0.0.3";
    let mut client = Client::seeded(net, config(text), [seed as u8; 32]);
    client.world.max_write = dice.roll(3) as usize * 40;
    for key in 0..KEYS {
        client.put(&format!("a{key}"), b"");
    }
    let mut asked = Vec::new();
    for turn in 0..300 {
        if dice.roll(6) == 0 {
            trouble(&mut client, &mut dice);
        }
        let key = dice.roll(KEYS);
        let (name, kind, appended) = match dice.roll(3) {
            0 => (format!("k{key}"), OpKind::Get, None),
            1 => (format!("k{key}"), upsert(format!("{turn}").as_bytes()), None),
            _ => {
                let (name, text) = (format!("a{key}"), format!("<{turn}>"));
                (name.clone(), append(text.as_bytes()), Some((name, text)))
            }
        };
        let mut operation = client.operation(&name, kind);
        let timeout = ms(1 + dice.roll(3000));
        operation.timeout = Some(timeout);
        let deadline = client.now() + timeout;
        asked.push(Asked { op: client.submit(operation), deadline, appended });
        client.run_for(Duration::from_micros(dice.roll(30_000)));
        let now = client.now();
        for asked in &asked {
            let ended = client.outcome(asked.op).is_some();
            assert!(ended || asked.deadline > now, "seed {seed}: {:?} outlives its deadline", asked.op);
        }
    }
    heal(&mut client);
    client.run_for(secs(20));
    // A stream that was left in the middle of a frame shows it with the next answers only.
    for key in (0..KEYS).chain(0..KEYS) {
        let _ = client.get(&format!("k{key}"));
    }
    client.online();
    assert_eq!(client.engine().operations(), 0, "seed {seed}");
    assert_eq!(client.cluster().misrouted(), 0, "seed {seed}: a vbucket that is not the key's");
    for asked in &asked {
        let outcome = client.outcome(asked.op).expect("it has ended").clone();
        let Some((name, text)) = &asked.appended else { continue };
        let document = client.document(name).expect("it was there from the beginning");
        let document = String::from_utf8(document.to_vec()).expect("text");
        let times = document.matches(&text[..]).count();
        let allowed = match &outcome {
            Ok(_) => 1..=1,
            // Nothing was written, so it says.
            Err(error) if !error.may_have_happened() => 0..=0,
            Err(_) => 0..=1,
        };
        assert!(allowed.contains(&times), "seed {seed}: {text} stands {times} times in {name}: {outcome:?}");
        let ambiguous = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::AmbiguousTimeout);
        assert!(!ambiguous || outcome.expect_err("it failed").may_have_happened());
    }
    // I9: the newest map is in use, and everything works again.
    client.run_for(secs(15));
    let newest = client.cluster().revision();
    let bucket = client.bucket();
    assert_eq!(client.engine().bucket_map(bucket).expect("a map").rev.rev, newest, "seed {seed}");
    for key in 0..KEYS {
        let outcome = client.set(&format!("k{key}"), "last");
        assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
        assert_eq!(value(&client.get(&format!("k{key}"))), b"last", "seed {seed}");
    }
    // One connection per node, none leaked.
    for index in 0..NODES {
        assert_eq!(client.open_links(node(index)).len(), 1, "seed {seed}, node {index}");
    }
}

#[test]
fn whatever_happens_operations_end_once_and_no_write_is_repeated() {
    for seed in 0..12 {
        run(seed);
    }
}
