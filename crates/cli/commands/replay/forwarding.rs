//! Where requests go that were not recorded.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use nightaudit_app::{bind, config::Settings};
use nightaudit_client::Source;
use nightaudit_listen::ListenConfig;
use nightaudit_replay::Forward;
use nightaudit_simulator::Simulator;
use nightaudit_text::one_line;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::error::Usage;

/// To a simulator of this process.
pub(super) async fn to_simulator(settings: &Settings, stop: &CancellationToken) -> anyhow::Result<Forward> {
    let config =
        nightaudit_simulator::Config { contracts: settings.contracts()?, ..nightaudit_simulator::Config::default() };
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "listen").await?;
    let address = listener.local_addr()?;
    let (simulator, stop) = (Arc::new(Simulator::new(config)), stop.clone());
    tokio::spawn(async move { simulator.serve(listener, ListenConfig::default(), stop.cancelled()).await });
    Ok(Forward::new(address, Arc::new(|| Ok(()))))
}

/// To Mews, through the `serve` that runs on the data folder. `own` is the address of this replay.
pub(super) async fn to_serve(settings: &Settings, own: SocketAddr) -> anyhow::Result<Forward> {
    let data = settings.data.clone();
    let asked = data.clone();
    let found = tokio::task::spawn_blocking(move || match Source::serve(&asked) {
        Some(_) => proxy_of(&asked, own).map_err(|error| Usage::new(error).into()),
        // No mistake in what was typed.
        None => Err(anyhow::Error::msg(none_on(&asked))),
    });
    let proxy = found.await??;
    // That `serve` may be another one later.
    Ok(Forward::new(proxy, Arc::new(move || proxy_is(&data, own, proxy))))
}

fn proxy_is(data: &Path, own: SocketAddr, proxy: SocketAddr) -> Result<(), String> {
    match proxy_of(data, own)? {
        now if now == proxy => Ok(()),
        now => Err(format!("`nightaudit serve` listens on {now} now: start `nightaudit replay` again")),
    }
}

/// The address of the running `serve`, if it can be forwarded to.
fn proxy_of(data: &Path, own: SocketAddr) -> Result<SocketAddr, String> {
    #[derive(Deserialize)]
    struct Status {
        proxy: Option<Proxy>,
    }

    #[derive(Deserialize)]
    struct Proxy {
        addresses: Vec<String>,
        upstream: String,
    }

    let none = || none_on(data);
    let console = Source::console(data).ok_or_else(none)?;
    let status: Status = console.get("/api/v1/status", &[]).map_err(|error| one_line(&error))?;
    let proxy = status.proxy.ok_or_else(none)?;
    if is_at(&proxy.upstream, own) {
        return Err(format!(
            "the running `nightaudit serve` forwards to this replay ({}): requests would go in circles",
            proxy.upstream
        ));
    }
    let addresses = proxy.addresses.iter().filter_map(|address| address.strip_prefix("http://"));
    let mut addresses = addresses.filter_map(|address| address.parse::<SocketAddr>().ok());
    addresses.next().ok_or_else(|| "the running `nightaudit serve` has no port without TLS to forward to".to_owned())
}

fn none_on(data: &Path) -> String {
    format!("no `nightaudit serve` is running on {}: start one for --otherwise forward", data.display())
}

/// Whether a URL leads to this address of this machine.
fn is_at(url: &str, own: SocketAddr) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority).trim_end_matches('/');
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let host = host.trim_matches(['[', ']']);
    let is_local = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified() || ip == own.ip());
    is_local && port.parse() == Ok(own.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_that_is_this_replay_is_known() {
        let own: SocketAddr = "127.0.0.1:8090".parse().unwrap();
        for (url, is_own) in [
            ("http://127.0.0.1:8090", true),
            ("https://localhost:8090/", true),
            ("http://[::1]:8090", true),
            ("http://127.0.0.1:8091", false),
            ("https://api.mews-demo.com", false),
            ("https://api.mews-demo.com:8090", false),
        ] {
            assert_eq!(is_at(url, own), is_own, "{url}");
        }
    }
}
