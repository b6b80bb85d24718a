//! The checks: facts in, findings out. Nothing here looks at the world.

mod cluster;
mod nodes;
mod seeds;
mod string;

use super::facts::Facts;
use super::finding::Finding;

/// The sections of a report, with the codes in each.
pub(crate) const SECTIONS: [(&str, &[&str]); 6] = [
    ("Connection string", &["D-1", "D-2", "D-8", "D-9", "D-13", "D-30"]),
    ("Names", &["D-3", "D-4", "D-5", "D-6", "D-7", "D-10", "D-11", "D-12"]),
    ("Seeds", &["D-14", "D-15", "D-16", "D-26", "D-27", "D-28"]),
    ("Cluster map", &["D-17", "D-18", "D-19", "D-20", "D-21", "D-25"]),
    ("Nodes", &["D-22", "D-23", "D-29"]),
    ("Bucket", &["D-24"]),
];

/// Runs all checks. The order is that of the sections.
pub(crate) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    string::check(facts, &mut findings);
    if facts.refused.is_none() {
        seeds::check(facts, &mut findings);
        cluster::check(facts, &mut findings);
        nodes::check(facts, &mut findings);
    }
    let place = |finding: &Finding| {
        SECTIONS.iter().position(|(_, codes)| codes.contains(&finding.code)).unwrap_or(SECTIONS.len())
    };
    findings.sort_by_key(|finding| (place(finding), number(finding.code)));
    findings
}

/// The number in a code.
fn number(code: &str) -> u32 {
    code.trim_start_matches("D-").parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
