//! The scripts that Redis runs.

use crate::wire::{Command, Connection, Fault, Reply};

/// The scripts, by their digests on the server that has loaded them.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) admit: String,
    pub(crate) renew: String,
    pub(crate) settle: String,
    pub(crate) signal: String,
    pub(crate) greet: String,
    pub(crate) report: String,
    pub(crate) list: String,
}

/// What the scripts have in the place of a clock.
const CLOCK: &str = "clock()";

const ADMIT: &str = concat!(include_str!("lua/windows.lua"), include_str!("lua/admit.lua"));
const REPORT: &str = concat!(include_str!("lua/windows.lua"), include_str!("lua/report.lua"));
const RENEW: &str = include_str!("lua/renew.lua");
const SETTLE: &str = include_str!("lua/settle.lua");
const SIGNAL: &str = include_str!("lua/signal.lua");
const GREET: &str = include_str!("lua/greet.lua");
const LIST: &str = include_str!("lua/list.lua");

impl Scripts {
    /// Loads them.
    pub(crate) async fn load(connection: &Connection) -> Result<Self, Fault> {
        Self::load_at(connection, "redis.call('TIME')").await
    }

    /// Loads them with another clock, an expression of Lua.
    pub(crate) async fn load_at(connection: &Connection, clock: &str) -> Result<Self, Fault> {
        let loads = [ADMIT, RENEW, SETTLE, SIGNAL, GREET, REPORT, LIST]
            .map(|script| connection.call(Command::of(&["SCRIPT", "LOAD", &script.replace(CLOCK, clock)])));
        let mut digests = Vec::new();
        for load in loads {
            digests.push(load.await?.text().ok_or(Fault::Nonsense)?);
        }
        let [admit, renew, settle, signal, greet, report, list] = digests.try_into().map_err(|_| Fault::Nonsense)?;
        Ok(Self { admit, renew, settle, signal, greet, report, list })
    }
}

/// A call of a script with so many keys and arguments.
pub(crate) fn run(digest: &str, keys: usize, arguments: usize) -> Command {
    Command::new(3 + keys + arguments).word(b"EVALSHA").word(digest.as_bytes()).number(keys as u64)
}

/// A list that a script returned.
pub(crate) fn list(reply: &Reply) -> Result<&[Reply], Fault> {
    reply.list().ok_or(Fault::Nonsense)
}
