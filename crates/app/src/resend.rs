//! Sending recorded requests again, through the proxy.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use nightaudit_console::{Resend, ResendEnvironment, Resending, Resent};
use nightaudit_exchange::Pseudonym;
use nightaudit_listen::{ClientProgress, Handler as _, RequestContext};
use nightaudit_mews::Environment;
use nightaudit_proxy::{Proxy, ProxyConfig, SentAgain};
use nightaudit_store::Log;

use crate::{config::Settings, limits::Limits, recorder::LogRecorder};

/// Bytes between the two ends of a connection within the process.
const PIPE: usize = 64 << 10;

/// What sends requests of this log again.
pub(crate) fn resending(settings: &Settings, proxy: Proxy<LogRecorder, Limits>, log: &Arc<Log>) -> Resending {
    let own = settings.proxy.environment.to_string();
    let proxy = Arc::new(proxy);
    let mut proxies = BTreeMap::from([(own.clone(), Arc::clone(&proxy))]);
    let mut environments = vec![described(&own, settings.proxy.api.text())];
    for other in settings.environments.iter().filter(|other| other.name != own) {
        let config = ProxyConfig {
            environment: other.name.as_str().into(),
            api: other.api.clone(),
            events: other.events.clone(),
            ..settings.proxy.clone()
        };
        // Tokens are of one environment, so that the limits of all can be in one limiter.
        match proxy.for_hosts(config, &settings.upstream) {
            Ok(proxy) => {
                environments.push(described(&other.name, other.api.text()));
                proxies.insert(other.name.clone(), Arc::new(proxy));
            }
            Err(error) => tracing::warn!("nothing can be sent again to {}: {error}", other.name),
        }
    }
    let log = Arc::clone(log);
    let reveals = settings.resend_tokens && !environments[0].production;
    Resending {
        environments,
        reveal: Box::new(move |wanted: &BTreeSet<Pseudonym>| match reveals {
            true => log.known_tokens().reveal(wanted),
            false => BTreeMap::new(),
        }),
        send: Box::new(move |resend| {
            let proxy = proxies.get(&resend.environment).cloned();
            Box::pin(async move {
                match proxy {
                    Some(proxy) => send(proxy, resend).await,
                    None => Err(format!("there is no environment {}", resend.environment)),
                }
            })
        }),
    }
}

fn described(name: &str, host: &str) -> ResendEnvironment {
    let production = Environment::at(host).is_some_and(|environment| environment == Environment::PRODUCTION);
    ResendEnvironment { name: name.to_owned(), host: host.to_owned(), production: production || name == "production" }
}

/// Sends a request over a connection within the process, so that it takes the way of all others.
async fn send(proxy: Arc<Proxy<LogRecorder, Limits>>, resend: Resend) -> Result<Resent, String> {
    let Resend { of, request, peer, .. } = resend;
    let (client, server) = tokio::io::duplex(PIPE);
    let id = Arc::new(OnceLock::new());
    let mark = SentAgain { of, id: Arc::clone(&id) };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(mark.clone());
        let context = RequestContext {
            peer,
            wire: None,
            refusal: None,
            opens_web_socket: false,
            progress: ClientProgress::default(),
            tls: false,
            half_close: None,
        };
        let proxy = Arc::clone(&proxy);
        async move { Ok::<_, Infallible>(proxy.handle(context, request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(server), service);
    let serving = tokio::spawn(serving);
    let failed = |error: hyper::Error| format!("the request could not be sent: {error}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.map_err(failed)?;
    let connection = tokio::spawn(connection);
    let mut request = request.map(|body: Bytes| Full::new(body));
    // As a client of the proxy would; Mews gets its own host's name.
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    let mut response = sender.send_request(request).await.map_err(failed)?;
    let status = response.status();
    // It is recorded before its end arrives. One that ends early is recorded, too.
    while let Some(Ok(_)) = response.frame().await {}
    drop((sender, response));
    let _ = connection.await;
    let _ = serving.await;
    let id = id.get().copied().ok_or_else(|| "the request was not recorded, and not sent".to_owned())?;
    Ok(Resent { id, status })
}
