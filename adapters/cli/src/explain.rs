//! `settee explain`: what a connection string means, or where it is wrong.

mod excerpt;

use std::io::{self, Write};

use serde_json::{Value, json};
use settee::connstr::{self, ErrorKind};
use settee::options::{self, OptionError, Options, Resolved};
use settee::tls::is_capella_host;

use crate::failure::Failure;
use crate::terminal::{self, Colours, visible};

const EXAMPLES: &str = "\
Examples:
  settee explain couchbase://db1.example.com,db2.example.com:11210/travel
  settee explain 'couchbases://db.example.com?network=external' --json
  settee explain 'couchbase://db.example.com?profile=wan_development'
  settee explain couchbase://db.example.com --all     also options at their default

JSON: one object with tls, srv, srv_query, bucket, profile, seeds[{host, kv, mgmt}], options{name: value}, \
no_effect{name: reason}, warnings[{kind, subject, text}], notes[], error{kind, offset, fragment, hint}. `error` is \
null if the string is all right, and everything else is empty if it is not.

Exit codes: 0 the string can be used, 1 it cannot.";

/// Explains a connection string, or says where it is wrong. Nothing is looked up or connected to.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The connection string.
    #[arg(value_name = "CONNSTR", allow_hyphen_values = true)]
    connection_string: String,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
    /// Show all options in effect, also those that are at their default.
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let text = &args.connection_string;
    let meaning = read(text);
    let mut out = io::stdout().lock();
    if args.json {
        let object = match &meaning {
            Ok(resolved) => meaning_json(resolved, args.all),
            Err(wrong) => wrong_json(wrong),
        };
        writeln!(out, "{object}")?;
        return meaning.map(drop).map_err(|_| Failure::Reported);
    }
    match &meaning {
        Ok(resolved) => Ok(write_meaning(&mut out, resolved, args.all, terminal::stdout_colours())?),
        Err(wrong) => {
            write_wrong(&mut io::stderr().lock(), text, wrong, terminal::stderr_colours())?;
            Err(Failure::Reported)
        }
    }
}

/// What is wrong with a string, be it its form or an option.
#[derive(Debug)]
struct Wrong {
    kind: ErrorKind,
    offset: usize,
    fragment: String,
    hint: String,
    option: Option<String>,
}

fn read(text: &str) -> Result<Resolved, Wrong> {
    let connstr = connstr::parse(text).map_err(|error| Wrong {
        kind: error.kind,
        offset: error.offset,
        fragment: error.fragment,
        hint: error.hint,
        option: None,
    })?;
    options::resolve(&connstr, Options::default()).map_err(|error| {
        let OptionError { kind, name, text: fragment, expected, offset, .. } = error;
        // Without a place of its own it is about the string as a whole.
        let option = Some(name).filter(|name| !name.is_empty());
        Wrong { kind, offset: offset.unwrap_or(0), fragment, hint: expected, option }
    })
}

fn settings(resolved: &Resolved, all: bool) -> impl Iterator<Item = options::EffectiveSetting> {
    let settings = resolved.options.effective().into_iter();
    settings.filter(move |setting| all || setting.from_string || setting.changed)
}

/// What else there is to say.
fn notes(resolved: &Resolved) -> Vec<String> {
    let mut notes = resolved.notes.clone();
    if !resolved.tls && resolved.seeds.iter().any(|seed| is_capella_host(&seed.host.to_string())) {
        notes.push("a Capella host takes connections with TLS only: write couchbases://".to_owned());
    }
    notes
}

fn meaning_json(resolved: &Resolved, all: bool) -> Value {
    let seeds: Vec<Value> = resolved
        .seeds
        .iter()
        .map(|seed| json!({"host": seed.host.to_string(), "kv": seed.kv, "mgmt": seed.mgmt}))
        .collect();
    let options: serde_json::Map<String, Value> = settings(resolved, all)
        .map(|setting| (setting.name.to_owned(), Value::from(setting.value)))
        .collect();
    let no_effect: serde_json::Map<String, Value> = settings(resolved, all)
        .filter_map(|setting| Some((setting.name.to_owned(), Value::from(setting.ignored?))))
        .collect();
    let warnings: Vec<Value> = resolved
        .warnings
        .iter()
        .map(|warning| json!({"kind": warning.kind.name(), "subject": warning.subject, "text": warning.text}))
        .collect();
    json!({
        "tls": resolved.tls,
        "srv": resolved.srv_query.is_some(),
        "srv_query": resolved.srv_query,
        "bucket": resolved.bucket,
        "profile": resolved.options.profile.map(|profile| profile.to_string()),
        "seeds": seeds,
        "options": options,
        "no_effect": no_effect,
        "warnings": warnings,
        "notes": notes(resolved),
        "error": null,
    })
}

fn wrong_json(wrong: &Wrong) -> Value {
    let mut error = json!({
        "kind": wrong.kind.name(),
        "offset": wrong.offset,
        "fragment": wrong.fragment,
        "hint": wrong.hint,
    });
    if let (Some(error), Some(option)) = (error.as_object_mut(), &wrong.option) {
        error.insert("option".to_owned(), option.as_str().into());
    }
    json!({
        "tls": null,
        "srv": null,
        "srv_query": null,
        "bucket": null,
        "profile": null,
        "seeds": [],
        "options": {},
        "no_effect": {},
        "warnings": [],
        "notes": [],
        "error": error,
    })
}

fn write_meaning(out: &mut impl Write, resolved: &Resolved, all: bool, colours: Colours) -> io::Result<()> {
    let mut row = |name: &str, value: &str| writeln!(out, "{}{value}", colours.bold(&format!("{name:<10}")));
    row("TLS", if resolved.tls { "on" } else { "off" })?;
    match &resolved.srv_query {
        Some(query) => row("SRV", &format!("{query} may name the nodes"))?,
        None => row("SRV", "not looked up")?,
    }
    row("bucket", &resolved.bucket.as_deref().map_or_else(|| "none".to_owned(), visible))?;
    row(
        "profile",
        &resolved.options.profile.map_or_else(|| "none".to_owned(), |profile| profile.to_string()),
    )?;
    for (index, seed) in resolved.seeds.iter().enumerate() {
        let port =
            |name: &str, port: Option<u16>| port.map(|port| format!("{name} {port}")).unwrap_or_default();
        let ports = [port("KV", seed.kv), port("manager", seed.mgmt)];
        let ports: Vec<&str> = ports.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        row(if index == 0 { "seeds" } else { "" }, &format!("{}  {}", seed.host, ports.join(", ")))?;
    }
    for (index, setting) in settings(resolved, all).enumerate() {
        let unused = setting.ignored.map(|reason| format!("  (no effect: {reason})")).unwrap_or_default();
        let value = if setting.value.is_empty() { "(not set)".to_owned() } else { visible(&setting.value) };
        let line = format!("{} = {value}{unused}", setting.name);
        row(if index == 0 { "options" } else { "" }, &line)?;
    }
    for note in notes(resolved) {
        row("note", &visible(&note))?;
    }
    for warning in &resolved.warnings {
        writeln!(out, "{}{}", colours.yellow(&format!("{:<10}", "warning")), visible(&warning.to_string()))?;
    }
    Ok(())
}

fn write_wrong(out: &mut impl Write, text: &str, wrong: &Wrong, colours: Colours) -> io::Result<()> {
    let about = wrong.option.as_ref().map(|name| format!(" in option {}", visible(name))).unwrap_or_default();
    writeln!(out, "{} {}{about} at byte {}", colours.red("error:"), wrong.kind, wrong.offset)?;
    let secret = wrong.kind == ErrorKind::CredentialsInString;
    let excerpt = excerpt::around(text, wrong.offset, secret);
    writeln!(out, "  {}", excerpt.line)?;
    writeln!(out, "  {:column$}{}", "", colours.red("^"), column = excerpt.column)?;
    writeln!(out, "{} {}", colours.bold("hint:"), visible(&wrong.hint))
}

#[cfg(test)]
mod tests;
