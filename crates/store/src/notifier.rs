//! Receipts, and what exchanges were made of, on their way back to the runtime that handed the exchanges over.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nightaudit_exchange::Capture;
use tokio::sync::{Notify, oneshot};

/// What the runtime that handed an exchange over gets back.
pub(crate) struct Due {
    /// The receipt, where somebody waits for it.
    pub(crate) done: Option<oneshot::Sender<()>>,
    /// What the exchange was made of: memory is let go of most cheaply by the thread that took it.
    pub(crate) spent: Option<Box<Capture>>,
}

impl Due {
    fn give(self) {
        if let Some(done) = self.done {
            // Nobody waits any more where the integration has left.
            let _ = done.send(());
        }
    }
}

/// All notifiers of a log.
#[derive(Debug, Default)]
pub(crate) struct Notifiers {
    signals: Mutex<Vec<Arc<Signal>>>,
}

/// Wakes those who wait for receipts on one runtime. The log's thread wakes only this, once for all of a batch, and not
/// a task for each exchange, which would be a system call each.
///
/// Where it is dropped, everybody is woken one by one.
#[derive(Debug)]
#[must_use = "receipts come when it rings, or is dropped"]
pub struct Notifier {
    signal: Arc<Signal>,
}

/// What the log and a notifier have in common.
#[derive(Debug, Default)]
struct Signal {
    waiting: Mutex<Waiting>,
    pulled: Notify,
}

/// What waits for the notifier. It is bounded by what the notifier's own runtime hands over: one that doesn't get to this
/// doesn't get to requests, either.
#[derive(Default)]
struct Waiting {
    due: Vec<Due>,
    /// Whether one of the ends is gone, so that nothing is put here any more.
    over: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("due", &self.due.len()).field("over", &self.over).finish()
    }
}

impl Signal {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits; none where that is nothing, and nothing will come.
    fn take(&self) -> Option<Vec<Due>> {
        let mut waiting = self.waiting();
        (!waiting.over || !waiting.due.is_empty()).then(|| mem::take(&mut waiting.due))
    }

    /// Has the notifier ring for these, or rings for them itself where it is gone.
    fn pull(&self, due: Vec<Due>) {
        let mut waiting = self.waiting();
        if waiting.over {
            drop(waiting);
            due.into_iter().for_each(Due::give);
        } else {
            waiting.due.extend(due);
            drop(waiting);
            self.pulled.notify_one();
        }
    }

    fn end(&self) -> Vec<Due> {
        let mut waiting = self.waiting();
        waiting.over = true;
        mem::take(&mut waiting.due)
    }
}

impl Notifier {
    /// To be spawned on the runtime where the receipts are awaited. Ends when the log and all its recorders are gone.
    pub async fn run(self) {
        while let Some(due) = self.signal.take() {
            if due.is_empty() {
                self.signal.pulled.notified().await;
            }
            due.into_iter().for_each(Due::give);
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.signal.end().into_iter().for_each(Due::give);
    }
}

impl Notifiers {
    fn signals(&self) -> MutexGuard<'_, Vec<Arc<Signal>>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A notifier, and its number.
    pub(crate) fn hang(&self) -> (usize, Notifier) {
        let mut signals = self.signals();
        let signal = Arc::default();
        signals.push(Arc::clone(&signal));
        (signals.len() - 1, Notifier { signal })
    }

    /// Gives back what is due, each with the number of its notifier.
    pub(crate) fn ring(&self, all: impl Iterator<Item = (Option<usize>, Due)>) {
        let signals = self.signals().clone();
        let mut batches: Vec<Vec<_>> = signals.iter().map(|_| Vec::new()).collect();
        for (notifier, due) in all {
            match notifier.and_then(|notifier| batches.get_mut(notifier)) {
                Some(batch) if due.done.is_some() || due.spent.is_some() => batch.push(due),
                _ => due.give(),
            }
        }
        for (signal, batch) in signals.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            signal.pull(batch);
        }
    }
}

impl Drop for Notifiers {
    fn drop(&mut self) {
        for signal in self.signals().iter() {
            // What waits still is given when the notifier rings for the last time.
            signal.waiting().over = true;
            signal.pulled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(notifier: Option<usize>) -> ((Option<usize>, Due), oneshot::Receiver<()>) {
        let (done, receipt) = oneshot::channel();
        ((notifier, Due { done: Some(done), spent: None }), receipt)
    }

    #[tokio::test]
    async fn each_receipt_is_given_whether_its_bell_hangs_fell_or_never_was() {
        let notifiers = Notifiers::default();
        let ((hanging, notifier), (fallen, dropped)) = (notifiers.hang(), notifiers.hang());
        drop(dropped);
        let (all, mut receipts): (Vec<_>, Vec<_>) =
            [None, Some(hanging), Some(fallen), Some(hanging), Some(9)].map(due).into_iter().unzip();
        notifiers.ring(all.into_iter());
        let given = |receipts: &mut Vec<oneshot::Receiver<()>>| -> Vec<bool> {
            receipts.iter_mut().map(|receipt| receipt.try_recv().is_ok()).collect()
        };
        assert_eq!(given(&mut receipts), [true, false, true, false, true]);
        drop(notifiers);
        notifier.run().await;
        assert_eq!(given(&mut receipts), [false, true, false, true, false]);
    }

    #[tokio::test]
    async fn a_bell_rings_as_often_as_it_is_pulled() {
        let notifiers = Notifiers::default();
        let (number, notifier) = notifiers.hang();
        let ringing = tokio::spawn(notifier.run());
        for _ in 0..3 {
            let (due, receipt) = due(Some(number));
            notifiers.ring([due].into_iter());
            receipt.await.unwrap();
        }
        drop(notifiers);
        ringing.await.unwrap();
    }

    #[tokio::test]
    async fn a_bell_that_falls_gives_what_waited() {
        let notifiers = Notifiers::default();
        let (number, notifier) = notifiers.hang();
        let (due, receipt) = due(Some(number));
        notifiers.ring([due].into_iter());
        drop(notifier);
        receipt.await.unwrap();
    }
}
