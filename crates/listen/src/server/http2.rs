//! Serves HTTP/2 on a connection.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use bytes::Bytes;
use hyper::{Request, body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{
    Handler, RequestContext, Reset, Serving,
    handler::WasReset,
    response::{InFlight, ResponseBody},
};
use crate::{
    guard::Heads,
    headers::check_http2,
    link::Link,
    streams::Streams,
    watch::{Watch, Watched},
};

impl<H: Handler> Serving<H> {
    pub(super) async fn http2<S>(&self, stream: S, peer: SocketAddr, link: Arc<Link>, stopping: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (watch, mut refusals) = Watch::new();
        // Reports what the library itself refuses, one by one.
        let reporting = async {
            while let Some(refusal) = refusals.recv().await {
                let progress = link.progress.of_stream();
                let context = RequestContext {
                    peer,
                    wire: None,
                    refusal: Some(refusal),
                    opens_web_socket: false,
                    progress,
                    tls: self.config.tls.is_some(),
                    half_close: None,
                };
                self.handler.refused(context).await;
            }
        };
        tokio::join!(self.http2_watched(stream, peer, &link, stopping, watch), reporting);
    }

    async fn http2_watched<S>(
        &self,
        stream: S,
        peer: SocketAddr,
        link: &Arc<Link>,
        stopping: CancellationToken,
        watch: Watch,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (handler, requests) = (Arc::clone(&self.handler), Arc::new(Heads::new(Arc::clone(link))));
        let (in_flight, connection) = (Arc::clone(&requests), link.progress.clone());
        let streams = Streams::new(self.stall_timeout.clone());
        let executor = streams.clone();
        let tls = self.config.tls.is_some();
        let stream = Watched::new(stream, &watch);
        let passed = watch.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (handler, requests) = (Arc::clone(&handler), Arc::clone(&in_flight));
            let progress = connection.of_stream();
            streams.begin(&progress);
            requests.request_started();
            passed.passed();
            let in_flight = InFlight(requests);
            async move {
                let (parts, body) = request.into_parts();
                let refusal = check_http2(&parts).err().map(|fault| fault.refusal(Bytes::new()));
                let context = RequestContext {
                    peer,
                    wire: None,
                    refusal,
                    opens_web_socket: false,
                    progress: progress.clone(),
                    tls,
                    half_close: None,
                };
                let response = handler.handle(context, Request::from_parts(parts, body)).await;
                if response.extensions().get::<Reset>().is_some() {
                    // Only its stream: others share the connection.
                    return Err(WasReset);
                }
                progress.data_available();
                let progress = Some(progress);
                Ok(response.map(|body| ResponseBody { body, progress, in_flight, failing: None }))
            }
        });
        let max_head = u32::try_from(self.config.max_head).unwrap_or(u32::MAX);
        let connection = conn::http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_header_list_size(max_head)
            .max_concurrent_streams(256)
            .keep_alive_interval(self.config.idle_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = watch.drive(connection.as_mut()) => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                watch.drive(connection).await
            }
            // The keep-alive pings show that the client is there, not that it is active.
            () = requests.idle(self.config.idle_timeout) => {
                connection.as_mut().graceful_shutdown();
                // The last piece of a response may still be unread.
                tokio::time::timeout(self.stall_timeout.limit(), watch.drive(connection)).await.unwrap_or(Ok(()))
            }
            () = link.evicted() => {
                connection.as_mut().graceful_shutdown();
                watch.drive(connection).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "HTTP/2 connection ended");
        }
        watch.end();
    }
}
