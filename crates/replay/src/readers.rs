//! Threads that read exchanges from the log.

use std::{
    io,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use nightaudit_exchange::{Exchange, ExchangeId};
use tokio::sync::oneshot;

/// Reads one exchange by its id; the error says why it can't.
pub type Reader = Box<dyn FnMut(ExchangeId) -> Result<Exchange, String>>;

/// Makes a reader, on the thread that uses it.
pub type OpenReader = Box<dyn FnOnce() -> Result<Reader, String> + Send>;

type Job = (ExchangeId, oneshot::Sender<Result<Exchange, String>>);

/// Reading may take long, so that it is done on threads of its own. Dropping it ends them.
#[derive(Debug)]
pub struct Readers {
    threads: Vec<mpsc::Sender<Job>>,
    next: AtomicUsize,
}

impl Readers {
    /// A thread for each of these.
    ///
    /// # Errors
    ///
    /// The system has no more threads.
    pub fn start(openers: impl IntoIterator<Item = OpenReader>) -> io::Result<Self> {
        let threads = openers.into_iter().map(|open| {
            let (jobs, inbox) = mpsc::channel();
            thread::Builder::new().name("replay-reader".to_owned()).spawn(move || read(open, &inbox))?;
            Ok(jobs)
        });
        Ok(Self { threads: threads.collect::<io::Result<_>>()?, next: AtomicUsize::new(0) })
    }

    pub(crate) async fn read(&self, id: ExchangeId) -> Result<Exchange, String> {
        const ENDED: &str = "the thread that reads the log has ended";
        let (result, read) = oneshot::channel();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let thread = self.threads.get(turn % self.threads.len().max(1)).ok_or(ENDED)?;
        thread.send((id, result)).map_err(|_| ENDED)?;
        read.await.map_err(|_| ENDED)?
    }
}

fn read(open: OpenReader, inbox: &mpsc::Receiver<Job>) {
    let mut reader = open();
    while let Ok((id, result)) = inbox.recv() {
        // The client may have left.
        if result.is_closed() {
            continue;
        }
        let _ = result.send(match &mut reader {
            Ok(reader) => reader(id),
            Err(error) => Err(error.clone()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Recorded;

    fn openers() -> Vec<OpenReader> {
        let open = |number: u64| -> OpenReader {
            Box::new(move || Ok(Box::new(move |_| Ok(Recorded::default().exchange(number)))))
        };
        vec![open(1), open(2), Box::new(|| Err("no log".to_owned()))]
    }

    #[tokio::test]
    async fn each_thread_reads_in_turn() {
        let readers = Readers::start(openers()).unwrap();
        let id = Recorded::default().exchange(0).id;
        for wanted in [Ok(2), Ok(3), Err("no log".to_owned()), Ok(2)] {
            assert_eq!(readers.read(id).await.map(|exchange| exchange.sequence), wanted);
        }
        assert!(Readers::start([]).unwrap().read(id).await.unwrap_err().contains("ended"));
    }
}
