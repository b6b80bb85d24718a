//! The report for a terminal.

use std::io::{self, Write};

use super::checks::SECTIONS;
use super::finding::{Finding, Severity};
use super::{Report, plural};
use crate::terminal::{Colours, visible};

/// Lines are broken at this width.
const WIDTH: usize = 100;
/// Where the text of a finding begins.
const INDENT: usize = 9;

pub(super) fn write(out: &mut impl Write, report: &Report, colours: Colours) -> io::Result<()> {
    let target =
        if report.facts.given.text.is_empty() { "the connection string" } else { &report.facts.given.text };
    writeln!(out, "{}", colours.bold(&format!("Examining {}", visible(target))))?;
    for (title, codes) in SECTIONS {
        let mut findings = report.findings.iter().filter(|finding| codes.contains(&finding.code)).peekable();
        if findings.peek().is_none() {
            continue;
        }
        writeln!(out, "\n{}", colours.bold(title))?;
        for finding in findings {
            write_finding(out, finding, colours)?;
        }
    }
    if !report.facts.left_out.is_empty() {
        writeln!(
            out,
            "\n{} there was no time for: {}",
            colours.yellow("note:"),
            report.facts.left_out.join(", ")
        )?;
    }
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warn));
    let verdict = match report.verdict() {
        Severity::Error => colours.red("It does not work as it is"),
        Severity::Warn => colours.yellow("It works, with warnings"),
        Severity::Info => colours.green("All is well"),
    };
    writeln!(
        out,
        "\n{verdict}: {}, {}, in {:.1?}",
        plural(errors, "error"),
        plural(warnings, "warning"),
        report.facts.elapsed
    )
}

fn write_finding(out: &mut impl Write, finding: &Finding, colours: Colours) -> io::Result<()> {
    let mark = match finding.severity {
        Severity::Error => colours.red("x"),
        Severity::Warn => colours.yellow("!"),
        Severity::Info => colours.green("-"),
    };
    let subject = if finding.subject.is_empty() { String::new() } else { format!("{}: ", finding.subject) };
    let mut lines = broken(&visible(&format!("{subject}{}", finding.text)), WIDTH - INDENT).into_iter();
    let first = lines.next().unwrap_or_default();
    writeln!(out, "{mark} {} {first}", colours.dim(&format!("{:<5}", finding.code)))?;
    for line in lines {
        writeln!(out, "{:INDENT$}{line}", "")?;
    }
    if !finding.advice.is_empty() {
        for (number, line) in broken(&visible(&finding.advice), WIDTH - INDENT - 3).into_iter().enumerate() {
            let arrow = if number == 0 { "->" } else { "  " };
            writeln!(out, "{:INDENT$}{} {line}", "", colours.bold(arrow))?;
        }
    }
    Ok(())
}

/// Breaks text between words.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("unbreakable word", 3), ["unbreakable", "word"]);
        assert_eq!(broken("", 10), [""]);
    }
}
