//! The report as a page: one file that asks the network for nothing.

use std::fmt::Write as _;

use super::checks::SECTIONS;
use super::finding::{Finding, Severity};
use super::picture::{self, escape};
use super::{Report, plural};

const STYLE: &str = include_str!("doctor.css");

pub(super) fn page(report: &Report) -> String {
    let facts = &report.facts;
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warn));
    let (class, verdict) = match report.verdict() {
        Severity::Error => ("bad", "It does not work as it is"),
        Severity::Warn => ("part", "It works, with warnings"),
        Severity::Info => ("ok", "All is well"),
    };
    let target = if facts.given.text.is_empty() { "the connection string" } else { &facts.given.text };
    let mut body = format!(
        "<header><p class=\"verdict {class}\">{verdict}</p><h1>{}</h1><p class=\"sum\">{}, {}, in {:.1?}</p></header>",
        escape(target),
        plural(errors, "error"),
        plural(warnings, "warning"),
        facts.elapsed
    );
    let svg = picture::svg(facts);
    if !svg.is_empty() {
        let _ = write!(
            body,
            "<section><h2>From here</h2><div class=\"picture\">{svg}</div>\
             <p class=\"key\"><span class=\"ok\">reachable</span> <span class=\"part\">in part</span> \
             <span class=\"bad\">failing, with the stage</span> <span class=\"none\">not tried or not used</span> \
             Times: to the first map (seeds), of a round trip (nodes).</p></section>"
        );
    }
    let urgent: Vec<&Finding> = [Severity::Error, Severity::Warn]
        .into_iter()
        .flat_map(|severity| report.findings.iter().filter(move |finding| finding.severity == severity))
        .collect();
    if !urgent.is_empty() {
        body.push_str("<section><h2>What to do</h2><ol class=\"findings\">");
        for finding in urgent {
            item(&mut body, finding);
        }
        body.push_str("</ol></section>");
    }
    body.push_str("<section><h2>All findings</h2>");
    for (title, codes) in SECTIONS {
        let mut findings = report.findings.iter().filter(|finding| codes.contains(&finding.code)).peekable();
        if findings.peek().is_none() {
            continue;
        }
        let _ = write!(body, "<h3>{title}</h3><ul class=\"findings\">");
        for finding in findings {
            item(&mut body, finding);
        }
        body.push_str("</ul>");
    }
    body.push_str("</section>");
    if !facts.given.settings.is_empty() {
        body.push_str("<section><h2>Settings that differ from their defaults</h2><dl>");
        for (name, value) in &facts.given.settings {
            let _ = write!(body, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        body.push_str("</dl></section>");
    }
    if !facts.left_out.is_empty() {
        let _ = write!(
            body,
            "<p class=\"sum\">There was no time for: {}.</p>",
            escape(&facts.left_out.join(", "))
        );
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>settee doctor: {}</title><style>{STYLE}</style></head><body><main>{body}\
         <footer>settee doctor {}. The checks are explained in docs/doctor.md of settee.</footer></main></body></html>\n",
        escape(target),
        env!("CARGO_PKG_VERSION"),
    )
}

fn item(body: &mut String, finding: &Finding) {
    let class = match finding.severity {
        Severity::Error => "bad",
        Severity::Warn => "part",
        Severity::Info => "ok",
    };
    let _ = write!(body, "<li class=\"{class}\"><span class=\"code\">{}</span><div><p>", finding.code);
    if !finding.subject.is_empty() {
        let _ = write!(body, "<b>{}</b> ", escape(&finding.subject));
    }
    let _ = write!(body, "{}</p>", escape(&finding.text));
    if !finding.advice.is_empty() {
        let _ = write!(body, "<p class=\"advice\">{}</p>", escape(&finding.advice));
    }
    body.push_str("</div></li>");
}
