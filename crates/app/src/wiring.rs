//! Adapters between the crates.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nightaudit_console::{LimitState, NodeUsage};
use nightaudit_exchange::{Pseudonym, Timestamp};
use nightaudit_fault::Faults;
use nightaudit_limit::{Config as LimitConfig, History, KeyState, LimitSignal, PastResponse, PastSend};
use nightaudit_proxy::Origin;
use nightaudit_store::{Log, RecordedResponse, SentRequest};

use crate::{
    config::{FaultSettings, REFUSED},
    error::StartError,
};

/// Restores the limits from the requests sent before the start and Mews' responses, so that a restart doesn't reset them.
///
/// Another host has limits of its own: what went there, such as to a simulated Mews in an earlier run, is left out.
pub(crate) fn history(log: &Log, config: &LimitConfig, hosts: [&Origin; 2]) -> Result<History, StartError> {
    let longest = config.rules.iter().map(|rule| rule.window + config.slack).max().unwrap_or_default();
    let now = Timestamp::from_system(SystemTime::now());
    let sends =
        log.recent_sends(now.minus(longest)).map_err(|source| StartError::Restore { what: "requests", source })?;
    let refusals = log.recent_rejections(now.minus(LONGEST_PAUSE), now.minus(BACK_OFF_MEMORY));
    let refusals = refusals.map_err(|source| StartError::Restore { what: "rejections by Mews", source })?;
    let counts = |sent: &SentRequest| is_for(sent, hosts);
    let refusals = refusals.into_iter().filter(|answered| counts(&answered.request));
    Ok(History {
        sends: sends.filter(counts).map(|sent| past_send(sent, now)).collect(),
        responses: refusals.filter_map(|answered| past_response(answered, now)).collect(),
    })
}

/// Whether a request went to one of these hosts, or may have.
fn is_for(sent: &SentRequest, hosts: [&Origin; 2]) -> bool {
    sent.host.as_deref().is_none_or(|host| hosts.iter().any(|known| &**known.text() == host))
}

/// The longest `Retry-After` that blocks a key.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// How long after a 429 without `Retry-After` another one counts as a repeat, plus a minute for the pause itself.
const BACK_OFF_MEMORY: Duration = Duration::from_secs(11 * 60);

/// A response with the keys that its request counted against; `None` if it says nothing about limits.
fn past_response(answered: RecordedResponse, now: Timestamp) -> Option<PastResponse<String>> {
    let RecordedResponse { request, at, status, retry_after } = answered;
    let signal = match status {
        429 => {
            let since_epoch = Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0));
            LimitSignal::TooManyRequests(
                retry_after.and_then(|value| nightaudit_proxy::parse_retry_after(&value, UNIX_EPOCH + since_epoch)),
            )
        }
        200..=299 => LimitSignal::Accepted,
        _ => return None,
    };
    Some(PastResponse { ago: now.since(at), signal, request: past_send(request, now) })
}

/// A sent request with the keys that it counts against.
fn past_send(sent: SentRequest, now: Timestamp) -> PastSend<String> {
    let none = || sent.peer.map_or_else(|| "none".to_owned(), |peer| format!("none@{}", peer.ip()));
    let key = |token: Option<Pseudonym>| token.map_or_else(none, |token| token.to_string());
    PastSend {
        access_token: key(sent.access_token),
        client_token: key(sent.client_token),
        operation: sent.operation,
        paginated: sent.paginated,
        ago: now.since(sent.at),
    }
}

/// The limits' state, for the console.
pub(crate) fn limit_states(states: Vec<KeyState>) -> Vec<LimitState> {
    // Rounded up, so that the permit is free after this wait.
    let millis = |duration: Duration| u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    states
        .into_iter()
        .map(|state| LimitState {
            rule: state.rule.to_string(),
            key: state.key,
            limit: state.limit,
            window_ms: millis(state.window),
            used: state.used,
            left: state.left,
            next_free_ms: millis(state.next_free),
            refused: state.refused,
            refused_by_mews: state.refused_by_host,
            delayed: state.delayed,
            closed_for_ms: (!state.closed_for.is_zero()).then(|| millis(state.closed_for)),
            nodes: state.nodes.iter().map(|of| NodeUsage { node: of.node.to_string(), used: of.used }).collect(),
        })
        .collect()
}

/// The fault rules that the run starts with, and those that may be added.
pub(crate) fn faults(log: &Arc<Log>, settings: &FaultSettings) -> Result<Faults, StartError> {
    if !settings.allowed {
        return Ok(Faults::refused(REFUSED));
    }
    // Requests still being served must not keep the log open.
    let log = Arc::downgrade(log);
    let current_session = move || Some(log.upgrade()?.current_session()?.name.to_string());
    let faults = Faults::new(settings.seed, current_session);
    for rule in &settings.rules {
        faults.add(rule.clone(), Instant::now())?;
    }
    Ok(faults)
}

/// The address at which local commands reach a port bound to `address`.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_of_an_earlier_run_has_the_keys_of_this_one() {
        let now = Timestamp::from_micros(10_000_000);
        let token = Pseudonym::of(b"secret");
        let sent = SentRequest {
            host: None,
            at: Timestamp::from_micros(4_000_000),
            operation: "rates/getAll".to_owned(),
            access_token: Some(token),
            client_token: None,
            paginated: true,
            peer: Some("127.0.0.1:5000".parse().unwrap()),
        };
        let past = past_send(sent.clone(), now);
        assert_eq!((past.access_token, past.client_token.as_str()), (token.to_string(), "none@127.0.0.1"));
        assert_eq!(past.ago, Duration::from_secs(6));
        let future = SentRequest { at: Timestamp::from_micros(99_000_000), ..sent };
        assert_eq!(past_send(future, now).ago, Duration::ZERO);
    }

    #[test]
    fn only_what_went_to_a_host_of_this_run_counts() {
        let hosts: [Origin; 2] = ["https://api.example", "https://ws.example:444"].map(|host| host.parse().unwrap());
        let is_for = |host: Option<&str>| {
            let sent = SentRequest {
                host: host.map(str::to_owned),
                at: Timestamp::from_micros(0),
                operation: String::new(),
                access_token: None,
                client_token: None,
                paginated: false,
                peer: None,
            };
            is_for(&sent, [&hosts[0], &hosts[1]])
        };
        for counted in [Some("https://api.example"), Some("https://ws.example:444"), None] {
            assert!(is_for(counted), "{counted:?}");
        }
        for other in ["http://api.example", "https://ws.example", "http://localhost:8090"] {
            assert!(!is_for(Some(other)), "{other}");
        }
    }

    #[test]
    fn a_console_on_every_address_is_reached_on_loopback() {
        for (bound, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
