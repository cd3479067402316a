//! Copies a body for the record while it is streamed.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use nightaudit_exchange::{CaptureMemory, CapturedBody, Digest, PackedBytes, Spill};
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::budget::{Budget, FREE, PATIENCE, Reservation};

/// How much memory is reserved ahead for a body of known length, so that bodies of ordinary size don't deadlock
/// halfway, each holding memory that another needs.
const AHEAD: usize = 1 << 20;

/// Chunks of up to this many bytes are copied. A handle would keep the connection's read buffer alive and force it to
/// allocate another one for the next message, which costs more than the copy.
const MAX_COPIED: usize = 4096;

/// From so many bytes on, a long body is packed. Ordinary bodies are not: only the recorder's thread is to work on those.
const PACKED_FROM: usize = 512 << 10;

/// A body that is announced to be as long as this, in bytes, is packed from its start.
const LONG: u64 = 4 << 20;

type Waiting = Pin<Box<dyn Future<Output = Option<Reservation>> + Send>>;

/// Collects the first `limit` bytes of a body, mostly as handles, and the digest of a longer body.
pub(crate) struct BodyRecorder {
    kept: SmallVec<[Bytes; 1]>,
    /// What follows, if the body is long.
    packed: Option<Box<PackedBytes>>,
    packs: bool,
    /// Where what can't be packed goes.
    spill: Option<Arc<dyn Spill>>,
    /// Where small pieces are copied to.
    memory: CaptureMemory,
    length: u64,
    limit: usize,
    /// What is left of `limit`.
    room: usize,
    held: Reservation,
    /// The pending reservation for the next chunk.
    waiting: Option<Waiting>,
    /// The length of the body, if known in advance.
    announced: Option<u64>,
    /// Created only when the body exceeds what is kept, or is spilled: the recorder's thread hashes all others.
    hasher: Option<Box<Sha256>>,
}

impl BodyRecorder {
    pub(crate) fn new(limit: usize, budget: &Arc<Budget>) -> Self {
        Self {
            kept: SmallVec::new(),
            packed: None,
            packs: false,
            spill: None,
            memory: CaptureMemory::default(),
            length: 0,
            limit,
            room: limit,
            held: budget.empty(),
            waiting: None,
            announced: None,
            hasher: None,
        }
    }

    /// For a body of known `length`: hashed from the start if it won't be kept whole, rather than all at once when it
    /// exceeds the limit.
    pub(crate) fn expecting(limit: usize, length: Option<u64>, budget: &Arc<Budget>) -> Self {
        let mut body_recorder = Self::new(limit, budget);
        body_recorder.announced = length;
        if length.is_some_and(|length| length > limit as u64) {
            body_recorder.hasher = Some(Box::default());
        }
        body_recorder
    }

    /// Packs what exceeds [`PACKED_FROM`], so that long bodies take little memory while they pass: what can be compressed is,
    /// the rest goes to `spill`.
    pub(crate) fn packing(self, spill: Option<Arc<dyn Spill>>) -> Self {
        Self { packs: true, spill, ..self }
    }

    /// Copies to the memory of the capture that the body will be in.
    pub(crate) fn with_memory(self, memory: CaptureMemory) -> Self {
        Self { memory, ..self }
    }

    /// Returns that memory; nothing may be copied afterwards but by another recorder.
    pub(crate) fn take_memory(&mut self) -> CaptureMemory {
        std::mem::take(&mut self.memory)
    }

    /// Waits until `bytes` more can be kept, which applies backpressure to both sides. Also ready if no memory was
    /// released within [`PATIENCE`]: then the record is truncated here and the body continues, so that exchanges that
    /// hold memory and wait for more can't deadlock.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let missing = self.missing(bytes);
        if missing == 0 {
            return Poll::Ready(());
        }
        if self.waiting.is_none() {
            let wanted = self.ahead(missing);
            if self.held.grow(wanted) {
                return Poll::Ready(());
            }
            let budget = Arc::clone(self.held.budget());
            if budget.is_stuck() {
                self.grow_or_truncate(missing);
                return Poll::Ready(());
            }
            self.waiting = Some(Box::pin(budget.reserve(wanted, PATIENCE)));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(()) };
        let granted = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        match granted {
            Some(more) => self.held.merge(more),
            None => self.grow_or_truncate(missing),
        }
        Poll::Ready(())
    }

    fn grow_or_truncate(&mut self, missing: usize) {
        if !self.held.grow(missing) {
            self.truncate();
        }
    }

    /// Returns how much more memory is needed to keep `bytes` more.
    fn missing(&self, bytes: usize) -> usize {
        (self.limit - self.room + bytes.min(self.room)).saturating_sub(FREE + self.held.bytes())
    }

    /// Returns how much to reserve if `missing` bytes are needed.
    fn ahead(&self, missing: usize) -> usize {
        let whole = self.announced.and_then(|length| usize::try_from(length).ok()).map_or(0, |all| all.min(self.limit));
        whole.saturating_sub(FREE + self.held.bytes()).min(AHEAD).max(missing)
    }

    /// Keeps no more of the body.
    pub(crate) fn truncate(&mut self) {
        self.limit -= self.room;
        self.room = 0;
    }

    /// Returns whether all data so far has been kept.
    pub(crate) fn keeps_all(&self) -> bool {
        self.length == (self.limit - self.room) as u64
    }

    /// Returns whether memory beyond the uncounted allowance is needed.
    pub(crate) fn needs_memory(&self) -> bool {
        self.room > 0 && self.limit > FREE
    }

    /// Takes over memory reserved for the prefix of the body, and returns the part not needed for the record.
    pub(crate) fn cover(&mut self, mut granted: Reservation) -> Reservation {
        let beyond = granted.split_beyond(self.limit.saturating_sub(FREE + self.held.bytes()));
        self.held.merge(granted);
        beyond
    }

    pub(crate) fn push(&mut self, piece: &Bytes) {
        let missing = self.missing(piece.len());
        if missing > 0 {
            // Budget exhausted: truncate here; the rest is counted and hashed.
            self.grow_or_truncate(missing);
        }
        self.length += piece.len() as u64;
        // What is spilled may be lost; its digest must not be.
        let may_spill = self.packed.as_ref().is_some_and(|packed| packed.may_spill());
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        } else if piece.len() > self.room || may_spill {
            let mut hasher = Box::<Sha256>::default();
            for kept in &self.kept {
                hasher.update(kept);
            }
            if let Some(packed) = &self.packed {
                packed.read(|bytes| hasher.update(bytes));
            }
            hasher.update(piece);
            self.hasher = Some(hasher);
        }
        let fits = piece.len().min(self.room);
        if fits > 0 && self.packs && self.limit - self.room >= self.packed_from() {
            let spill = &mut self.spill;
            self.packed.get_or_insert_with(|| Box::new(PackedBytes::spilling(spill.take()))).push(&piece[..fits]);
            self.room -= fits;
        } else if fits > 0 {
            let piece = if fits <= MAX_COPIED { self.memory.copy(&piece[..fits]) } else { piece.slice(..fits) };
            self.kept.push(piece);
            self.room -= fits;
        }
    }

    /// How much of the body is kept as it is.
    fn packed_from(&self) -> usize {
        if self.announced.is_some_and(|length| length >= LONG) { 0 } else { PACKED_FROM }
    }

    /// Returns the length of the body so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Takes what was collected of a body whose end has not arrived.
    pub(crate) fn take_unfinished(&mut self) -> CapturedBody {
        let announced = self.announced.unwrap_or(0);
        let body = self.take();
        CapturedBody { length: body.length.max(announced), unfinished: true, ..body }
    }

    /// Takes what was collected.
    pub(crate) fn take(&mut self) -> CapturedBody {
        let budget = Arc::clone(self.held.budget());
        let mut done = std::mem::replace(self, Self::new(self.limit, &budget));
        // A body that ended early leaves some of what was reserved ahead.
        drop(done.held.split_beyond((done.limit - done.room).saturating_sub(FREE)));
        // A body that was announced as too long but ended early is kept whole; its digest is still valid.
        CapturedBody {
            kept: done.kept,
            packed: done.packed,
            length: done.length,
            sha256: done.hasher.map(|hasher| Digest(hasher.finalize().into())),
            unfinished: false,
            held: (done.held.bytes() > 0).then(|| Box::new(done.held) as _),
        }
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Spilled;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn regression_bodies_of_many_connections_took_unbounded_memory() {
        let budget = Budget::new(100 << 10);
        let keep = |size: usize| {
            let mut body_recorder = BodyRecorder::new(8 << 20, &budget);
            (0..size / 1024).for_each(|_| body_recorder.push(&Bytes::from_static(&[b'x'; 1024])));
            body_recorder.take()
        };
        let kept = |body: &CapturedBody| body.kept.iter().map(Bytes::len).sum::<usize>() >> 10;
        let (first, second) = (keep(90 << 10), keep(90 << 10));
        assert_eq!((kept(&first), kept(&second)), (90, 16 + 100 - 74));
        assert_eq!((second.length, second.sha256), (90 << 10, Some(Digest::of(&[b'x'; 90 << 10]))));
        assert_eq!(kept(&keep(16 << 10)), 16);
        // Recorded bodies release their memory.
        drop((first, second));
        assert_eq!(kept(&keep(90 << 10)), 90);
        assert_eq!(budget.left(), 100 << 10);
    }

    fn wait(body_recorder: &mut BodyRecorder, bytes: usize) -> impl Future<Output = ()> {
        std::future::poll_fn(move |cx| body_recorder.poll_room(cx, bytes))
    }

    const PIECE: usize = 64 << 10;

    /// Reads a body of `pieces` chunks as the proxy does.
    async fn read(budget: &Arc<Budget>, pieces: usize, announced: bool) -> CapturedBody {
        let mut body_recorder = BodyRecorder::expecting(8 << 20, announced.then_some((pieces * PIECE) as u64), budget);
        for _ in 0..pieces {
            wait(&mut body_recorder, PIECE).await;
            body_recorder.push(&vec![b'x'; PIECE].into());
        }
        body_recorder.take()
    }

    #[tokio::test(start_paused = true)]
    async fn reads_wait_for_memory_and_bodies_are_kept_whole_once_others_are_recorded() {
        let budget = Budget::new(2 << 20);
        let start = tokio::time::Instant::now();
        let read = |_| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move {
                let body = read(&budget, 16, true).await;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                body.sha256.is_none()
            })
        };
        for task in (0..20).map(read).collect::<Vec<_>>() {
            assert!(task.await.unwrap(), "a body was truncated");
        }
        // At most two at once.
        assert!(start.elapsed().as_millis() >= 1000, "{:?}", start.elapsed());
        assert_eq!(budget.left(), 2 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn deadlocked_bodies_continue_with_truncated_records() {
        let budget = Budget::new(2 << 20);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let budget = Arc::clone(&budget);
                // Of unknown length, so that each holds what another needs. None ends before all have.
                tokio::spawn(async move { read(&budget, 64, false).await })
            })
            .collect();
        let start = tokio::time::Instant::now();
        let mut bodies = Vec::new();
        for task in tasks {
            bodies.push(task.await.unwrap());
        }
        assert!(start.elapsed() <= 2 * PATIENCE, "{:?}", start.elapsed());
        let kept: usize = bodies.iter().flat_map(|body| &body.kept).map(Bytes::len).sum();
        assert!(kept <= (2 << 20) + 8 * FREE, "{kept}");
        let whole = Digest::of(&vec![b'x'; 64 * PIECE]);
        assert!(bodies.iter().all(|body| body.length == 4 << 20 && body.sha256 == Some(whole)));
        // No waiting while the budget is stuck.
        let start = tokio::time::Instant::now();
        assert_eq!(read(&budget, 16, true).await.length, 1 << 20);
        assert_eq!(start.elapsed(), std::time::Duration::ZERO);
        drop(bodies);
        assert_eq!(read(&budget, 16, true).await.sha256, None);
        assert_eq!(budget.left(), 2 << 20);
    }

    #[test]
    fn unused_memory_reserved_ahead_is_released() {
        let budget = Budget::new(2 << 20);
        let mut body_recorder = BodyRecorder::expecting(8 << 20, Some(1 << 20), &budget);
        let cover = body_recorder.cover(budget.try_reserve(1 << 20).unwrap());
        assert_eq!(cover.bytes(), 0);
        body_recorder.push(&Bytes::from(vec![0; 100 << 10]));
        let body = body_recorder.take();
        assert_eq!(budget.left(), (2 << 20) - (100 << 10) + FREE);
        drop(body);
        assert_eq!(budget.left(), 2 << 20);
        let beyond = BodyRecorder::new(20 << 10, &budget).cover(budget.try_reserve(1 << 20).unwrap());
        assert_eq!(beyond.bytes(), (1 << 20) - (4 << 10));
    }

    #[test]
    fn a_long_body_is_packed_and_is_what_passed() {
        let whole = br#"{"Name":"Single room"},"#.repeat(200_000);
        for (limit, announced) in [(8 << 20, true), (8 << 20, false), (1 << 20, true), (1 << 20, false)] {
            let length = announced.then_some(whole.len() as u64);
            let budget = Budget::new(8 << 20);
            let mut body_recorder = BodyRecorder::expecting(limit, length, &budget).packing(None);
            for piece in whole.chunks(60_000) {
                body_recorder.push(&Bytes::copy_from_slice(piece));
            }
            let mut body = body_recorder.take();
            let kept = whole.len().min(limit);
            assert_eq!((body.length, body.retained()), (whole.len() as u64, kept));
            let memory = body.packed.as_ref().unwrap().memory() + body.kept.iter().map(Bytes::len).sum::<usize>();
            let as_it_is = if announced { 0 } else { PACKED_FROM };
            assert!(memory < as_it_is + (300 << 10), "{memory}");
            assert_eq!(body.sha256, (kept < whole.len()).then(|| Digest::of(&whole)));
            assert_eq!(body.join(), whole[..kept]);
        }
    }

    /// Loses what it takes.
    #[derive(Debug)]
    struct Leaky;

    impl Spill for Leaky {
        fn write(&self, _: &[u8]) -> Option<Box<dyn Spilled>> {
            Some(Box::new(Self))
        }
    }

    impl Spilled for Leaky {
        fn read(&self) -> std::io::Result<Bytes> {
            Err(std::io::ErrorKind::Other.into())
        }
    }

    #[test]
    fn a_spilled_body_that_is_lost_is_known_to_be_truncated() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let whole: Vec<u8> = std::iter::repeat_with(&mut noise).take(2 << 20).collect();
        for piece in [10_000, 128 << 10, 700_000, 2 << 20] {
            let budget = Budget::new(8 << 20);
            let mut body_recorder = BodyRecorder::expecting(8 << 20, None, &budget).packing(Some(Arc::new(Leaky)));
            whole.chunks(piece).for_each(|piece| body_recorder.push(&Bytes::copy_from_slice(piece)));
            let mut body = body_recorder.take();
            let joined = body.join();
            assert_eq!(body.length, whole.len() as u64);
            assert!(whole.starts_with(&joined), "{piece}");
            // Either it is all there, or its digest is that of the whole.
            assert!(joined.len() == whole.len() || body.sha256 == Some(Digest::of(&whole)), "{piece}");
            assert!(piece > 128 << 10 || joined.len() < 1 << 20, "{piece}: {} bytes in memory", joined.len());
        }
    }

    proptest! {
        #[test]
        fn the_prefix_is_kept_and_the_whole_is_counted_and_hashed(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12),
            limit in 0_usize..100,
            announced in any::<bool>(),
        ) {
            let whole = pieces.concat();
            let mut body_recorder = BodyRecorder::expecting(limit, announced.then_some(whole.len() as u64), &Budget::new(100));
            for piece in pieces {
                body_recorder.push(&piece.into());
            }
            let body = body_recorder.take();
            prop_assert_eq!(body.length, whole.len() as u64);
            prop_assert_eq!(body.kept.concat(), &whole[..whole.len().min(limit)]);
            prop_assert_eq!(body.sha256, (whole.len() > limit).then(|| Digest::of(&whole)));
        }
    }
}
