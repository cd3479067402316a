//! Reading a request's body within bounds.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use nightaudit_exchange::Digest;
use sha2::Digest as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body as it arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// All of it, and the right to keep it in memory.
    Kept(Bytes, Option<OwnedSemaphorePermit>),
    /// Too large to keep: its digest alone.
    Digest(Digest),
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incomplete {
    TimedOut,
    CutOff,
}

/// The memory for all bodies that are read at once.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// Bytes kept of one body: what the recorder keeps of one by default, since a body that is not all in the log is only found by its
/// digest.
pub(crate) const MAX_KEPT: usize = 8 << 20;
/// Bytes that every request may keep without asking.
const FREE: usize = 64 << 10;
/// Bytes of all bodies beyond that.
const TOTAL: usize = 64 << 20;
/// Bytes that a permit stands for.
const UNIT: usize = 1 << 10;

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOTAL / UNIT)))
    }
}

impl Budget {
    /// Waits until so much may be kept, holding nothing else, so that bodies can't wait for each other.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        Arc::clone(&self.0).acquire_many_owned(units).await.ok()
    }
}

impl Arrival {
    /// Reads a body, waiting at most `timeout` for each of its parts.
    pub(crate) async fn read(mut body: Incoming, budget: &Budget, timeout: Duration) -> Result<Self, Incomplete> {
        let declared = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let mut permit = None;
        let mut first = Bytes::new();
        let mut kept = BytesMut::new();
        let mut hasher = None;
        loop {
            let frame = tokio::time::timeout(timeout, body.frame()).await.map_err(|_| Incomplete::TimedOut)?;
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|_| Incomplete::CutOff)?.into_data() else { continue };
            if let Some(hasher) = &mut hasher {
                sha2::Sha256::update(hasher, &data);
                continue;
            }
            // Most bodies come in one piece, which need not be copied.
            if first.is_empty() && kept.is_empty() && data.len() <= FREE {
                first = data;
                continue;
            }
            let length = first.len() + kept.len() + data.len();
            if length > MAX_KEPT || declared.is_some_and(|declared| declared > MAX_KEPT) {
                let mut started = sha2::Sha256::new();
                [&first[..], &kept, &data].iter().for_each(|part| started.update(part));
                hasher = Some(started);
                (first, kept, permit) = (Bytes::new(), BytesMut::new(), None);
                continue;
            }
            if length > FREE && permit.is_none() {
                permit = budget.take(declared.unwrap_or(MAX_KEPT)).await;
            }
            if kept.is_empty() {
                kept.reserve(declared.unwrap_or(length).min(MAX_KEPT));
                kept.extend_from_slice(&std::mem::take(&mut first));
            }
            kept.extend_from_slice(&data);
        }
        Ok(match hasher {
            Some(hasher) => Self::Digest(Digest(hasher.finalize().into())),
            None if kept.is_empty() => Self::Kept(first, permit),
            None => Self::Kept(kept.freeze(), permit),
        })
    }

    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Kept(bytes, _) => Digest::of(bytes),
            Self::Digest(digest) => *digest,
        }
    }
}
