//! What the rest of a body says of its sender while it is forwarded.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use nightaudit_exchange::{AdmissionRecord, FailureKind};
use nightaudit_mews::{Envelope, envelope};
use tokio::time::Instant;

use crate::{body_reader::BodyReader, local_response::LocalResponse};

/// The decision of the limits to record, and whether the request may go on.
pub(crate) type Decided = (Option<AdmissionRecord>, Result<(), LocalResponse>);
pub(crate) type Deciding = Pin<Box<dyn Future<Output = Decided> + Send>>;

/// Asks the limits once more.
pub(crate) trait Recount: Send {
    /// Asks for a request of this sender; `None` if it was admitted for that.
    fn ask(&mut self, sender: &Envelope<'_>) -> Option<Deciding>;
}

/// Reads on in a body that is forwarded as it arrives.
///
/// Of duplicate names the last counts for Mews, so that the rest of a body can change what the limits admitted. The piece that
/// does so is held back until they admit the request for that, too: until it is forwarded, Mews has no whole request.
pub(crate) struct BodyWatch {
    reader: BodyReader,
    recount: Box<dyn Recount>,
    deciding: Option<Deciding>,
    watched: Watched,
}

/// What the rest of a body said of its sender.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) envelope: Envelope<'static>,
    /// The limits' decision, if they were asked once more.
    pub(crate) limit: Option<AdmissionRecord>,
    /// When they admitted it.
    pub(crate) admitted: Option<Instant>,
    /// Whether they refused it, so that Mews never got it whole.
    pub(crate) refused: bool,
}

impl BodyWatch {
    /// Continues after what `reader` has read and the limits have admitted.
    pub(crate) fn new(reader: BodyReader, recount: Box<dyn Recount>) -> Box<Self> {
        Box::new(Self { reader, recount, deciding: None, watched: Watched::default() })
    }

    /// Reads a piece, and waits until it may be forwarded. Until then it must be called with the same.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<Result<(), LocalResponse>> {
        if self.deciding.is_none() {
            let changed = self.reader.read(piece);
            if self.reader.is_too_long() {
                let message = format!("a token in the request body exceeds {} bytes", envelope::Reader::MAX_VALUE);
                return Poll::Ready(Err(LocalResponse::failed(FailureKind::Malformed, message)));
            }
            if changed {
                self.deciding = self.recount.ask(self.reader.envelope());
            }
        }
        let Some(deciding) = &mut self.deciding else { return Poll::Ready(Ok(())) };
        let (limit, decided) = ready!(deciding.as_mut().poll(cx));
        self.deciding = None;
        self.watched.limit = limit;
        match &decided {
            Ok(()) => self.watched.admitted = Some(Instant::now()),
            Err(_) => self.watched.refused = true,
        }
        Poll::Ready(decided)
    }

    /// Whether the limits are being asked.
    pub(crate) fn is_asking(&self) -> bool {
        self.deciding.is_some()
    }

    pub(crate) fn into_watched(self) -> Watched {
        Watched { envelope: self.reader.into_envelope(), ..self.watched }
    }
}
