//! The connections of this process, one for each thread that asks.
//!
//! A connection is driven by the runtime that opened it, and each worker of the proxy has its own: a request that asked over
//! another thread's connection would wake that thread twice, which costs more than Redis' answer.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::{interval, sleep, timeout};

use crate::node::{Node, Standing};
use crate::session::{Session, SessionError};
use crate::settlements::Settlements;
use crate::share::REPLY;
use crate::wire::Fault;

/// The links of all threads. Threads that ended leave an empty one behind.
#[derive(Debug, Default)]
pub(crate) struct Links(RwLock<HashMap<ThreadId, Arc<Link>>>);

impl Links {
    /// This thread's, and whether it is new. Nothing is connected yet.
    pub(crate) fn here(&self) -> (Arc<Link>, bool) {
        let thread = thread::current().id();
        if let Some(link) = self.0.read().get(&thread) {
            return (Arc::clone(link), false);
        }
        let link = Arc::clone(self.0.write().entry(thread).or_default());
        (link, true)
    }
}

/// One thread's connection, and what it has to tell Redis.
#[derive(Debug, Default)]
pub(crate) struct Link {
    state: Mutex<State>,
    changed: Notify,
    pub(crate) settlements: Settlements,
}

#[derive(Debug, Default)]
struct State {
    up: Option<Up>,
    connecting: bool,
    /// Why the last attempt failed.
    failure: Option<SessionError>,
}

/// An open session, and what the fleet knew when it was opened or last asked.
#[derive(Debug, Clone)]
pub(crate) struct Up {
    pub(crate) session: Arc<Session>,
    pub(crate) standing: Standing,
}

impl Link {
    /// The open session; waits until there is one. Callers bound the wait.
    pub(crate) async fn up(self: &Arc<Self>, node: &Arc<Node>) -> Up {
        loop {
            let changed = self.changed.notified();
            if let Some(up) = self.present(node) {
                return up;
            }
            changed.await;
        }
    }

    /// The session, if it is open; otherwise one is being opened.
    fn present(self: &Arc<Self>, node: &Arc<Node>) -> Option<Up> {
        let mut state = self.state.lock();
        if let Some(up) = state.up.as_ref().filter(|up| !up.session.is_closed()) {
            return Some(up.clone());
        }
        state.up = None;
        if !state.connecting {
            state.connecting = true;
            tokio::spawn(open(Arc::downgrade(node), Arc::downgrade(self)));
        }
        None
    }

    /// Why there is no session.
    pub(crate) fn failure(&self) -> Option<SessionError> {
        self.state.lock().failure.clone()
    }

    /// The generation as far as it is known.
    pub(crate) fn generation(&self) -> Option<Arc<str>> {
        self.state.lock().up.as_ref().map(|up| Arc::clone(&up.standing.generation))
    }

    /// Gives up a session that has turned out to be unfit; another one is opened when it is needed.
    pub(crate) fn close(&self, session: &Arc<Session>) {
        let mut state = self.state.lock();
        if state.up.as_ref().is_some_and(|up| Arc::ptr_eq(&up.session, session)) {
            state.up = None;
        }
    }

    fn opened(&self, up: Result<Up, SessionError>) {
        {
            let mut state = self.state.lock();
            state.connecting = false;
            match up {
                Ok(up) => (state.up, state.failure) = (Some(up), None),
                Err(failure) => state.failure = Some(failure),
            }
        }
        self.changed.notify_waiters();
    }

    /// What the fleet knows now.
    fn learned(&self, session: &Arc<Session>, standing: Standing) {
        let mut state = self.state.lock();
        if let Some(up) = state.up.as_mut().filter(|up| Arc::ptr_eq(&up.session, session)) {
            up.standing = standing;
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Opens a session, however often it takes.
async fn open(node: Weak<Node>, link: Weak<Link>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Some((node, link)) = node.upgrade().zip(link.upgrade()) else { return };
        match attempt(&node).await {
            Ok(up) => {
                node.reached();
                let session = Arc::clone(&up.session);
                link.opened(Ok(up));
                tokio::spawn(keep(Arc::downgrade(&node), Arc::downgrade(&link), session));
                return;
            }
            Err(error) => {
                node.missed(&error);
                link.state.lock().failure = Some(error);
                link.changed.notify_waiters();
            }
        }
        drop((node, link));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt(node: &Node) -> Result<Up, SessionError> {
    let session = node.target.session().await?;
    let standing = node.greet(&session, "").await?;
    Ok(Up { session: Arc::new(session), standing })
}

/// How often a node is heard of.
const REGULARLY: Duration = Duration::from_secs(1);

/// Watches over a session: whether the same process still answers, in the same role, and what the fleet knows.
async fn keep(node: Weak<Node>, link: Weak<Link>, session: Arc<Session>) {
    let mut beats = interval(REGULARLY);
    loop {
        beats.tick().await;
        let Some((node, link)) = node.upgrade().zip(link.upgrade()) else { return };
        if session.is_closed() {
            // Also if nobody asks: a node with a share of its own learns in this way that Redis is back.
            link.present(&node);
            return;
        }
        let asked = async {
            if session.incarnation_now().await? != session.incarnation {
                return Err(Fault::Closed);
            }
            node.greet(&session, "").await
        };
        match timeout(REPLY, asked).await {
            Ok(Ok(standing)) => {
                link.learned(&session, standing);
                node.list_keys(&session).await;
            }
            Ok(Err(_)) | Err(_) => {
                link.close(&session);
                link.present(&node);
                return;
            }
        }
    }
}
