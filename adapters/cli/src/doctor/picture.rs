//! The cluster as a picture: this machine in the middle, the seeds to its left, the nodes of the map to its right.
//!
//! Every card has a place of its own and every text is cut to its card, so that nothing overlaps, however many there are.
//! Colours are classes; the page that it stands in gives them their values.

use std::fmt::Write as _;
use std::time::Duration;

use settee::dns::{Answer, Outcome};
use settee::map::{ClusterMap, Node};

use super::facts::{Attempt, EndpointFacts, Facts, SeedFacts, place};

const WIDTH: usize = 1240;
const MARGIN: usize = 20;
/// Above the cards: the titles of the columns.
const TOP: usize = 56;
const GAP: usize = 16;

const SEED_WIDTH: usize = 300;
const SEED_HEIGHT: usize = 66;
const CLIENT_X: usize = 460;
const CLIENT_WIDTH: usize = 140;
const CLIENT_HEIGHT: usize = 84;
const NODE_X: usize = 700;
const NODE_WIDTH: usize = WIDTH - MARGIN - NODE_X;
const NODE_HEAD: usize = 50;

const CHIPS: usize = 3;
const CHIP_WIDTH: usize = (NODE_WIDTH - 24 - (CHIPS - 1) * 6) / CHIPS;
const CHIP_HEIGHT: usize = 22;
const CHIP_STEP: usize = CHIP_HEIGHT + 6;

/// What is drawn of each kind; the rest is one line.
const MOST: usize = 32;

/// A wide character of each size of text takes so many hundredths of a unit.
const TITLE: usize = 760;
const SMALL: usize = 640;

/// Text safe in HTML and SVG, in elements and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// As much of a text as fits, in the middle of which something may be missing: both ends of a host name tell.
fn fit(text: &str, width: usize, size: usize) -> String {
    let room = width * 100 / size;
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= room {
        return text.to_owned();
    }
    let keep = room.saturating_sub(1);
    let (front, back) = (keep - keep / 2, keep / 2);
    let head: String = chars.iter().take(front).collect();
    let tail: String = chars.iter().skip(chars.len() - back).collect();
    format!("{head}\u{2026}{tail}")
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

/// How well something can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fine,
    Partly,
    Failed,
    Unknown,
}

impl State {
    const fn class(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Partly => "part",
            Self::Failed => "bad",
            Self::Unknown => "none",
        }
    }

    fn of(fine: usize, all: usize) -> Self {
        match (fine, all) {
            (_, 0) => Self::Unknown,
            (0, _) => Self::Failed,
            _ if fine == all => Self::Fine,
            _ => Self::Partly,
        }
    }
}

struct Picture {
    cards: String,
    lines: String,
}

/// The picture; empty where there is nothing to show.
pub(super) fn svg(facts: &Facts) -> String {
    if facts.seeds.is_empty() && facts.given.seeds.is_empty() {
        return String::new();
    }
    let map = facts.map();
    let seeds = facts.seeds.len().max(if facts.seeds.is_empty() { facts.given.seeds.len() } else { 0 });
    let shown = seeds.min(MOST);
    let left =
        (shown + usize::from(facts.srv.is_some())) * (SEED_HEIGHT + GAP) + usize::from(seeds > MOST) * 24;
    let nodes: Vec<&Node> = map.map(|map| map.nodes.iter().collect()).unwrap_or_default();
    let heights: Vec<usize> = nodes.iter().take(MOST).map(|node| node_height(facts, node)).collect();
    let right =
        heights.iter().map(|height| height + GAP).sum::<usize>() + usize::from(nodes.len() > MOST) * 24;
    let body = left.max(right).max(CLIENT_HEIGHT + GAP);
    let height = TOP + body + MARGIN;
    let middle = TOP + body / 2;
    let mut picture = Picture { cards: String::new(), lines: String::new() };
    picture.client(facts, middle);
    let from = TOP + (body - left) / 2;
    let mut y = from;
    if let Some(outcome) = &facts.srv {
        picture.srv(outcome, y, middle);
        y += SEED_HEIGHT + GAP;
    }
    for number in 0..shown {
        match (facts.seeds.get(number), facts.given.seeds.get(number)) {
            (Some(seed), _) => picture.seed(seed, y, middle),
            (None, Some(seed)) => picture.untried(&seed.host, y, middle),
            (None, None) => {}
        }
        y += SEED_HEIGHT + GAP;
    }
    if seeds > MOST {
        picture.text(MARGIN + 12, y + 12, "small", &format!("and {} more seeds", seeds - MOST));
    }
    let mut y = TOP + (body - right) / 2;
    for (node, height) in nodes.iter().zip(&heights) {
        picture.node(facts, node, y, *height, middle);
        y += height + GAP;
    }
    if nodes.len() > MOST {
        picture.text(NODE_X + 12, y + 12, "small", &format!("and {} more nodes", nodes.len() - MOST));
    }
    picture.text(MARGIN, 28, "head", "Seeds");
    picture.text(CLIENT_X, 28, "head", "This machine");
    picture.text(NODE_X, 28, "head", &fit(&title(facts, map.map(AsRef::as_ref)), NODE_WIDTH, TITLE));
    if nodes.is_empty() {
        picture.text(NODE_X, middle + 4, "small", "no cluster map: the nodes are not known");
    }
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"The cluster as seen from this machine\" \
         xmlns=\"http://www.w3.org/2000/svg\">{}{}</svg>",
        picture.lines, picture.cards
    )
}

fn title(facts: &Facts, map: Option<&ClusterMap>) -> String {
    match (&facts.whole.network, map) {
        (Some(Ok(choice)), Some(map)) => {
            let plural = if map.nodes.len() == 1 { "node" } else { "nodes" };
            format!("{} {plural} on the network {}", map.nodes.len(), choice.name)
        }
        _ => "Nodes".to_owned(),
    }
}

fn endpoints<'a>(facts: &'a Facts, node: &'a Node) -> impl Iterator<Item = &'a EndpointFacts> {
    facts.endpoints.iter().filter(|endpoint| endpoint.node == node.index)
}

fn node_height(facts: &Facts, node: &Node) -> usize {
    NODE_HEAD + endpoints(facts, node).count().div_ceil(CHIPS).max(1) * CHIP_STEP + 6
}

impl Picture {
    fn text(&mut self, x: usize, y: usize, class: &str, text: &str) {
        let _ = write!(self.cards, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>", escape(text));
    }

    /// A card; what is said of it in full shows when it is pointed at.
    fn card(&mut self, (x, y): (usize, usize), (width, height): (usize, usize), state: State, full: &str) {
        let class = state.class();
        let _ = write!(
            self.cards,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"8\" class=\"card {class}\"><title>{}</title></rect>",
            escape(full)
        );
    }

    /// A line from this machine to a card, and what is said of the way at the card's end.
    fn line(&mut self, to: (usize, usize), middle: usize, state: State, label: &str) {
        let (x, y) = to;
        let leftwards = x < CLIENT_X;
        let begin = if leftwards { CLIENT_X } else { CLIENT_X + CLIENT_WIDTH };
        // The last piece is level, so that the label stands above it.
        let (elbow, at, anchor) = if leftwards { (x + 78, x + 8, "start") } else { (x - 78, x - 8, "end") };
        let class = state.class();
        let _ =
            write!(self.lines, "<path d=\"M{begin} {middle} L{elbow} {y} L{x} {y}\" class=\"way {class}\"/>");
        if !label.is_empty() {
            let _ = write!(
                self.cards,
                "<text x=\"{at}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"label {class}\">{}</text>",
                y - 6,
                escape(label)
            );
        }
    }

    fn client(&mut self, facts: &Facts, middle: usize) {
        let fine = facts.map().is_some();
        let state = if fine { State::Fine } else { State::Failed };
        let y = middle - CLIENT_HEIGHT / 2;
        self.card((CLIENT_X, y), (CLIENT_WIDTH, CLIENT_HEIGHT), state, &facts.given.text);
        self.text(CLIENT_X + 14, y + 26, "title", "settee");
        self.text(CLIENT_X + 14, y + 46, "small", if facts.given.tls { "TLS" } else { "no TLS" });
        let connected =
            if fine { format!("map in {}", millis(facts.whole.elapsed)) } else { "no map".to_owned() };
        self.text(CLIENT_X + 14, y + 66, "small", &connected);
    }

    fn srv(&mut self, outcome: &Outcome, y: usize, middle: usize) {
        let (state, text) = match &outcome.answer {
            Answer::Records(targets) => (State::Fine, format!("{} records", targets.len())),
            Answer::NoRecords { .. } => (State::Unknown, "no records".to_owned()),
            _ => (State::Failed, "not answered".to_owned()),
        };
        self.card((MARGIN, y), (SEED_WIDTH, SEED_HEIGHT), state, &outcome.to_string());
        self.text(MARGIN + 12, y + 22, "title", "DNS SRV");
        self.text(MARGIN + 12, y + 40, "small", &fit(&outcome.name, SEED_WIDTH - 24, SMALL));
        self.text(MARGIN + 12, y + 56, "small", &text);
        self.line((MARGIN + SEED_WIDTH, y + SEED_HEIGHT / 2), middle, state, &millis(outcome.elapsed));
    }

    fn untried(&mut self, host: &str, y: usize, middle: usize) {
        self.card((MARGIN, y), (SEED_WIDTH, SEED_HEIGHT), State::Unknown, host);
        self.text(MARGIN + 12, y + 22, "title", &fit(host, SEED_WIDTH - 24, TITLE));
        self.text(MARGIN + 12, y + 40, "small", "not tried");
        self.line((MARGIN + SEED_WIDTH, y + SEED_HEIGHT / 2), middle, State::Unknown, "");
    }

    fn seed(&mut self, seed: &SeedFacts, y: usize, middle: usize) {
        let results: Vec<(&str, u16, Option<Option<&Attempt>>)> = [
            ("kv", seed.at.kv, seed.kv.as_ref().map(|kv| kv.outcome.as_ref().err())),
            ("manager", seed.at.mgmt, seed.http.as_ref().map(|http| http.outcome.as_ref().err())),
        ]
        .into_iter()
        .filter_map(|(name, port, result)| Some((name, port?, result)))
        .collect();
        let tried = results.iter().filter_map(|(_, _, result)| *result);
        let fine = tried.clone().filter(Option::is_none).count();
        let state = State::of(fine, tried.clone().count());
        let full: Vec<String> =
            tried.flatten().map(|attempt| format!("{}: {}", attempt.stage, attempt.text)).collect();
        let full = if full.is_empty() { seed.at.host.clone() } else { full.join("\n") };
        self.card((MARGIN, y), (SEED_WIDTH, SEED_HEIGHT), state, &full);
        self.text(MARGIN + 12, y + 22, "title", &fit(&seed.at.host, SEED_WIDTH - 24, TITLE));
        for (number, (name, port, result)) in results.iter().enumerate() {
            let (word, class) = match result {
                None => ("not tried".to_owned(), "small none"),
                Some(None) => ("map".to_owned(), "small ok"),
                Some(Some(attempt)) => (format!("failed at {}", attempt.stage), "small bad"),
            };
            let line = fit(&format!("{name} {port}: {word}"), SEED_WIDTH - 24, SMALL);
            self.text(MARGIN + 12, y + 40 + number * 16, class, &line);
        }
        // Where it failed, the card says.
        let label =
            seed.kv.as_ref().filter(|kv| kv.outcome.is_ok()).map(|kv| millis(kv.elapsed)).unwrap_or_default();
        self.line((MARGIN + SEED_WIDTH, y + SEED_HEIGHT / 2), middle, state, &label);
    }

    fn node(&mut self, facts: &Facts, node: &Node, y: usize, height: usize, middle: usize) {
        let fine = endpoints(facts, node).filter(|endpoint| endpoint.outcome.is_ok()).count();
        let state = State::of(fine, endpoints(facts, node).count());
        let network = facts.network();
        let host = node.host_on(network).unwrap_or(&node.host);
        self.card((NODE_X, y), (NODE_WIDTH, height), state, &format!("{host} ({})", node.host));
        self.text(NODE_X + 12, y + 22, "title", &fit(host, NODE_WIDTH - 24, TITLE));
        let mut about = format!("slot {}", node.index);
        if let Some(group) = &node.server_group {
            about = format!("{about} \u{b7} {group}");
        }
        if host != node.host {
            about = format!("{about} \u{b7} inside {}", node.host);
        }
        if node.host_on(network).is_none() {
            about = format!("{about} \u{b7} not on this network");
        }
        self.text(NODE_X + 12, y + 40, "small", &fit(&about, NODE_WIDTH - 24, SMALL));
        for (number, endpoint) in endpoints(facts, node).enumerate() {
            let at =
                (NODE_X + 12 + number % CHIPS * (CHIP_WIDTH + 6), y + NODE_HEAD + number / CHIPS * CHIP_STEP);
            self.chip(endpoint, at);
        }
        if endpoints(facts, node).next().is_none() {
            self.text(NODE_X + 12, y + NODE_HEAD + 14, "small none", "no port of this mode on this network");
        }
        // A seed's connection may stand for a node that its announced address does not lead to.
        let label = endpoints(facts, node)
            .filter(|endpoint| endpoint.outcome.is_ok())
            .find_map(|endpoint| {
                let remote = place(&endpoint.host, endpoint.port);
                let noop = facts.whole.noops.iter().find(|noop| noop.remote == remote)?;
                let count = u32::try_from(noop.samples.len()).ok().filter(|count| *count > 0)?;
                Some(millis(noop.samples.iter().sum::<Duration>() / count))
            })
            .unwrap_or_default();
        self.line((NODE_X, y + height / 2), middle, state, &label);
    }

    fn chip(&mut self, endpoint: &EndpointFacts, (x, y): (usize, usize)) {
        let (class, words, full) = match &endpoint.outcome {
            Ok(time) => ("ok", String::new(), format!("connects in {}", millis(*time))),
            Err(attempt) => (
                "bad",
                format!(" {}", attempt.stage),
                format!("failed at {}: {}", attempt.stage, attempt.text),
            ),
        };
        let full = format!("{} {}", place(&endpoint.host, endpoint.port), full);
        let text =
            fit(&format!("{} {}{words}", endpoint.service.as_str(), endpoint.port), CHIP_WIDTH - 12, SMALL);
        let _ = write!(
            self.cards,
            "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{CHIP_WIDTH}\" height=\"{CHIP_HEIGHT}\" rx=\"5\" class=\"chip {class}\"/>\
             <text x=\"{}\" y=\"{}\" class=\"small {class}\">{}</text></g>",
            escape(&full),
            x + 6,
            y + 15,
            escape(&text)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_strangers_stays_text() {
        assert_eq!(escape("<b a='\"'>&\u{7}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        assert_eq!(fit("short", 100, SMALL), "short");
        let cut = fit(&"abcdefghij".repeat(10), 128, SMALL);
        assert_eq!(cut.chars().count(), 20);
        assert!(cut.starts_with("abcdefghij\u{2026}") && cut.ends_with("j"), "{cut}");
        assert_eq!(fit("anything", 0, SMALL), "\u{2026}");
    }
}
