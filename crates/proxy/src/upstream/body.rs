//! The body of a response, by whichever protocol it comes.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::task::AbortOnDropHandle;

/// The body of a response.
pub(crate) enum Body {
    Http1(Incoming),
    Http2(Http2Body),
}

/// The body of a response of HTTP/2.
pub(crate) struct Http2Body {
    stream: h2::RecvStream,
    /// Whether the data have ended, so that trailers may follow.
    data_ended: bool,
    /// Sends what is left of the request's body.
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
        // Made anew for each poll; it keeps nothing of its own.
        let trailers = pin!(self.stream.trailers());
        ready!(trailers.poll(cx)).transpose().map(|trailers| trailers.map(Frame::trailers)).into()
    }
}

/// A response that can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl Error {
    /// Whether what came was not as the protocol wants it, rather than cut off.
    pub(crate) fn is_invalid(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_parse() || is_invalid_io(error),
            Self::Http2(error) => error.is_library(),
        }
    }

    /// What is wrong.
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
            // The proxy goes by `Content-Length`.
            Self::Http2(_) => SizeHint::new(),
        }
    }
}
