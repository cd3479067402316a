//! Injected faults of response bodies: slowed down, or broken off.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use nightaudit_fault::{Ending, Plan};
use tokio::time::{Instant, Sleep, sleep_until};

/// Pieces of a slowed body come this often, or one byte at a time at less than 20 bytes per second.
const PIECES_PER_SECOND: u64 = 20;

/// A fault of a response's body.
pub(crate) struct BodyFault {
    /// The rules that it is from.
    rules: Vec<String>,
    pace: Option<Pace>,
    cut: Option<Cut>,
    /// Bytes that were passed on.
    passed: u64,
    /// Received, and not passed on yet.
    rest: Bytes,
}

/// Where a body breaks off.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// After this many bytes.
    After(u64),
    /// After this share of the first frame, from 0 to 1, because the length is unknown.
    Within(f64),
}

struct Pace {
    rate: u64,
    next: Pin<Box<Sleep>>,
}

/// What comes next of a body.
#[derive(Debug)]
pub(crate) enum Next<E> {
    /// A frame, an error, or the end.
    Frame(Option<Result<Frame<Bytes>, E>>),
    /// The body breaks off here.
    Cut,
}

impl BodyFault {
    /// The fault that a plan has for a body of this length, if any.
    pub(crate) fn of(plan: &Plan, content_length: Option<u64>) -> Option<Self> {
        let cut = match (plan.ending, content_length) {
            // Always before the end: a complete response is none that breaks off.
            (Some(Ending::Truncate { at }), Some(length)) => Some(Cut::After(share(at, length))),
            (Some(Ending::Truncate { at }), None) => Some(Cut::Within(at)),
            _ => None,
        };
        let pace = plan.rate.map(|rate| Pace { rate: rate.max(1), next: Box::pin(sleep_until(Instant::now())) });
        (cut.is_some() || pace.is_some()).then(|| Self {
            rules: plan.rules.clone(),
            pace,
            cut,
            passed: 0,
            rest: Bytes::new(),
        })
    }

    /// The rate, if the body is slowed down.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.pace.as_ref().map(|pace| pace.rate)
    }

    /// Whether the body will break off.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// The rules that the fault is from.
    pub(crate) fn rules(&self) -> &[String] {
        &self.rules
    }

    /// Whether data was received that was not passed on yet.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Polls the next frame of `body`, or a part of it.
    pub(crate) fn poll<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut B,
        cx: &mut Context<'_>,
    ) -> Poll<Next<B::Error>> {
        if matches!(self.cut, Some(Cut::After(end)) if self.passed >= end) {
            return Poll::Ready(Next::Cut);
        }
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if !data.is_empty() => self.rest = data,
                Some(Ok(Ok(_))) => return Poll::Ready(Next::Frame(Some(Ok(Frame::data(Bytes::new()))))),
                Some(Ok(Err(other))) => return Poll::Ready(Next::Frame(Some(Ok(other)))),
                Some(Err(error)) => return Poll::Ready(Next::Frame(Some(Err(error)))),
                None => return Poll::Ready(Next::Frame(None)),
            }
            if let Some(Cut::Within(at)) = self.cut {
                self.cut = Some(Cut::After(share(at, self.rest.len() as u64)));
            }
        }
        let until_cut = match self.cut {
            Some(Cut::After(end)) => end - self.passed,
            _ => u64::MAX,
        };
        if until_cut == 0 {
            return Poll::Ready(Next::Cut);
        }
        let mut most = until_cut.min(self.rest.len() as u64);
        if let Some(pace) = &mut self.pace {
            most = ready!(pace.poll_piece(cx)).min(most);
            pace.sent(most);
        }
        self.passed += most;
        let piece = self.rest.split_to(usize::try_from(most).unwrap_or(self.rest.len()));
        Poll::Ready(Next::Frame(Some(Ok(Frame::data(piece)))))
    }
}

impl Pace {
    /// How many bytes may be sent now.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        ready!(self.next.as_mut().poll(cx));
        Poll::Ready((self.rate / PIECES_PER_SECOND).max(1))
    }

    fn sent(&mut self, bytes: u64) {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        let next = Instant::now() + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.next.as_mut().reset(next);
    }
}

/// This share of a length; always less than the whole.
fn share(at: f64, length: u64) -> u64 {
    ((at * length as f64) as u64).min(length.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, convert::Infallible, future::poll_fn};

    use super::*;

    struct Frames(VecDeque<Frame<Bytes>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn plan(ending: Option<Ending>, rate: Option<u64>) -> Plan {
        Plan { ending, rate, ..Plan::default() }
    }

    /// What passes of these frames, and whether they break off.
    async fn passed(plan: &Plan, content_length: Option<u64>, frames: &[usize]) -> (Vec<usize>, bool) {
        let frames = frames.iter().map(|length| Frame::data(Bytes::from(vec![b'x'; *length])));
        let mut body = Frames(frames.collect());
        let mut fault = BodyFault::of(plan, content_length).unwrap();
        let mut sizes = Vec::new();
        loop {
            match poll_fn(|cx| fault.poll(&mut body, cx)).await {
                Next::Frame(Some(Ok(frame))) => sizes.push(frame.into_data().unwrap().len()),
                Next::Frame(_) => return (sizes, false),
                Next::Cut => return (sizes, true),
            }
        }
    }

    #[tokio::test]
    async fn a_truncated_body_ends_before_its_end() {
        let cut = |at| plan(Some(Ending::Truncate { at }), None);
        assert_eq!(passed(&cut(0.5), Some(100), &[40, 60]).await, (vec![40, 10], true));
        assert_eq!(passed(&cut(0.0), Some(100), &[100]).await, (vec![], true));
        assert_eq!(passed(&cut(0.999_999), Some(10), &[4, 6]).await, (vec![4, 5], true));
        assert_eq!(passed(&cut(0.5), None, &[40, 60]).await, (vec![20], true));
        assert_eq!(passed(&cut(0.0), None, &[40]).await, (vec![], true));
        assert_eq!(passed(&cut(0.9), Some(1), &[1]).await, (vec![], true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_comes_at_its_rate() {
        for (rate, length, seconds) in [(20_000, 100_000, 5), (1000, 3000, 3), (10, 50, 5), (1, 4, 4)] {
            let start = Instant::now();
            let (sizes, cut) =
                passed(&plan(None, Some(rate)), Some(length as u64), &[length / 2, length - length / 2]).await;
            assert_eq!((sizes.iter().sum::<usize>(), cut), (length, false));
            // The last piece doesn't wait for the time that it stands for.
            let took = start.elapsed() + Duration::from_secs_f64(sizes[sizes.len() - 1] as f64 / rate as f64);
            let off = took.abs_diff(Duration::from_secs(seconds));
            assert!(off < Duration::from_millis(150), "{length} at {rate} took {took:?}");
        }
    }

    #[test]
    fn only_bodies_have_faults_of_bodies() {
        assert!(BodyFault::of(&plan(Some(Ending::Reset), None), Some(5)).is_none());
        assert!(BodyFault::of(&plan(None, None), None).is_none());
    }
}
