//! Upstream response bodies, over HTTP/1 or HTTP/2.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::task::AbortOnDropHandle;

/// An upstream response body.
pub(crate) enum Body {
    Http1(Incoming),
    Http2(Http2Body),
}

/// An HTTP/2 response body.
pub(crate) struct Http2Body {
    stream: h2::RecvStream,
    /// Whether the data has ended, so that trailers may follow.
    data_ended: bool,
    /// Sends the rest of the request body.
    _upload: Option<AbortOnDropHandle<()>>,
}

impl Http2Body {
    pub(super) fn new(stream: h2::RecvStream, upload: Option<AbortOnDropHandle<()>>) -> Self {
        Self { stream, data_ended: false, _upload: upload }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            if let Some(data) = ready!(self.stream.poll_data(cx)) {
                return Poll::Ready(Some(data.and_then(|data| {
                    self.stream.flow_control().release_capacity(data.len())?;
                    Ok(Frame::data(data))
                })));
            }
            self.data_ended = true;
        }
        // The future is stateless, so a new one per poll is fine.
        let trailers = pin!(self.stream.trailers());
        ready!(trailers.poll(cx)).transpose().map(|trailers| trailers.map(Frame::trailers)).into()
    }
}

/// An error reading a response body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl Error {
    /// Returns whether the response violates the protocol, rather than being truncated.
    pub(crate) fn is_invalid(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_parse() || is_invalid_io(error),
            Self::Http2(error) => error.is_library(),
        }
    }

    /// Returns the reason.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Http1(error) => {
                std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
            }
            Self::Http2(error) => error.to_string(),
        }
    }
}

fn is_invalid_io(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput))
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Error::Http1),
            Self::Http2(body) => body.poll(cx).map_err(Error::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            // The proxy uses `Content-Length`.
            Self::Http2(_) => SizeHint::new(),
        }
    }
}
