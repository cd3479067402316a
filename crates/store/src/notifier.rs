//! Receipts on their way back to the runtime that handed the exchanges over.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};

/// Resolves a receipt. The client may have disconnected.
fn resolve(receipt: oneshot::Sender<()>) {
    let _ = receipt.send(());
}

/// The notifiers of a log.
#[derive(Debug, Default)]
pub(crate) struct Notifiers {
    signals: Mutex<Vec<Arc<Signal>>>,
}

/// Resolves receipts on one runtime. The writer thread wakes only the notifier, once per batch, rather than a task per
/// exchange, which would be a system call each.
///
/// Once it is dropped, tasks are woken one by one.
#[derive(Debug)]
#[must_use = "receipts resolve only while it runs, or once it is dropped"]
pub struct Notifier {
    signal: Arc<Signal>,
}

/// State shared by the log, a notifier and the recorder of its runtime.
#[derive(Default)]
pub(crate) struct Signal {
    number: usize,
    queue: Mutex<Queue>,
    wake: Notify,
}

/// What waits for the notifier. Bounded by what the notifier's own runtime hands over: one too busy to run the notifier
/// is too busy to take requests.
#[derive(Default)]
struct Queue {
    due: Vec<oneshot::Sender<()>>,
    /// Whether either end is gone; nothing is queued then.
    closed: bool,
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.queue();
        f.debug_struct("Signal").field("due", &queue.due.len()).field("closed", &queue.closed).finish_non_exhaustive()
    }
}

impl Signal {
    /// The notifier's number.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is queued; `None` if that is nothing and nothing will come.
    fn take(&self) -> Option<Vec<oneshot::Sender<()>>> {
        let mut queue = self.queue();
        (!queue.closed || !queue.due.is_empty()).then(|| mem::take(&mut queue.due))
    }

    /// Queues these for the notifier, or delivers them here if it is gone.
    fn enqueue(&self, due: Vec<oneshot::Sender<()>>) {
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            due.into_iter().for_each(resolve);
        } else {
            queue.due.extend(due);
            drop(queue);
            self.wake.notify_one();
        }
    }

    fn end(&self) -> Vec<oneshot::Sender<()>> {
        let mut queue = self.queue();
        queue.closed = true;
        mem::take(&mut queue.due)
    }
}

impl Notifier {
    /// Resolves receipts until the log and all its recorders are gone. Spawn it on the runtime where the receipts are
    /// awaited.
    pub async fn run(self) {
        while let Some(due) = self.signal.take() {
            if due.is_empty() {
                self.signal.wake.notified().await;
            }
            due.into_iter().for_each(resolve);
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.signal.end().into_iter().for_each(resolve);
    }
}

impl Notifiers {
    fn signals(&self) -> MutexGuard<'_, Vec<Arc<Signal>>> {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a notifier and returns it with what its recorder shares with it.
    pub(crate) fn register(&self) -> (Arc<Signal>, Notifier) {
        let mut signals = self.signals();
        let signal = Arc::new(Signal { number: signals.len(), ..Signal::default() });
        signals.push(Arc::clone(&signal));
        (Arc::clone(&signal), Notifier { signal })
    }

    /// Resolves each receipt through the notifier of its number.
    pub(crate) fn deliver(&self, all: impl Iterator<Item = (Option<usize>, oneshot::Sender<()>)>) {
        let signals = self.signals().clone();
        let mut batches: Vec<Vec<_>> = signals.iter().map(|_| Vec::new()).collect();
        for (notifier, due) in all {
            match notifier.and_then(|notifier| batches.get_mut(notifier)) {
                Some(batch) => batch.push(due),
                None => resolve(due),
            }
        }
        for (signal, batch) in signals.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            signal.enqueue(batch);
        }
    }
}

impl Drop for Notifiers {
    fn drop(&mut self) {
        for signal in self.signals().iter() {
            // The notifier delivers what is left when it wakes for the last time.
            signal.queue().closed = true;
            signal.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(notifier: Option<usize>) -> ((Option<usize>, oneshot::Sender<()>), oneshot::Receiver<()>) {
        let (done, receipt) = oneshot::channel();
        ((notifier, done), receipt)
    }

    #[tokio::test]
    async fn receipts_resolve_with_a_running_a_dropped_or_no_notifier() {
        let notifiers = Notifiers::default();
        let ((running, notifier), (gone, dropped)) = (notifiers.register(), notifiers.register());
        drop(dropped);
        let (all, mut receipts): (Vec<_>, Vec<_>) =
            [None, Some(running.number), Some(gone.number), Some(running.number), Some(9)].map(due).into_iter().unzip();
        notifiers.deliver(all.into_iter());
        let resolved = |receipts: &mut Vec<oneshot::Receiver<()>>| -> Vec<bool> {
            receipts.iter_mut().map(|receipt| receipt.try_recv().is_ok()).collect()
        };
        assert_eq!(resolved(&mut receipts), [true, false, true, false, true]);
        drop(notifiers);
        notifier.run().await;
        assert_eq!(resolved(&mut receipts), [false, true, false, true, false]);
    }

    #[tokio::test]
    async fn a_notifier_delivers_every_batch() {
        let notifiers = Notifiers::default();
        let (signal, notifier) = notifiers.register();
        let task = tokio::spawn(notifier.run());
        for _ in 0..3 {
            let (due, receipt) = due(Some(signal.number));
            notifiers.deliver([due].into_iter());
            receipt.await.unwrap();
        }
        drop(notifiers);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_notifier_delivers_what_is_queued() {
        let notifiers = Notifiers::default();
        let (signal, notifier) = notifiers.register();
        let (due, receipt) = due(Some(signal.number));
        notifiers.deliver([due].into_iter());
        drop(notifier);
        receipt.await.unwrap();
    }
}
