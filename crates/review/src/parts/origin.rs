//! Origin: which hosts responded, whether the session was imported, and whether its times are plausible.

use std::fmt;

use nightaudit_exchange::{Authority, Destination, Exchange, ExchangeId, Import, InjectedFault, Outcome};
use nightaudit_mews::Environment;

use crate::{
    findings::{Findings, by_number, count_of, thousands},
    review::{DateReview, Evidence, FaultReview, HostReview, OriginStatus, Provenance},
    rule::Rule,
};

/// The most hosts tracked.
const HOSTS: usize = 20;

/// How far the recorded time of a response may be from its `Date`, in seconds. NTP keeps clocks within a second; two
/// minutes is what a machine without it loses in a few weeks.
const TOLERANCE_S: i64 = 120;

/// Determines where a session's responses came from and whether that is proven; part of a
/// [`Reviewer`](crate::Reviewer), and usable alone.
///
/// ```
/// use nightaudit_review::{OriginTracker, OriginStatus};
///
/// assert_eq!(OriginTracker::default().provenance().standing, OriginStatus::Nobody);
/// ```
#[derive(Debug, Clone, Default)]
pub struct OriginTracker {
    hosts: Vec<Host>,
    /// Requests to hosts beyond the first [`HOSTS`]; none of them counts as Mews.
    others: u64,
    not_demo: Evidence,
    unrecorded_origin: Evidence,
    untrusted: Evidence,
    dates: DateReview,
    off: Evidence,
    /// The import as the log knows it, and as the exchanges are marked.
    imported: Option<Import>,
    marked: Import,
    altered: Evidence,
    faults: FaultReview,
    faulted: Evidence,
    first: Option<(ExchangeId, nightaudit_exchange::Timestamp)>,
}

#[derive(Debug, Clone)]
struct Host {
    destination: Destination,
    environment: Option<Environment>,
    calls: u64,
    /// Those that were answered.
    answered: u64,
    exchange: ExchangeId,
}

impl OriginStatus {
    /// Where one request was sent: Mews Demo, another Mews environment, a Mews host name whose certificate was not
    /// issued by a public authority, or any other host.
    #[must_use]
    pub fn of(destination: &Destination) -> Self {
        match environment(destination) {
            None => Self::NotMews,
            Some(_) if !has_public_certificate(destination) => Self::NotVouched,
            Some(known) if known == Environment::DEMO => Self::Demo,
            Some(_) => Self::Mews,
        }
    }
}

fn has_public_certificate(destination: &Destination) -> bool {
    destination.tls.as_ref().is_some_and(|tls| tls.authority == Authority::Public)
}

fn has_unstated_authority(destination: &Destination) -> bool {
    destination.tls.as_ref().is_some_and(|tls| tls.authority == Authority::Unknown)
}

impl Host {
    fn is_same(&self, other: &Destination) -> bool {
        let own = &self.destination;
        own.address == other.address && own.tls == other.tls && own.proxy == other.proxy
    }
}

/// The Mews environment a connection leads to by host names; the certificate is checked separately.
fn environment(destination: &Destination) -> Option<Environment> {
    let server = &destination.tls.as_ref()?.server_name;
    let known = Environment::at(&destination.address)?;
    // The certificate must be for the host itself, not for another one at the same address.
    (Environment::at(&format!("https://{server}"))? == known).then_some(known)
}

impl OriginTracker {
    /// Sets what the log knows of the session's import.
    pub fn set_imported(&mut self, import: Import) {
        self.imported = Some(import);
    }

    /// Takes the next exchange of the session.
    pub fn push(&mut self, exchange: &Exchange) {
        let (id, at) = (exchange.id, exchange.started_at);
        self.first.get_or_insert((id, at));
        self.marked.add(exchange);
        if exchange.alteration.is_some() {
            self.altered.add(id, at);
        }
        if let Some(fault) = &exchange.fault {
            self.faults.add(fault);
            self.faulted.add(id, at);
        }
        // A part of a WebSocket has its handshake's destination, and a webhook goes to the integration, whose clock it tells.
        if exchange.web_socket.is_some() || exchange.is_webhook() {
            return;
        }
        match &exchange.destination {
            Some(destination) => self.sent(exchange, destination),
            None if exchange.outcome == Outcome::Answered => self.unrecorded_origin.add(id, at),
            None => {}
        }
        if exchange.outcome == Outcome::Answered {
            self.date(exchange);
        }
    }

    fn sent(&mut self, exchange: &Exchange, destination: &Destination) {
        let (id, at) = (exchange.id, exchange.started_at);
        let index = match self.hosts.iter().rposition(|host| host.is_same(destination)) {
            Some(index) => index,
            None if self.hosts.len() < HOSTS => {
                self.hosts.push(Host {
                    destination: destination.clone(),
                    environment: environment(destination),
                    calls: 0,
                    answered: 0,
                    exchange: id,
                });
                self.hosts.len() - 1
            }
            None => {
                self.others += 1;
                self.not_demo.add(id, at);
                return;
            }
        };
        let host = &mut self.hosts[index];
        host.calls += 1;
        host.answered += u64::from(exchange.outcome == Outcome::Answered);
        if host.environment.as_ref() != Some(&Environment::DEMO) {
            self.not_demo.add(id, at);
        }
        // What another tool doesn't say is no finding of its own: the whole session is a claim.
        let is_unstated = exchange.recorded_by.is_some() && has_unstated_authority(&host.destination);
        if host.environment.is_some() && !has_public_certificate(&host.destination) && !is_unstated {
            self.untrusted.add(id, at);
        }
    }

    fn date(&mut self, exchange: &Exchange) {
        let Some(response) = &exchange.response else { return };
        let value = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("date"));
        let Some(date) = value.and_then(|header| httpdate::parse_http_date(&header.value).ok()) else { return };
        let Ok(date) = date.duration_since(std::time::UNIX_EPOCH) else { return };
        let sent = i64::try_from(exchange.times_us.response_head.unwrap_or(0)).unwrap_or(i64::MAX);
        let recorded = exchange.started_at.micros().saturating_add(sent) / 1_000_000;
        let off = i64::try_from(date.as_secs()).unwrap_or(i64::MAX).saturating_sub(recorded);
        self.dates.checked += 1;
        if off.abs() > TOLERANCE_S {
            self.off.add(exchange.id, exchange.started_at);
        }
        if off.abs() > self.dates.most_s.abs() {
            self.dates.most_s = off;
        }
    }

    /// The import as known to the log and the exchanges; the larger of each figure.
    fn import(&self) -> Option<Import> {
        let marked = Some(self.marked).filter(|marked| marked.altered() + marked.foreign > 0);
        match (self.imported, marked) {
            (Some(known), Some(marked)) => Some(Import {
                exchanges: known.exchanges.max(marked.exchanges),
                edited: known.edited.max(marked.edited),
                masked: known.masked.max(marked.masked),
                foreign: known.foreign.max(marked.foreign),
            }),
            (known, marked) => known.or(marked),
        }
    }

    pub(crate) fn report(&self, findings: &mut Findings<'_>) -> Provenance {
        let provenance = self.provenance();
        self.raise(&provenance, findings);
        provenance
    }

    /// The provenance of the exchanges so far.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        let mut hosts: Vec<&Host> = self.hosts.iter().collect();
        hosts.sort_by_key(|host| std::cmp::Reverse(host.calls));
        let sent = self.hosts.iter().map(|host| host.calls).sum::<u64>() + self.others + self.unrecorded_origin.count;
        let foreign: Vec<&&Host> = hosts.iter().filter(|host| host.environment.is_none()).collect();
        let answering: Vec<&&Host> = hosts.iter().filter(|host| host.answered > 0).collect();
        let imported = self.import();
        let standing = if sent == 0 {
            OriginStatus::Nobody
        } else if !foreign.is_empty() || self.others > 0 {
            OriginStatus::NotMews
        } else if self.unrecorded_origin.count > 0 {
            OriginStatus::NotRecorded
        } else if self.untrusted.count > 0 {
            OriginStatus::NotVouched
        } else if answering.is_empty() {
            // Where requests were sent says nothing of who answers there.
            OriginStatus::Nobody
        } else if imported.is_some() {
            OriginStatus::Claimed
        } else if self.not_demo.count > 0 {
            OriginStatus::Mews
        } else {
            OriginStatus::Demo
        };
        let statement = match standing {
            OriginStatus::Nobody if sent == 0 => "Nothing was sent".to_owned(),
            OriginStatus::Nobody => {
                let were = by_number(sent, "was", "were");
                let hosts = listed(&hosts.iter().collect::<Vec<_>>()).replace("https://", "");
                format!("Nothing was answered: {} {were} sent to {hosts}", count_of(sent, "request"))
            }
            OriginStatus::NotMews => {
                let calls = foreign.iter().map(|host| host.calls).sum::<u64>() + self.others;
                format!("Not Mews: {}{}", listed(&foreign), share(calls, sent))
            }
            OriginStatus::NotRecorded => {
                format!(
                    "Origin not recorded: {} of {} responses",
                    thousands(self.unrecorded_origin.count),
                    thousands(sent)
                )
            }
            OriginStatus::NotVouched => {
                let of = share(self.untrusted.count, sent);
                format!("Certificate not from a public authority: {}{of}", listed(&hosts.iter().collect::<Vec<_>>()))
            }
            OriginStatus::Claimed => {
                let all: Vec<&&Host> = hosts.iter().collect();
                let import = imported.map(|import| import.to_string()).unwrap_or_default();
                let hosts = listed(&all).replace("https://", "");
                format!("{}; claims to come from {hosts}", capital(&import))
            }
            OriginStatus::Mews | OriginStatus::Demo => {
                format!("Answered by {} over TLS", listed(&answering).replace("https://", ""))
            }
        };
        let doubts = self.doubts(standing, &statement, imported);
        Provenance {
            standing,
            statement,
            hosts: hosts
                .iter()
                .map(|host| HostReview {
                    destination: host.destination.clone(),
                    environment: host.environment.as_ref().map(|known| known.name.to_string()),
                    calls: host.calls,
                    exchange: host.exchange,
                })
                .collect(),
            sent,
            untold: self.unrecorded_origin.count,
            imported,
            faults: Some(&self.faults).filter(|faults| faults.exchanges > 0).cloned(),
            dates: DateReview { off: self.off.count, tolerance_s: TOLERANCE_S.unsigned_abs(), ..self.dates },
            doubts,
        }
    }

    fn doubts(&self, standing: OriginStatus, statement: &str, imported: Option<Import>) -> Vec<String> {
        let mut doubts = Vec::new();
        if matches!(standing, OriginStatus::NotRecorded | OriginStatus::NotVouched | OriginStatus::Claimed) {
            doubts.push(format!("{statement}."));
        }
        if let Some(import) = imported.filter(|_| standing != OriginStatus::Claimed) {
            doubts.push(sentence(&import.to_string()));
        }
        if self.faults.exchanges > 0 {
            doubts.push(sentence(&self.faults.to_string()));
        }
        if self.off.count > 0 {
            doubts.push(self.dates_message());
        }
        doubts
    }

    fn dates_message(&self) -> String {
        let most = self.dates.most_s.unsigned_abs();
        format!(
            "The recorded times of {} of {} differ from their `Date`, by up to {}.",
            thousands(self.off.count),
            count_of(self.dates.checked, "response"),
            crate::findings::span(most)
        )
    }

    fn raise(&self, provenance: &Provenance, findings: &mut Findings<'_>) {
        if self.not_demo.count > 0 {
            let mut elsewhere: Vec<&Host> =
                self.hosts.iter().filter(|host| host.environment.as_ref() != Some(&Environment::DEMO)).collect();
            elsewhere.sort_by_key(|host| std::cmp::Reverse(host.calls));
            let message = format!(
                "{} went to {}; only Mews Demo counts for the certification.",
                count_of(self.not_demo.count, "request"),
                listed(&elsewhere.iter().collect::<Vec<_>>())
            );
            findings.raise(Rule::RunEnvironment, None, message, &self.not_demo);
        }
        if self.unrecorded_origin.count > 0 {
            let message = format!(
                "No recorded origin for {}: an earlier version recorded them.",
                count_of(self.unrecorded_origin.count, "response")
            );
            findings.raise(Rule::RecordOrigin, None, message, &self.unrecorded_origin);
        }
        if provenance.standing != OriginStatus::NotMews && self.untrusted.count > 0 {
            let message = format!(
                "{} used a certificate that was issued by a local or configured authority, not by a public one.",
                count_of(self.untrusted.count, "request")
            );
            findings.raise(Rule::RecordOrigin, None, message, &self.untrusted);
        }
        if let Some(import) = provenance.imported {
            let mut first = Evidence::default();
            self.first.iter().for_each(|(id, at)| first.add(*id, *at));
            if import.altered() > 0 {
                let evidence = Evidence { count: import.altered(), ..self.altered.clone() };
                findings.raise(Rule::RecordAltered, None, sentence(&import.to_string()), &evidence);
            } else {
                findings.raise(Rule::RecordImported, None, sentence(&import.to_string()), &first);
            }
        }
        if self.faults.exchanges > 0 {
            findings.raise(Rule::RecordFaults, None, sentence(&self.faults.to_string()), &self.faulted);
        }
        if self.off.count > 0 {
            findings.raise(Rule::RecordDates, None, self.dates_message(), &self.off);
        }
    }
}

/// The most kinds of endings that are counted apart: more than rules have statuses.
const ENDINGS: usize = 256;

impl FaultReview {
    fn add(&mut self, fault: &InjectedFault) {
        self.exchanges += 1;
        self.delayed += u64::from(fault.delayed_ms.is_some());
        self.slowed += u64::from(fault.bytes_per_second.is_some());
        if let Some(ending) = fault.ending
            && (self.endings.len() < ENDINGS || self.endings.contains_key(&ending))
        {
            *self.endings.entry(ending).or_default() += 1;
        }
    }
}

impl fmt::Display for FaultReview {
    /// `nightaudit injected faults into 12 exchanges: 429 × 8, reset × 2, delayed × 3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nightaudit injected faults into {}", count_of(self.exchanges, "exchange"))?;
        let endings = self.endings.iter().map(|(ending, count)| (ending.to_string(), *count));
        let others = [("delayed".to_owned(), self.delayed), ("slowed down".to_owned(), self.slowed)];
        let all = endings.chain(others).filter(|(_, count)| *count > 0);
        for (number, (what, count)) in all.enumerate() {
            write!(f, "{} {what} × {}", if number == 0 { ":" } else { "," }, thousands(count))?;
        }
        Ok(())
    }
}

/// The first three addresses, and how many more there are.
fn listed(hosts: &[&&Host]) -> String {
    let mut addresses: Vec<&str> = Vec::new();
    for host in hosts {
        if !addresses.contains(&&*host.destination.address) {
            addresses.push(&host.destination.address);
        }
    }
    let more = addresses.len().saturating_sub(3);
    addresses.truncate(3);
    match (addresses.is_empty(), more) {
        (true, _) => "other hosts".to_owned(),
        (_, 0) => addresses.join(", "),
        (_, more) => format!("{} and {more} more", addresses.join(", ")),
    }
}

/// ` (2 of 3 requests)`; empty if it is all of them.
fn share(count: u64, of: u64) -> String {
    if count == of { String::new() } else { format!(" ({} of {} requests)", thousands(count), thousands(of)) }
}

fn sentence(text: &str) -> String {
    format!("{}.", capital(text))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{CallDirection, Tls, testing::sample};

    use super::*;
    use crate::{CheckState, Declaration, Reviewer};

    fn demo() -> Destination {
        let tls = Some(Tls { server_name: "api.mews-demo.com".into(), authority: Authority::Public });
        Destination { address: "https://api.mews-demo.com".into(), remote: None, tls, proxy: None }
    }

    fn ended(outcome: Outcome) -> Exchange {
        Exchange { outcome, destination: Some(demo()), ..sample() }
    }

    #[test]
    fn regression_requests_that_nobody_answered_were_answered_by_mews() {
        let mut reviewer = Reviewer::new(Declaration::default());
        (0..2).for_each(|_| reviewer.push(&ended(Outcome::Failed)));
        let review = reviewer.review();
        let statement = "Nothing was answered: 2 requests were sent to api.mews-demo.com";
        assert_eq!((review.provenance.standing, &*review.provenance.statement), (OriginStatus::Nobody, statement));
        let point = review.checklist.iter().find(|check| check.id == "origin").unwrap();
        assert_eq!((point.state, &*point.figure), (CheckState::NotJudged, statement));
        reviewer.push(&ended(Outcome::Answered));
        assert_eq!(reviewer.review().provenance.statement, "Answered by api.mews-demo.com over TLS");
    }

    #[test]
    fn regression_a_webhook_counted_as_a_request_to_another_host() {
        let own = Destination { address: "http://127.0.0.1:3000".into(), tls: None, ..demo() };
        let webhook = Exchange {
            direction: CallDirection::Incoming,
            destination: Some(own),
            fault: Some(Box::new(InjectedFault::default())),
            ..ended(Outcome::Answered)
        };
        let mut origins = OriginTracker::default();
        [webhook, ended(Outcome::Answered)].iter().for_each(|exchange| origins.push(exchange));
        let provenance = origins.provenance();
        assert_eq!((provenance.standing, provenance.sent), (OriginStatus::Demo, 1));
        // Its marks are the session's.
        assert_eq!(provenance.faults.unwrap().exchanges, 1);
    }
}
