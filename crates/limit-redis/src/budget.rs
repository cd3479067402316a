//! The budget as the proxy sees it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nightaudit_limit::{
    Action, Admission, AdmissionRequest, Admit, Config as Limits, ConfigError, History, KeyParts, KeyState, Totals,
    Unavailable, Usage,
};
use tokio::time::timeout;

use crate::address::Address;
use crate::engine::{Answer, Engine, Granted, Wish};
use crate::node::Node;
use crate::permit::BudgetPermit;
use crate::plan::Plan;
use crate::queue::Queues;
use crate::session::{SessionError, Target};
use crate::share::Share;
use crate::tls;

/// The configuration of a [`Budget`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetConfig {
    /// The rules, the same on every node.
    pub limits: Limits,
    /// Where Redis is.
    pub address: Address,
    /// A PEM file of authorities to trust in addition to the system's, for `rediss://`.
    pub ca: Option<PathBuf>,
    /// How long a request may wait for Redis.
    pub timeout: Duration,
    /// This node's name, unique in the fleet.
    pub node: String,
    /// What happens while Redis can't be reached.
    pub on_failure: OnFailure,
}

/// What happens while Redis can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Nothing is admitted.
    Refuse,
    /// After a window each of so many nodes, at least one, goes on with its share of every rule.
    Share {
        /// The nodes of the fleet, all of them.
        nodes: u32,
    },
}

/// Whether Redis is reached, and what is done meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Why Redis can't be reached; `None` if it could be when that was last tried.
    pub failing: Option<String>,
    /// Whether this node goes on with its share of every rule now.
    pub sharing: bool,
}

/// Why a [`Budget`] can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// The rules are invalid.
    #[error(transparent)]
    Limits(#[from] ConfigError),
    /// The certificate authorities can't be read.
    #[error("can't read the authorities for {address}: {cause}")]
    Authorities {
        /// Where Redis is.
        address: String,
        /// What is wrong, and where.
        cause: String,
    },
    /// The system's random number generator failed.
    #[error("the system has no random numbers")]
    Random(#[source] getrandom::Error),
}

/// One budget for many nodes. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Budget {
    engine: Arc<Engine>,
    queues: Arc<Queues>,
}

/// How long the first connection may take.
const FIRST: Duration = Duration::from_secs(10);

impl Budget {
    /// Prepares a budget; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`BudgetError`] if the configuration can't be used.
    pub fn new(config: BudgetConfig) -> Result<Self, BudgetError> {
        config.limits.validate()?;
        let tls = match config.address.tls {
            true => Some(
                tls::client(config.ca.as_deref())
                    .map_err(|cause| BudgetError::Authorities { address: config.address.to_string(), cause })?,
            ),
            false => None,
        };
        let share = match config.on_failure {
            OnFailure::Refuse => None,
            OnFailure::Share { nodes } => Some(Share::new(&config.limits, nodes.max(1))?),
        };
        let plan = Plan::new(&config.limits, share.as_ref().map_or(0, |share| share.nodes));
        let target = Target { address: config.address, tls };
        let node = Node::new(plan, target, share, config.node).map_err(BudgetError::Random)?;
        let engine = Engine::new(node, config.limits.action, config.timeout);
        Ok(Self { engine: Arc::new(engine), queues: Arc::default() })
    }

    /// Whether Redis is reached.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let node = &self.engine.node;
        Reach { failing: node.outage(), sharing: node.share.as_ref().is_some_and(Share::is_open) }
    }

    fn admitted(&self, granted: Granted, rule: Option<usize>, used: u64, waited: Duration) -> Admission<BudgetPermit> {
        let usage = rule.and_then(|rule| self.engine.node.plan.rules.get(rule)).map(|rule| Usage {
            rule: Arc::clone(&rule.name),
            used: rule.in_requests(used),
            limit: rule.requests,
        });
        Admission::Admitted { permit: BudgetPermit::new(Arc::clone(&self.engine), granted), usage, waited }
    }
}

impl Admit for Budget {
    type Permit = BudgetPermit;

    fn key(&self) -> KeyParts {
        self.engine.node.plan.parts
    }

    fn counts_pages(&self) -> bool {
        self.engine.node.plan.pages
    }

    async fn admit(&self, arrival: &AdmissionRequest<'_>) -> Result<Admission<BudgetPermit>, Unavailable> {
        let engine = &self.engine;
        if let Some(share) = engine.node.share.as_ref().filter(|share| share.is_open()) {
            let keys = Arc::new(engine.node.plan.keys(arrival));
            let permit = |permit| BudgetPermit::local(Arc::clone(engine), keys, permit);
            return Ok(match Admit::admit(&share.limiter, arrival).await? {
                Admission::Admitted { permit: own, usage, waited } => {
                    Admission::Admitted { permit: permit(own), usage, waited }
                }
                Admission::Observed { permit: own, refusal } => Admission::Observed { permit: permit(own), refusal },
                Admission::Refused(refusal) => Admission::Refused(refusal),
            });
        }
        let keys = Arc::new(engine.node.plan.keys(arrival));
        engine.node.note(&keys, arrival);
        let mode = match engine.action {
            Action::Reject => "count",
            Action::Observe => "force",
            Action::Delay { max_delay, max_queued } => {
                return match self.queues.wait(engine, &keys, max_delay, max_queued).await? {
                    (Answer::Admitted { granted, rule, used }, waited) => {
                        Ok(self.admitted(granted, rule, used, waited))
                    }
                    (Answer::Refused(refused), _) => Ok(Admission::Refused(engine.refusal(refused))),
                    _ => Err(engine.node.unavailable("Redis gave a reply that makes no sense")),
                };
            }
        };
        match engine.ask(&keys, Wish { mode, ahead: (0, 0) }).await? {
            Answer::Admitted { granted, rule, used } => Ok(self.admitted(granted, rule, used, Duration::ZERO)),
            Answer::Observed { granted, refused } => {
                engine.counts.refused[refused.rule].fetch_add(1, Ordering::Relaxed);
                let permit = BudgetPermit::new(Arc::clone(engine), granted);
                Ok(Admission::Observed { permit, refusal: engine.refusal(refused) })
            }
            Answer::Refused(refused) => {
                engine.counts.refused[refused.rule].fetch_add(1, Ordering::Relaxed);
                Ok(Admission::Refused(engine.refusal(refused)))
            }
            Answer::Open => Err(engine.node.unavailable("Redis gave a reply that makes no sense")),
        }
    }

    /// Connects. What was sent through Redis is there; the history isn't needed.
    async fn restore(&self, _: History) -> Result<(), Unavailable> {
        let link = self.engine.link();
        let up = async {
            loop {
                // A wrong password doesn't become right by waiting.
                if let Some(error @ SessionError::Lasting(_)) = link.failure() {
                    return Err(self.engine.node.unavailable(&error.to_string()));
                }
                if timeout(Duration::from_millis(100), link.up(&self.engine.node)).await.is_ok() {
                    return Ok(());
                }
            }
        };
        match timeout(FIRST, up).await {
            Ok(up) => up,
            Err(_) => {
                let cause =
                    link.failure().map_or_else(|| format!("no reply within {FIRST:?}"), |error| error.to_string());
                Err(self.engine.node.unavailable(&cause))
            }
        }
    }

    async fn report(&self) -> Result<Vec<KeyState>, Unavailable> {
        match self.engine.node.share.as_ref().filter(|share| share.is_open()) {
            Some(share) => Ok(share.limiter.state()),
            None => self.engine.report().await,
        }
    }

    async fn totals(&self) -> Result<Totals, Unavailable> {
        match self.engine.node.share.as_ref().filter(|share| share.is_open()) {
            Some(share) => Ok(share.limiter.totals()),
            None => self.engine.totals().await,
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("address", &self.engine.node.target.address).finish_non_exhaustive()
    }
}
