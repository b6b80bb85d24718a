//! The page `docs/options.md`.

use std::fmt::{self, Write};

use settee::options::{Availability, Entry, Origin, Reading, groups, sections, translations};

use super::{kind, reading, shown};

const INTRODUCTION: &str = "\
# Options

<!-- Written by `settee options --markdown > docs/options.md`; a test compares the two. -->

Every setting can be written in a connection string, `couchbase://db.example.com?kv_timeout=4s&network=external`, or
as a field of `settee::options::Options`. From weakest to strongest: the built-in default, the profile, typed settings,
the connection string. `settee explain CONNSTR` shows what a string comes to.

- A name that is not known is a warning that names the nearest known one, or with the typed setting `strict_options`
  an error. A value that its option cannot take is an error. An option without an effect in this build is a
  warning with the reason. Credentials are never taken from a string.
- The names of other clients are read as well; they stand beside the option that they mean. Names of the Java client,
  and the names of the first column, may have `com.couchbase.env.` in front.
- Profile: `profile=wan_development`, for a development machine far from its cluster.

| type | what is written |
|---|---|
| time | `2500ms`, `2.5s`, `1m30s`, `PT2.5S`; a bare number counts milliseconds |
| switch | `true`, `yes`, `on`, `1`; `false`, `no`, `off`, `0` |
| bytes | `4096`, `4k`, `1m` |
| fraction | `0.83` |
| list | items separated by commas; a repeated name adds to it |

*unit needed*: the name is libcouchbase's alone, which counts in seconds, so a bare number is refused.
*opposite*: a switch of the opposite meaning.
";

const CERTPATH: &str = "\
`certpath` (Java, Python, libcouchbase) and `cert_path` (Python) are read as `trust_certificate`, or beside `keypath` or
`key_path` as `certificate_path`; which of the two is logged.
";

/// The whole page.
pub(super) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    // Writing to a string does not fail.
    let _ = write_tables(&mut page);
    page
}

fn write_tables(page: &mut String) -> fmt::Result {
    for (title, entries) in sections() {
        writeln!(page, "\n## {title}\n")?;
        writeln!(
            page,
            "| option | type | default | `wan_development` | what it steers | names in other clients | effect |"
        )?;
        writeln!(page, "|---|---|---|---|---|---|---|")?;
        for entry in entries {
            writeln!(
                page,
                "| `{}` | {} | {} | {} | {} | {} | {} |",
                entry.name,
                kind(&entry.syntax),
                code(entry.default),
                entry.profile.map(code).unwrap_or_default(),
                entry.help,
                aliases(entry),
                effect(entry),
            )?;
        }
    }
    write_translations(page)?;
    write_groups(page)
}

fn write_translations(page: &mut String) -> fmt::Result {
    writeln!(page, "\n## Names that stand for other options\n\n{CERTPATH}")?;
    writeln!(page, "| name | clients | value | settings |\n|---|---|---|---|")?;
    for translation in translations() {
        for (spellings, settings) in translation.words {
            let settings: Vec<String> =
                settings.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
            let settings = if settings.is_empty() { "none".to_owned() } else { settings.join(", ") };
            let words: Vec<String> = spellings.iter().map(|word| code(word)).collect();
            let clients = origins(translation.origins);
            writeln!(page, "| `{}` | {clients} | {} | {settings} |", translation.name, words.join(", "))?;
        }
    }
    Ok(())
}

fn write_groups(page: &mut String) -> fmt::Result {
    writeln!(page, "\n## Groups of the Java client without an effect\n")?;
    writeln!(page, "| names | defaults there | why |\n|---|---|---|")?;
    for group in groups() {
        let members: Vec<String> =
            group.members.iter().map(|(member, _, default)| format!("`{member}` {default}")).collect();
        writeln!(page, "| `{}*` | {} | {} |", group.prefix, members.join(", "), group.reason)?;
    }
    Ok(())
}

fn code(text: &str) -> String {
    if text.is_empty() { shown(text).to_owned() } else { format!("`{text}`") }
}

fn origins(origins: &[Origin]) -> String {
    origins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn aliases(entry: &Entry) -> String {
    let alias = |alias: &settee::options::Alias| {
        let how = match alias.reading {
            Reading::Same => String::new(),
            other => reading(other).map(|how| format!(", *{how}*")).unwrap_or_default(),
        };
        format!("`{}` ({}{how})", alias.name, origins(alias.origins))
    };
    entry.aliases.iter().map(alias).collect::<Vec<_>>().join("; ")
}

/// The same in every build: which feature an option needs is said in its place.
fn effect(entry: &Entry) -> String {
    match (entry.needs, entry.availability) {
        (Some(feature), _) => format!("yes, with the feature `{feature}`"),
        (None, Availability::Ignored(reason)) => format!("none: {reason}"),
        (None, Availability::DefaultOnly(reason)) => format!("default only: {reason}"),
        _ => "yes".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page(), "run: cargo run -p settee-cli -- options --markdown > docs/options.md");
    }

    #[test]
    fn every_name_of_every_option_is_on_the_page() {
        let page = page();
        for entry in settee::options::registry() {
            for name in std::iter::once(entry.name).chain(entry.aliases.iter().map(|alias| alias.name)) {
                assert!(page.contains(&format!("`{name}`")), "{name}");
            }
        }
        // A bar in a cell would end it.
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        assert!(rows.clone().count() > 100);
        assert!(rows.clone().all(|row| [5, 4, 8].contains(&row.matches('|').count())), "{page}");
    }
}
