//! Receipts, handed to the runtime that waits for them.

use std::sync::{Mutex, PoisonError};

use nightaudit_exchange::Capture;
use tokio::sync::{mpsc, oneshot};

/// What the runtime that handed an exchange over gets back.
pub(crate) struct Due {
    /// The receipt, where somebody waits for it.
    pub(crate) done: Option<oneshot::Sender<()>>,
    /// What the exchange was made of: memory is let go of most cheaply by the thread that took it.
    pub(crate) spent: Option<Box<Capture>>,
}

/// The other end of a [`Bell`].
type Rope = mpsc::UnboundedSender<Vec<Due>>;

/// All bells of a log.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    ropes: Mutex<Vec<Rope>>,
}

/// Wakes those who wait for receipts on one runtime. The log's thread wakes only this, once for all of a batch, and not a
/// task for each exchange, which would be a system call each.
///
/// Where it is dropped, everybody is woken one by one.
#[derive(Debug)]
#[must_use = "receipts are late until somebody lets it ring"]
pub struct Bell {
    // It is bounded by what its own runtime hands over: one that doesn't get to this doesn't get to requests, either.
    batches: mpsc::UnboundedReceiver<Vec<Due>>,
}

impl Bell {
    /// To be spawned on the runtime where the receipts are awaited. Ends with the log.
    pub async fn ring(mut self) {
        while let Some(batch) = self.batches.recv().await {
            batch.into_iter().for_each(answer);
        }
    }
}

impl Bells {
    /// A bell, and its number.
    pub(crate) fn hang(&self) -> (usize, Bell) {
        let (rope, batches) = mpsc::unbounded_channel();
        let mut ropes = self.ropes.lock().unwrap_or_else(PoisonError::into_inner);
        ropes.push(rope);
        (ropes.len() - 1, Bell { batches })
    }

    /// Gives back what is due, each with the number of its bell.
    pub(crate) fn ring(&self, all: impl Iterator<Item = (Option<usize>, Due)>) {
        let ropes = self.ropes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batches: Vec<Vec<_>> = ropes.iter().map(|_| Vec::new()).collect();
        for (bell, due) in all {
            match bell.and_then(|bell| batches.get_mut(bell)) {
                Some(batch) if due.done.is_some() || due.spent.is_some() => batch.push(due),
                _ => answer(due),
            }
        }
        for (rope, batch) in ropes.iter().zip(batches).filter(|(_, batch)| !batch.is_empty()) {
            if let Err(mpsc::error::SendError(batch)) = rope.send(batch) {
                batch.into_iter().for_each(answer);
            }
        }
    }
}

fn answer(due: Due) {
    if let Some(done) = due.done {
        // Nobody waits any more where the integration has left.
        let _ = done.send(());
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
        let (all, receipts): (Vec<_>, Vec<_>) =
            [None, Some(hanging), Some(fallen), Some(hanging), Some(9)].map(due).into_iter().unzip();
        bells.ring(all.into_iter());
        let given = |receipts: &mut Vec<oneshot::Receiver<()>>| -> Vec<bool> {
            receipts.iter_mut().map(|receipt| receipt.try_recv().is_ok()).collect()
        };
        let mut receipts = receipts;
        assert_eq!(given(&mut receipts), [true, false, true, false, true]);
        drop(bells);
        bell.ring().await;
        assert_eq!(given(&mut receipts), [false, true, false, true, false]);
    }

    #[tokio::test]
    async fn receipts_of_a_runtime_that_ended_are_over() {
        let bells = Bells::default();
        let (number, bell) = bells.hang();
        let (due, receipt) = due(Some(number));
        bells.ring([due].into_iter());
        drop(bell);
        receipt.await.unwrap_err();
    }
}
