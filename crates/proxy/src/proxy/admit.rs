//! From a request's body to its admission: what the limits ask for is read from it, and waited for.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Version, header::COOKIE, request::Parts};
use http_body::Body as _;
use hyper::body::Incoming;
use nightaudit_exchange::{AdmissionRecord, FailureKind};
use nightaudit_limit::{AdmissionRequest, Admit};
use nightaudit_listen::HalfClose;
use nightaudit_mews::envelope;

use super::{
    Admitted, Proxy,
    recount::{Counted, Recounter},
    sender::Sender,
};
use crate::{
    admission, body_prefix::BodyPrefix, body_reader::BodyReader, body_recorder::BodyRecorder, body_watch::BodyWatch,
    coded, late_permit::LatePermit, local_response::LocalResponse, pace::BodyPace, pending::PendingExchange,
    prefix_sender::PrefixSender, recorder::Recorder, request_body::Upload,
};

/// Where the permit will be that the rest of a body may need.
type Late<A> = Arc<LatePermit<<A as Admit>::Permit>>;

/// What the limits decide by.
struct Asked<'a> {
    access_key: Arc<str>,
    client_key: Arc<str>,
    operation: Cow<'a, str>,
    paginated: bool,
}

impl<R: Recorder, A: Admit> Proxy<R, A> {
    /// Reads as much of the body as the limits need, and waits until they admit the request.
    pub(super) async fn admit(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        peer: SocketAddr,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Admitted<A::Permit>, LocalResponse> {
        let codings = coded::codings(&parts.headers);
        let (mut prefix, body_recorder, reader) = self.read_prefix(pending, body, codings.is_some()).await?;
        if parts.version == Version::HTTP_2 {
            prefix.remove_if_empty();
        }
        let read = match codings {
            Some(codings) => PrefixSender::coded(&codings, &prefix),
            None => PrefixSender::plain(reader, &prefix),
        };
        let asked = self.asked(pending, peer, parts, &prefix, read.reader.as_deref());
        let is_cut = read.is_cut;
        let (upload, late) = self.note_body(pending, &prefix, body_recorder, read, (&asked, peer));
        if is_cut && self.counts_senders() {
            return Err(coded::unreadable());
        }
        let (note, permit) = self.ask(&asked, pending.half_close()).await?;
        pending.note(|capture| capture.limit = note);
        let permit = permit?;
        let plan = self.plan_faults(pending, &asked.operation);
        if let Some(plan) = &plan {
            // Boxed, because hardly any request has one.
            Box::pin(self.inject(pending, plan)).await?;
        }
        Ok(Admitted { prefix, upload, permit, late, plan })
    }

    /// Reads the part of the body that has arrived, and as much more as its envelope needs. Returns what has read the
    /// envelope, unless all of the body was there.
    async fn read_prefix(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        body: Incoming,
        is_coded: bool,
    ) -> Result<(BodyPrefix, BodyRecorder, Option<Box<BodyReader>>), LocalResponse> {
        let (config, budget) = (&self.shared.config, &self.shared.request_budget);
        let mut body_recorder = BodyRecorder::expecting(config.keep_body, body.size_hint().exact(), budget)
            .with_memory(pending.take_memory());
        let pace = BodyPace::new(config.timeouts.request_body, config.min_body_rate);
        let mut reader: Option<Box<BodyReader>> = None;
        let is_enough = |pieces: &[Bytes]| {
            if is_coded {
                // It is decoded once it is there.
                return false;
            }
            let reader = reader.get_or_insert_default();
            for piece in pieces {
                reader.read(piece);
            }
            self.is_enough(reader)
        };
        let read = BodyPrefix::read(body, &mut body_recorder, pace, budget, is_enough).await;
        let memory = body_recorder.take_memory();
        pending.note(|capture| capture.memory = memory);
        match read {
            Ok(prefix) => Ok((prefix, body_recorder, reader)),
            Err(local_response) => {
                pending.note(|capture| capture.request.body = body_recorder.take_unfinished());
                Err(local_response)
            }
        }
    }

    /// Whether the limits need no more of the body than was read.
    fn is_enough(&self, reader: &BodyReader) -> bool {
        let (limiter, envelope) = (&self.shared.limiter, reader.envelope());
        let tokens =
            envelope.access_token.is_some() && (envelope.client_token.is_some() || !limiter.key().client_token);
        reader.is_final() || (tokens && (envelope.paginated || !limiter.counts_pages()))
    }

    /// Whether the limits differ by what is in a body.
    fn counts_senders(&self) -> bool {
        let key = self.shared.limiter.key();
        key.access_token || key.client_token || self.shared.limiter.counts_pages()
    }

    /// What the limits decide by, as far as it was read.
    fn asked<'a>(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        peer: SocketAddr,
        parts: &'a Parts,
        prefix: &BodyPrefix,
        reader: Option<&BodyReader>,
    ) -> Asked<'a> {
        let bytes;
        let envelope = match reader {
            Some(reader) => reader.envelope().clone(),
            None if prefix.is_empty() => {
                envelope::from_cookies(parts.headers.get_all(COOKIE).iter().map(http::HeaderValue::as_bytes))
            }
            None => {
                bytes = prefix.bytes();
                envelope::read(&bytes)
            }
        };
        let Sender { envelope, access_key, client_key } = Sender::new(envelope, peer, &self.recent_tokens);
        let paginated = envelope.paginated;
        pending.note(|capture| capture.envelope = envelope);
        Asked { access_key, client_key, operation: self.operation(pending, parts.uri.path()), paginated }
    }

    /// The operation as the limits know it.
    fn operation<'a>(&self, pending: &PendingExchange<R::Permit>, path: &'a str) -> Cow<'a, str> {
        let operation = self.api().operation_of(path).unwrap_or(path);
        if self.shared.limiter.key().operation {
            // The limiter's key is displayed, and a path may contain anything.
            let envelope = pending.capture().map(|capture| &capture.envelope);
            let tokens =
                envelope.map(|envelope| [&envelope.access_token, &envelope.client_token]).unwrap_or([&None; 2]);
            let tokens = tokens.map(|token| token.as_deref().unwrap_or_default());
            if let Cow::Owned(redacted) = pending.redact(operation.as_bytes(), &tokens) {
                return Cow::Owned(String::from_utf8_lossy(&redacted).into_owned());
            }
        }
        Cow::Borrowed(operation)
    }

    /// Notes the body if it is known, or who will know it: the upload of its rest. Returns that, and where the permit will be
    /// that the rest may need.
    fn note_body(
        &self,
        pending: &mut PendingExchange<R::Permit>,
        prefix: &BodyPrefix,
        mut body_recorder: BodyRecorder,
        read: PrefixSender,
        (asked, peer): (&Asked<'_>, SocketAddr),
    ) -> (Option<Arc<Upload>>, Option<Late<A>>) {
        if prefix.had_trailers() {
            pending.note_trailers();
        }
        if prefix.is_whole() {
            pending.note(|capture| capture.request.body = body_recorder.take());
            return (None, None);
        }
        let (watch, late) =
            read.reader.filter(|reader| read.goes_on && !reader.is_final()).map_or((None, None), |reader| {
                let late = Late::<A>::default();
                let recount = Recounter {
                    shared: Arc::clone(&self.shared),
                    peer,
                    counted: Counted {
                        access_key: Arc::clone(&asked.access_key),
                        client_key: Arc::clone(&asked.client_key),
                        operation: (*asked.operation).into(),
                        paginated: asked.paginated,
                    },
                    permit: Arc::clone(&late),
                };
                (Some(BodyWatch::new(*reader, Box::new(recount))), Some(late))
            });
        let upload = Upload::new(body_recorder, watch, Arc::clone(&self.shared.request_budget));
        pending.await_upload(Arc::clone(&upload));
        (Some(upload), late)
    }

    /// Asks the limits. Returns their decision to record, and the permit or the local response; an error if the client leaves
    /// meanwhile.
    async fn ask(
        &self,
        asked: &Asked<'_>,
        client: Option<HalfClose>,
    ) -> Result<(Option<AdmissionRecord>, Result<A::Permit, LocalResponse>), LocalResponse> {
        let wanted = AdmissionRequest {
            access_token: &asked.access_key,
            client_token: &asked.client_key,
            operation: &asked.operation,
            paginated: asked.paginated,
        };
        let admission = admission::ask(&self.shared.limiter, &wanted, &self.shared.config.environment);
        let Some(client) = client.filter(|client| !client.has_happened()) else {
            return Ok(admission.await);
        };
        tokio::select! {
            biased;
            admission = admission => Ok(admission),
            // A client that closes its side while the request is delayed may have given up and retried: the request
            // would be processed twice.
            () = client.happened() => {
                let message = "the client closed its side of the connection while the request was delayed by a limit";
                Err(LocalResponse::failed(FailureKind::ClientLeft, message))
            }
        }
    }
}
