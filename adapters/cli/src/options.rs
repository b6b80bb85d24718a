//! `settee options`: every setting, from the one registry of them.

mod markdown;

use std::io::{self, Write};

use serde_json::{Value, json};
use settee::options::{Alias, Availability, Entry, Owner, Reading, Syntax, sections};

use crate::failure::Failure;
use crate::terminal::{self, Colours};

const EXAMPLES: &str = "\
Examples:
  settee options                     all settings
  settee options timeout             those whose name, or other name, has \"timeout\" in it
  settee options --json kv_timeout   one of them, with its names in other clients
  settee options --markdown          the page docs/options.md

JSON: a list of objects with name, type, default, wan_development, help, owner, effect (always, default_only, none), \
reason, names[{name, clients, reading}].

Exit codes: 0 done, 1 no setting is called so.";

/// Lists the settings of a connection: names, defaults, and what each of them steers.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A part of the name, or of a name in another client.
    #[arg(value_name = "NAME")]
    part: Option<String>,
    /// Write a JSON list.
    #[arg(long)]
    json: bool,
    /// Write the page of the documentation.
    #[arg(long, conflicts_with_all = ["json", "part"])]
    markdown: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if args.markdown {
        return Ok(out.write_all(markdown::page().as_bytes())?);
    }
    let part = args.part.as_deref().unwrap_or_default();
    let wanted = |entry: &&Entry| {
        entry.name.contains(part) || entry.aliases.iter().any(|alias| alias.name.contains(part))
    };
    if !sections().iter().any(|(_, entries)| entries.iter().any(|entry| wanted(&entry))) {
        let message = format!("no setting has {part:?} in its name");
        return Err(Failure::no(message).hint("settee options lists all of them"));
    }
    if args.json {
        let list: Vec<Value> =
            sections().iter().flat_map(|(_, entries)| *entries).filter(wanted).map(entry_json).collect();
        return Ok(writeln!(out, "{}", Value::from(list))?);
    }
    Ok(write_table(&mut out, wanted, args.part.is_some(), terminal::stdout_colours())?)
}

/// The settings that are wanted, perhaps with their names in other clients.
fn write_table(
    out: &mut impl Write,
    wanted: impl Fn(&&Entry) -> bool,
    with_names: bool,
    colours: Colours,
) -> io::Result<()> {
    let mut first = true;
    for (title, entries) in sections() {
        let entries: Vec<&Entry> = entries.iter().filter(&wanted).collect();
        let Some(width) = entries.iter().map(|entry| entry.name.len()).max() else { continue };
        if !first {
            writeln!(out)?;
        }
        first = false;
        writeln!(out, "{}", colours.bold(title))?;
        for entry in entries {
            let defaults = match entry.profile {
                Some(profile) => format!("{} ({profile})", shown(entry.default)),
                None => shown(entry.default).to_owned(),
            };
            writeln!(out, "  {:width$}  {defaults:14}  {}", entry.name, entry.help)?;
            if with_names && !entry.aliases.is_empty() {
                let names: Vec<String> = entry.aliases.iter().map(other_name).collect();
                let text = format!("  {:width$}  {:14}  also {}", "", "", names.join(", "));
                writeln!(out, "{}", colours.dim(&text))?;
            }
            if let Some(reason) = reason(entry) {
                let text = format!("  {:width$}  {:14}  no effect: {reason}", "", "");
                writeln!(out, "{}", colours.dim(&text))?;
            }
        }
    }
    writeln!(out, "\nDefaults in brackets: with profile=wan_development.")
}

/// A name in other clients, and how its values are read there.
fn other_name(alias: &Alias) -> String {
    let clients: Vec<String> = alias.origins.iter().map(ToString::to_string).collect();
    let reading = reading(alias.reading).map(|reading| format!("; {reading}")).unwrap_or_default();
    format!("{} ({}{reading})", alias.name, clients.join(", "))
}

/// A default, or a dash for none.
fn shown(default: &str) -> &str {
    if default.is_empty() { "-" } else { default }
}

/// Why a setting has no effect, or none but by its default.
fn reason(entry: &Entry) -> Option<&'static str> {
    match entry.availability {
        Availability::DefaultOnly(reason) | Availability::Ignored(reason) => Some(reason),
        _ => None,
    }
}

/// The kind of value, in a word or two.
fn kind(syntax: &Syntax) -> String {
    match syntax {
        Syntax::Duration { zero: false } => "time".to_owned(),
        Syntax::Duration { zero: true } => "time, 0 = off".to_owned(),
        Syntax::Bool => "switch".to_owned(),
        Syntax::Integer { min, .. } => format!("number from {min}"),
        Syntax::Size => "bytes".to_owned(),
        Syntax::Ratio => "fraction".to_owned(),
        Syntax::Text | Syntax::Anything => "text".to_owned(),
        Syntax::List => "list".to_owned(),
        choice => choice.expected(),
    }
}

const fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Engine => "engine",
        Owner::Adapter => "adapter",
        Owner::Tls => "tls",
        _ => "client",
    }
}

/// How values are read under another name, where that differs.
const fn reading(reading: Reading) -> Option<&'static str> {
    match reading {
        Reading::UnitNeeded => Some("unit needed"),
        Reading::Inverse => Some("opposite"),
        Reading::Blanks => Some("blanks or commas"),
        _ => None,
    }
}

fn entry_json(entry: &Entry) -> Value {
    let names: Vec<Value> = entry
        .aliases
        .iter()
        .map(|alias| {
            let clients: Vec<String> = alias.origins.iter().map(ToString::to_string).collect();
            json!({"name": alias.name, "clients": clients, "reading": reading(alias.reading)})
        })
        .collect();
    let default = (!entry.default.is_empty()).then_some(entry.default);
    json!({
        "name": entry.name,
        "type": kind(&entry.syntax),
        "default": default,
        "wan_development": entry.profile.or(default),
        "help": entry.help,
        "owner": owner(entry.owner),
        "effect": match entry.availability {
            Availability::Active => "always",
            Availability::DefaultOnly(_) => "default_only",
            _ => "none",
        },
        "reason": reason(entry),
        "names": names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(part: &str) -> String {
        let mut out = Vec::new();
        write_table(&mut out, |entry| entry.name.contains(part), !part.is_empty(), Colours::NONE).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_has_every_option_and_its_reason() {
        let all = table("");
        for entry in settee::options::registry() {
            assert!(all.contains(&format!("  {} ", entry.name)), "{}", entry.name);
        }
        assert!(table("kv_timeout").contains("  kv_timeout  2500ms (20s)"), "{}", table("kv_timeout"));
        assert!(
            table("kv_timeout").contains("also key_value_timeout (C++, Python)"),
            "{}",
            table("kv_timeout")
        );
        assert!(
            table("kv_timeout").contains("timeout (libcouchbase; unit needed)") && !all.contains("  also ")
        );
        assert!(table("shards").contains("no effect: one engine"), "{}", table("shards"));
    }

    #[test]
    fn json_names_the_clients() {
        let entry = settee::options::registry().find(|entry| entry.name == "view_timeout").unwrap();
        let object = entry_json(entry);
        assert_eq!(object["names"][0]["clients"], json!(["Python", "libcouchbase"]));
        assert_eq!((&object["default"], &object["wan_development"]), (&json!("75s"), &json!("120s")));
        assert_eq!(object["effect"], "none");
    }
}
