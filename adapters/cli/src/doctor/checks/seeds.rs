//! What each seed answered: TLS, key-value connections, the manager (D-14 to D-16, D-26 to D-28).

use settee::engine::Stage;
use settee::error::ErrorKind;
use settee::tls::CertificateFacts;

use crate::doctor::facts::{Attempt, Facts, SeedFacts, TlsFacts, TlsOutcome, place};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::plural;

const DAY: i64 = 86_400;
/// A certificate that ends sooner is worth a warning.
const SOON: i64 = 30 * DAY;
/// Features whose absence a program notices.
const NOTABLE: [&str; 3] = ["COLLECTIONS", "SYNC_REPLICATION", "XERROR"];
/// Clocks may differ by so many seconds.
const SKEW: i64 = 60;

pub(super) fn check(facts: &Facts, out: &mut Vec<Finding>) {
    for seed in &facts.seeds {
        for tls in &seed.tls {
            handshake(facts, seed, tls, out);
        }
        key_value(facts, seed, out);
        manager(facts, seed, out);
    }
    no_source(facts, out);
    clocks(facts, out);
    credentials(facts, out);
    unreachable(facts, out);
}

/// D-14.
fn handshake(facts: &Facts, seed: &SeedFacts, tls: &TlsFacts, out: &mut Vec<Finding>) {
    let subject = place(&seed.at.host, tls.port);
    let leaf = tls.chain.first();
    let shown = leaf.map(|leaf| {
        let mut names: Vec<&str> = Vec::new();
        for name in &leaf.names {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let names = if names.is_empty() { "no names".to_owned() } else { names.join(", ") };
        let left = lifetime(leaf.not_after - facts.unix_time);
        let signed = if leaf.self_issued { " (self-signed)" } else { "" };
        format!("certificate of `{}` for {names}, issued by `{}`{signed}, {left}", leaf.subject, leaf.issuer)
    });
    match &tls.outcome {
        TlsOutcome::Done { version, suite } => {
            let certificate = shown.unwrap_or_else(|| "no certificate shown".to_owned());
            out.push(Finding::info("D-14", &subject, format!("{version}, {suite}; {certificate}")));
        }
        TlsOutcome::Failed(text) => {
            let shown = shown.map(|shown| format!("; {shown}")).unwrap_or_default();
            let advice = handshake_advice(facts, seed, leaf, text);
            out.push(Finding::error("D-14", &subject, format!("{text}{shown}")).advise(advice));
            return;
        }
    }
    for certificate in &tls.chain {
        let left = certificate.not_after - facts.unix_time;
        if (0..SOON).contains(&left) {
            let text = format!(
                "the certificate of `{}` ends in {}",
                certificate.subject,
                plural(usize::try_from(left / DAY).unwrap_or(0), "day")
            );
            let advice = "renew it before then: connections fail from that day on";
            out.push(Finding::warn("D-14", &subject, text).advise(advice));
        }
    }
}

/// What is left of a certificate's time, given in seconds.
fn lifetime(left: i64) -> String {
    let days = usize::try_from(left.unsigned_abs() / DAY.unsigned_abs()).unwrap_or(usize::MAX);
    match (left < 0, days) {
        (false, _) => format!("{} left", plural(days, "day")),
        (true, 0) => "ended less than a day ago".to_owned(),
        (true, _) => format!("ended {} ago", plural(days, "day")),
    }
}

/// What to do about a handshake that failed, beyond what its text says.
fn handshake_advice(facts: &Facts, seed: &SeedFacts, leaf: Option<&CertificateFacts>, text: &str) -> String {
    let Some(leaf) = leaf else {
        return "check that this port speaks TLS: 11207 and 18091 do, 11210 and 8091 do not".to_owned();
    };
    if leaf.not_after < facts.unix_time {
        return "renew the node's certificate; if it is valid, set the clock of this machine".to_owned();
    }
    if leaf.not_before > facts.unix_time {
        return "set the clock of this machine; if it is right, wait or replace the certificate".to_owned();
    }
    let host = seed.at.host.trim_end_matches('.');
    let named = leaf.names.iter().any(|name| covers(name, host));
    if !named && host.eq_ignore_ascii_case("localhost") {
        return "connect to 127.0.0.1: a node's own certificate has the address, and not the name localhost"
            .to_owned();
    }
    if !named {
        let known = leaf.names.first().map_or(String::new(), |name| format!(" ({name})"));
        return format!(
            "connect by a name that the certificate has{known}, or add `{host}` to its alternative names"
        );
    }
    if text.contains("demands a client certificate") {
        return "log in with --client-cert and --client-key".to_owned();
    }
    if !text.contains("not trusted") {
        return String::new();
    }
    if facts.given.capella {
        return "check what stands between here and Capella: its certificates need no setting".to_owned();
    }
    "give the CA that signed it with --ca FILE: of a self-managed cluster it is on its page Security"
        .to_owned()
}

/// Whether a name of a certificate stands for a host; for advice alone.
fn covers(name: &str, host: &str) -> bool {
    name.eq_ignore_ascii_case(host)
        || name
            .strip_prefix("*.")
            .zip(host.split_once('.'))
            .is_some_and(|(domain, (_, of))| domain.eq_ignore_ascii_case(of))
}

/// D-15.
fn key_value(facts: &Facts, seed: &SeedFacts, out: &mut Vec<Finding>) {
    let (Some(port), Some(kv)) = (seed.at.kv, &seed.kv) else { return };
    let subject = place(&seed.at.host, port);
    match &kv.outcome {
        Ok(map) => {
            let login = match &kv.mechanism {
                Some(mechanism) => format!("logged in by {mechanism}"),
                None => "logged in by certificate".to_owned(),
            };
            let absent: Vec<&str> =
                NOTABLE.into_iter().filter(|name| !kv.features.iter().any(|one| one == name)).collect();
            let absent =
                if absent.is_empty() { String::new() } else { format!(", without {}", absent.join(", ")) };
            let features = kv.features.len();
            let text = format!(
                "map revision {} in {:.1?}; {login}; {features} features granted{absent}",
                map.rev.rev, kv.elapsed
            );
            out.push(Finding::info("D-15", subject, text));
        }
        Err(attempt) => {
            // What is wrong with TLS stands there already.
            let told =
                seed.tls.iter().any(|tls| tls.port == port && matches!(tls.outcome, TlsOutcome::Failed(_)));
            let text = if told { "the handshake".to_owned() } else { attempt.text.clone() };
            let text = format!("no map: failed at {}: {text}", attempt.stage);
            out.push(Finding::error("D-15", subject, text).advise(attempt_advice(facts, attempt)));
        }
    }
}

fn attempt_advice(facts: &Facts, attempt: &Attempt) -> &'static str {
    match attempt.stage {
        Stage::Resolve => "check the host name, and the name server of this machine",
        Stage::Tcp if facts.given.capella => {
            "add the address of this machine to the cluster's allowed IP addresses, and check that the cluster is on"
        }
        Stage::Tcp => {
            "check that the data service runs there, that the port is right, and that no firewall is in between"
        }
        Stage::Tls => "see the certificate above",
        Stage::Hello if facts.given.tls => "check that this is the port of the data service with TLS (11207)",
        Stage::Hello => {
            "check that this is the port of the data service without TLS (11210): where TLS is spoken (11207), write couchbases://"
        }
        Stage::Auth => "check user and password, or the client certificate",
        Stage::Bucket => "create the bucket, or grant this user access to it",
        Stage::Map if facts.given.bucket.is_some() => {
            "if the bucket is a memcached one, begin with the manager, as in couchbase://host:8091=http/bucket; else the node may be starting up or may not be part of a cluster yet: look at its page Servers"
        }
        _ => "the node may be starting up or may not be part of a cluster yet: look at its page Servers",
    }
}

/// D-16.
fn manager(facts: &Facts, seed: &SeedFacts, out: &mut Vec<Finding>) {
    let Some(http) = &seed.http else { return };
    let subject = place(&seed.at.host, http.port);
    match &http.outcome {
        Ok(map) => {
            let text = format!("map revision {} over HTTP in {:.1?}", map.rev.rev, http.elapsed);
            out.push(Finding::info("D-16", subject, text));
        }
        Err(attempt) => {
            let port = if facts.given.tls { 18091 } else { 8091 };
            let advice = format!(
                "open port {port} for this machine: maps come from there where key-value connections give none, and management does"
            );
            let text = format!("no map over HTTP: failed at {}: {}", attempt.stage, attempt.text);
            out.push(Finding::warn("D-16", subject, text).advise(advice));
        }
    }
}

/// D-16, of all sources together.
fn no_source(facts: &Facts, out: &mut Vec<Finding>) {
    let tried = facts.seeds.iter().any(|seed| seed.kv.is_some() || seed.http.is_some());
    if !tried || facts.any_map().is_some() {
        return;
    }
    let (text, advice) = match &facts.whole.map {
        Some(Err(failure)) => (failure.text.clone(), failure.hints.join("; ")),
        _ => (
            "no seed gave a cluster map, neither over key-value connections nor over HTTP".to_owned(),
            String::new(),
        ),
    };
    let advice =
        if advice.is_empty() { "deal with the errors of the seeds first".to_owned() } else { advice };
    out.push(Finding::error("D-16", "", text).advise(advice));
}

/// D-26.
fn clocks(facts: &Facts, out: &mut Vec<Finding>) {
    let advice = "set the clocks of this machine and of the cluster's nodes by NTP: certificates, tokens and expiry depend on them";
    if let Some((server, here)) = facts.pool.as_ref().and_then(|pool| pool.date)
        && (server - here).abs() > SKEW
    {
        let from = facts.pool.as_ref().map_or("", |pool| pool.from.as_str());
        let way = if server > here { "ahead of" } else { "behind" };
        let text = format!("the server's clock is {} s {way} this machine's", (server - here).abs());
        out.push(Finding::warn("D-26", from, text).advise(advice));
    }
    for seed in &facts.seeds {
        for tls in &seed.tls {
            let ahead = tls.chain.iter().map(|one| one.not_before - facts.unix_time).max().unwrap_or(0);
            if ahead > SKEW {
                let text = format!("a certificate begins {ahead} s after the time of this machine's clock");
                out.push(Finding::warn("D-26", place(&seed.at.host, tls.port), text).advise(advice));
            }
        }
    }
}

/// D-27.
fn credentials(facts: &Facts, out: &mut Vec<Finding>) {
    let attempts =
        facts.seeds.iter().filter_map(|seed| Some((seed, seed.kv.as_ref()?.outcome.as_ref().err()?)));
    let refused: Vec<(&SeedFacts, &Attempt)> = attempts
        .filter(|(_, attempt)| {
            attempt.kind == Some(ErrorKind::AuthenticationFailure) || attempt.stage == Stage::Auth
        })
        .collect();
    let Some((seed, attempt)) = refused.first() else { return };
    let everywhere = refused.len() == facts.seeds.len();
    let subject =
        if everywhere { String::new() } else { place(&seed.at.host, seed.at.kv.unwrap_or_default()) };
    let mechanism = attempt.text.contains("no common authentication mechanism");
    let (text, advice) = if mechanism {
        (
            "no mechanism of logging in suits both sides",
            if facts.given.tls {
                "see which mechanisms the server offers, and what allowed_sasl_mechanisms says"
            } else {
                "users of LDAP or PAM can log in by PLAIN alone, which is sent over TLS: use couchbases://"
            },
        )
    } else if !everywhere {
        (
            "some nodes refuse the credentials and others do not",
            "check that all seeds belong to one cluster, and that the user is known there",
        )
    } else if facts.given.tls {
        (
            "the credentials are refused",
            "check user and password; a user of the cluster's management is not one of Capella's organisation",
        )
    } else {
        (
            "the credentials are refused",
            "check user and password; users of LDAP or PAM can log in by PLAIN alone: use couchbases://",
        )
    };
    out.push(Finding::error("D-27", subject, format!("{text}: {}", attempt.text)).advise(advice));
}

/// D-28.
fn unreachable(facts: &Facts, out: &mut Vec<Finding>) {
    let early = |attempt: &Attempt| attempt.stage <= Stage::Tcp;
    let tried: Vec<bool> = facts
        .seeds
        .iter()
        .flat_map(|seed| {
            let kv = seed.kv.as_ref().map(|kv| kv.outcome.as_ref().err().is_some_and(early));
            let http = seed.http.as_ref().map(|http| http.outcome.as_ref().err().is_some_and(early));
            [kv, http]
        })
        .flatten()
        .collect();
    if tried.is_empty() || tried.contains(&false) {
        return;
    }
    let ports = if facts.given.tls {
        "11207 (key-value), 18091 (manager), 18092 to 18095 (views, query, search, analytics)"
    } else {
        "11210 (key-value), 8091 (manager), 8092 to 8095 (views, query, search, analytics)"
    };
    let attempts = facts.seeds.iter().flat_map(|seed| {
        let kv = seed.kv.as_ref().and_then(|kv| kv.outcome.as_ref().err());
        [kv, seed.http.as_ref().and_then(|http| http.outcome.as_ref().err())]
    });
    let advice = if attempts.flatten().all(|attempt| attempt.stage == Stage::Resolve) {
        "check the host names, and the name server of this machine".to_owned()
    } else if facts.given.capella {
        "add the address of this machine to the cluster's allowed IP addresses, and check that the cluster is on".to_owned()
    } else {
        format!("check the firewalls between here and the nodes; these ports have to be open: {ports}")
    };
    let text = "no endpoint of any seed can be reached".to_owned();
    out.push(Finding::new("D-28", Severity::Error, "", text).advise(advice));
}
