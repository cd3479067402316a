//! Compares two recordings, operation by operation.

use std::collections::BTreeSet;

use nightaudit_exchange::Outcome;
use nightaudit_review::Severity::{self, Error, Note, Warning};
use nightaudit_units::count;

use crate::{
    comparer::{Comparer, Draft, Sample},
    difference::{Change, DifferenceKind, Figure, Place},
    ending::Ending,
    findings::Found,
    latency::Latency,
    recording::Recording,
    shapes,
    tally::Tally,
};

impl Comparer<'_> {
    /// Compares what the two sides have of everything.
    pub(crate) fn compare(&mut self, a: &Recording, b: &Recording) {
        self.rules(a, b);
        let (before, after) = (a.operations(), b.operations());
        let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        for name in names {
            match (before.get(name), after.get(name)) {
                (Some(a), Some(b)) => self.operation(name, a, b),
                (Some(a), None) => self.gone(name, a),
                (None, Some(b)) => self.new_operation(name, b),
                (None, None) => {}
            }
        }
    }

    fn gone(&mut self, name: &str, a: &Tally) {
        let message = format!("{name} is no longer called: {} before.", calls(a.calls));
        let severities = (Warning, Some(Warning));
        let draft = Draft::new(DifferenceKind::Operation, Change::Gone, severities, Some(name), String::new(), message);
        self.fact(draft.with(Figure::Count(a.calls), Figure::Count(0)).shown_by('a', a.first));
    }

    fn new_operation(&mut self, name: &str, b: &Tally) {
        let message = format!("{name} is called now: {}.", calls(b.calls));
        let severities = (Note, Some(Note));
        let draft = Draft::new(DifferenceKind::Operation, Change::New, severities, Some(name), String::new(), message);
        self.fact(draft.with(Figure::Count(0), Figure::Count(b.calls)).shown_by('b', b.first));
        self.findings(name, &Tally::default(), b);
    }

    fn operation(&mut self, name: &str, a: &Tally, b: &Tally) {
        self.calls(name, a, b);
        self.endings(name, a, b);
        self.messages(name, a, b);
        self.latency(name, a, b);
        shapes::compare(self, name, Place::Request, &a.requests, &b.requests);
        for (status, shape) in &a.responses {
            if let Some(other) = b.responses.get(status) {
                shapes::compare(self, name, Place::Response(*status), shape, other);
            }
        }
        shapes::compare(self, name, Place::Received, &a.received, &b.received);
        shapes::compare(self, name, Place::Sent, &a.sent, &b.sent);
        self.findings(name, a, b);
        self.lists(name, a, b);
    }

    fn calls(&mut self, name: &str, a: &Tally, b: &Tally) {
        if a.calls == b.calls {
            return;
        }
        let change = if b.calls > a.calls { Change::More } else { Change::Fewer };
        let message = format!("{} before, {} now.", calls(a.calls), count(b.calls));
        let draft = Draft::new(DifferenceKind::Calls, change, (Note, Some(Note)), Some(name), String::new(), message);
        self.fact(draft.with(Figure::Count(a.calls), Figure::Count(b.calls)));
    }

    fn endings(&mut self, name: &str, a: &Tally, b: &Tally) {
        let endings: BTreeSet<Ending> = a.endings.keys().chain(b.endings.keys()).copied().collect();
        for ending in endings {
            let (was, is) = (a.ended(ending), b.ended(ending));
            // How many calls fail is one thing, how the others end is another.
            let is_good = !ending.is_failure() && !ending.is_limit() && was > 0 && is > 0;
            let of = |tally: &Tally| tally.calls - if is_good { tally.failed } else { 0 };
            let (share_a, share_b) = (Sample { count: was, of: of(a) }, Sample { count: is, of: of(b) });
            let rises = u128::from(is) * u128::from(share_a.of) > u128::from(was) * u128::from(share_b.of);
            let (change, side, first) = match (was, is) {
                (0, _) => (Change::New, 'b', b.endings.get(&ending)),
                (_, 0) => (Change::Gone, 'a', a.endings.get(&ending)),
                _ if rises => (Change::More, 'b', b.endings.get(&ending)),
                _ => (Change::Fewer, 'a', a.endings.get(&ending)),
            };
            let severities = match (ending, change) {
                // Nightaudit made it up.
                (Ending::Other(Outcome::Faulted), Change::New | Change::Gone) => (Note, Some(Note)),
                (Ending::Other(Outcome::Faulted), _) => (Note, None),
                // A limit that holds back more is a nuisance, a 429 from Mews is what it should prevent.
                (Ending::Status(429), Change::New | Change::More) => (Error, new(change, Warning)),
                (_, Change::New | Change::More) if ending.is_limit() => (Warning, new(change, Note)),
                (_, Change::New | Change::More) if ending.is_failure() => (Error, new(change, Warning)),
                (_, Change::New) => (Warning, Some(Note)),
                (_, Change::Gone) => (Note, Some(Note)),
                _ => (Note, None),
            };
            let kind = if ending.is_limit() { DifferenceKind::Limits } else { DifferenceKind::Statuses };
            let message = format!(
                "{}: {} of {} before, {} of {} now.",
                ended(ending),
                count(was),
                calls(share_a.of),
                count(is),
                count(share_b.of)
            );
            let draft = Draft::new(kind, change, severities, Some(name), ending.to_string(), message);
            self.share(draft.shown_by(side, first.map(|counted| counted.first)), share_a, share_b);
        }
    }

    /// Messages of calls that ended the same way on both sides.
    fn messages(&mut self, name: &str, a: &Tally, b: &Tally) {
        let keys: BTreeSet<_> = a.messages.keys().chain(b.messages.keys()).collect();
        for key in keys {
            let ending = key.0;
            if a.ended(ending) == 0 || b.ended(ending) == 0 {
                continue;
            }
            let (change, severities, side, own) = match (a.messages.get(key), b.messages.get(key)) {
                (None, Some(own)) => (Change::New, (Warning, Some(Note)), 'b', own),
                (Some(own), None) => (Change::Gone, (Note, Some(Note)), 'a', own),
                _ => continue,
            };
            let share = |tally: &Tally| Sample {
                count: tally.messages.get(key).map_or(0, |own| own.counted.calls),
                of: tally.calls,
            };
            let (was, is) = (share(a), share(b));
            let message = format!(
                "{}, \"{}\": {} of {} before, {} of {} now.",
                ended(ending),
                own.text,
                count(was.count),
                calls(was.of),
                count(is.count),
                count(is.of)
            );
            let subject = format!("{ending} {}", key.1);
            let draft = Draft::new(DifferenceKind::Errors, change, severities, Some(name), subject, message);
            self.share(draft.shown_by(side, Some(own.counted.first)), was, is);
        }
    }

    fn latency(&mut self, name: &str, a: &Tally, b: &Tally) {
        let tested = [a.latencies.test_median(&b.latencies), a.latencies.test_tail(&b.latencies)];
        let (Some(was), Some(is)) = (a.latencies.figures(), b.latencies.figures()) else { return };
        // Each test is one, whether or not there is anything to find.
        let mut best: Option<(f64, bool)> = None;
        for (tested, is_median) in tested.into_iter().zip([true, false]) {
            let Some(tested) = tested else { continue };
            let is_better = tested.matters && best.is_none_or(|(p, _)| tested.p < p);
            if is_better {
                if best.is_some() {
                    self.count_latency();
                }
                best = Some((tested.p, is_median));
            } else {
                self.count_latency();
            }
        }
        let Some((p, is_median)) = best else { return };
        let slower = if is_median { is.p50 > was.p50 } else { is.p95 > was.p95 };
        let (change, severity) = if slower { (Change::Slower, Warning) } else { (Change::Faster, Note) };
        let message = format!(
            "Mews takes {}: median {}, 95th percentile {} (p = {p:.1e}, {} and {}).",
            if slower { "longer" } else { "less time" },
            turned(was.p50, is.p50),
            turned(was.p95, is.p95),
            calls(was.calls),
            count(is.calls)
        );
        let draft = Draft::new(DifferenceKind::Latency, change, (severity, None), Some(name), String::new(), message);
        let figure = |latency: Latency| Figure::Latency(Some(latency));
        self.latency_of(draft.with(figure(was), figure(is)), p);
    }

    fn findings(&mut self, name: &str, a: &Tally, b: &Tally) {
        let (before, after) = (a.findings.sorted(), b.findings.sorted());
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (kind, pointer) = key;
            if self.ignores(pointer) {
                continue;
            }
            let (change, severities, side, own) = match (before.get(key), after.get(key)) {
                (None, Some(own)) if own.disputed => (Change::New, (Note, Some(Note)), 'b', own),
                (None, Some(own)) => (Change::New, (Warning, Some(Warning)), 'b', own),
                (Some(own), None) => (Change::Gone, (Note, Some(Note)), 'a', own),
                _ => continue,
            };
            let share = |found: Option<&&Found>, tally: &Tally| Sample {
                count: found.map_or(0, |found| found.requests),
                of: tally.findings.checked,
            };
            let (was, is) = (share(before.get(key), a), share(after.get(key), b));
            let place = if pointer.is_empty() { "The body" } else { pointer };
            let what = if change == Change::New { "contradicts" } else { "no longer contradicts" };
            let message = format!(
                "{place} {what} the documentation: {} ({} of {} requests before, {} of {} now).",
                own.text,
                count(was.count),
                count(was.of),
                count(is.count),
                count(is.of)
            );
            let subject = format!("{kind} {pointer}");
            let mut draft = Draft::new(DifferenceKind::Findings, change, severities, Some(name), subject, message);
            draft.difference.place = Some(Place::Request);
            self.share(draft.shown_by(side, Some(own.first)), was, is);
        }
    }

    fn lists(&mut self, name: &str, a: &Tally, b: &Tally) {
        for (key, list) in &a.lists.lists {
            let Some(other) = b.lists.lists.get(key) else { continue };
            let (was, is) = (list.run(), other.run());
            if !was.differs(&is) {
                continue;
            }
            let selected = if list.named.is_empty() { String::new() } else { format!(" by {}", list.named) };
            let message = format!("The list{selected} had {}, and has {} now.", pages(&was), pages(&is));
            let severities = (Note, Some(Note));
            let draft = Draft::new(
                DifferenceKind::Pages,
                Change::Different,
                severities,
                Some(name),
                list.named.to_string(),
                message,
            );
            let draft = draft.shown_by('a', Some(list.first)).shown_by('b', Some(other.first));
            self.fact(draft.with(Figure::Pages(was), Figure::Pages(is)));
        }
    }

    /// The rules of the limits themselves, where both sides recorded some.
    fn rules(&mut self, a: &Recording, b: &Recording) {
        let (before, after) = (&a.facts.rules, &b.facts.rules);
        if before.is_empty() || after.is_empty() {
            return;
        }
        for rule in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let limit = |rules: &std::collections::BTreeMap<String, (u32, u32)>| {
                rules.get(rule).map(|(limit, _)| u64::from(*limit))
            };
            let (was, is) = (limit(before), limit(after));
            if was == is {
                continue;
            }
            let said = |limit: Option<u64>| {
                limit.map_or_else(|| "no such rule".to_owned(), |limit| format!("{} requests", count(limit)))
            };
            let change = match (was, is) {
                (None, _) => Change::New,
                (_, None) => Change::Gone,
                (Some(was), Some(is)) if is > was => Change::More,
                _ => Change::Fewer,
            };
            let message = format!("Limit {rule}: {} before, {} now.", said(was), said(is));
            let draft = Draft::new(DifferenceKind::Limits, change, (Note, Some(Note)), None, rule.clone(), message);
            self.fact(draft.with(Figure::Count(was.unwrap_or(0)), Figure::Count(is.unwrap_or(0))));
        }
    }
}

/// What is new is worth a word even if it may be chance; that something is more is noise then.
fn new(change: Change, severity: Severity) -> Option<Severity> {
    (change == Change::New).then_some(severity)
}

fn calls(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "call" } else { "calls" })
}

fn ended(ending: Ending) -> String {
    match ending {
        Ending::Status(status) => format!("Answered with {status}"),
        Ending::Failed(kind) => format!("No response from Mews ({kind})"),
        Ending::Other(outcome) => {
            let text = outcome.to_string();
            let mut letters = text.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
        Ending::Delayed => "Delayed by a limit".to_owned(),
    }
}

/// `85 ms -> 120 ms (+41 %)`
fn turned(was: f64, is: f64) -> String {
    let duration = |ms: f64| nightaudit_units::duration(std::time::Duration::from_secs_f64(ms.max(0.0) / 1000.0));
    let percent = if was > 0.0 { (is / was - 1.0) * 100.0 } else { 0.0 };
    format!("{} before, {} now ({percent:+.0} %)", duration(was), duration(is))
}

/// `3 pages with 2,523 items`
fn pages(run: &crate::difference::Run) -> String {
    let pages = if run.pages == 1 { "1 page".to_owned() } else { format!("{} pages", count(run.pages)) };
    let items = if run.most() == 1 { "1 item".to_owned() } else { format!("{} items", count(run.most())) };
    let of = if run.runs > 1 { "at most " } else { "" };
    format!("{of}{pages} with {items}")
}
