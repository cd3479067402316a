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

/// All bells of a log.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    ropes: Mutex<Vec<Arc<Rope>>>,
}

/// Wakes those who wait for receipts on one runtime. The log's thread wakes only this, once for all of a batch, and not
/// a task for each exchange, which would be a system call each.
///
/// Where it is dropped, everybody is woken one by one.
#[derive(Debug)]
#[must_use = "receipts come when it rings, or is dropped"]
pub struct Bell {
    rope: Arc<Rope>,
}

/// What the log and a bell have in common.
#[derive(Debug, Default)]
struct Rope {
    waiting: Mutex<Waiting>,
    pulled: Notify,
}

/// What waits for the bell. It is bounded by what the bell's own runtime hands over: one that doesn't get to this
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

impl Rope {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits; none where that is nothing, and nothing will come.
    fn take(&self) -> Option<Vec<Due>> {
        let mut waiting = self.waiting();
        (!waiting.over || !waiting.due.is_empty()).then(|| mem::take(&mut waiting.due))
    }

    /// Has the bell ring for these, or rings for them itself where it is gone.
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

impl Bell {
    /// To be spawned on the runtime where the receipts are awaited. Ends when the log and all its recorders are gone.
    pub async fn ring(self) {
        while let Some(due) = self.rope.take() {
            if due.is_empty() {
                self.rope.pulled.notified().await;
            }
            due.into_iter().for_each(Due::give);
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.rope.end().into_iter().for_each(Due::give);
    }
}

impl Bells {
    fn ropes(&self) -> MutexGuard<'_, Vec<Arc<Rope>>> {
        self.ropes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bell, and its number.
    pub(crate) fn hang(&self) -> (usize, Bell) {
        let mut ropes = self.ropes();
        let rope = Arc::default();
        ropes.push(Arc::clone(&rope));
        (ropes.len() - 1, Bell { rope })
    }

    /// Gives back what is due, each with the number of its bell.
    pub(crate) fn ring(&self, all: impl Iterator<Item = (Option<usize>, Due)>) {
        let ropes = self.ropes().clone();
        let mut batches: Vec<Vec<_>> = ropes.iter().map(|_| Vec::new()).collect();
        for (bell, due) in all {
            match bell.and_then(|bell| batches.get_mut(bell)) {
                Some(batch) if due.done.is_some() || due.spent.is_some() => batch.push(due),
                _ => due.give(),
            }
        }
        for (rope, batch) in ropes.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            rope.pull(batch);
        }
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        for rope in self.ropes().iter() {
            // What waits still is given when the bell rings for the last time.
            rope.waiting().over = true;
            rope.pulled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(bell: Option<usize>) -> ((Option<usize>, Due), oneshot::Receiver<()>) {
        let (done, receipt) = oneshot::channel();
        ((bell, Due { done: Some(done), spent: None }), receipt)
    }

    #[tokio::test]
    async fn each_receipt_is_given_whether_its_bell_hangs_fell_or_never_was() {
        let bells = Bells::default();
        let ((hanging, bell), (fallen, dropped)) = (bells.hang(), bells.hang());
        drop(dropped);
        let (all, mut receipts): (Vec<_>, Vec<_>) =
            [None, Some(hanging), Some(fallen), Some(hanging), Some(9)].map(due).into_iter().unzip();
        bells.ring(all.into_iter());
        let given = |receipts: &mut Vec<oneshot::Receiver<()>>| -> Vec<bool> {
            receipts.iter_mut().map(|receipt| receipt.try_recv().is_ok()).collect()
        };
        assert_eq!(given(&mut receipts), [true, false, true, false, true]);
        drop(bells);
        bell.ring().await;
        assert_eq!(given(&mut receipts), [false, true, false, true, false]);
    }

    #[tokio::test]
    async fn a_bell_rings_as_often_as_it_is_pulled() {
        let bells = Bells::default();
        let (number, bell) = bells.hang();
        let ringing = tokio::spawn(bell.ring());
        for _ in 0..3 {
            let (due, receipt) = due(Some(number));
            bells.ring([due].into_iter());
            receipt.await.unwrap();
        }
        drop(bells);
        ringing.await.unwrap();
    }

    #[tokio::test]
    async fn a_bell_that_falls_gives_what_waited() {
        let bells = Bells::default();
        let (number, bell) = bells.hang();
        let (due, receipt) = due(Some(number));
        bells.ring([due].into_iter());
        drop(bell);
        receipt.await.unwrap();
    }
}
