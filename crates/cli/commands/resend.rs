//! `nightaudit resend`

mod editor;

use std::{collections::BTreeMap, env, io::Write as _, process::ExitCode, str::FromStr, time::SystemTime};

use anyhow::bail;
use clap::Args;
use http::Method;
use nightaudit_app::config::Settings;
use nightaudit_client::{Client, Source};
use nightaudit_exchange::{Exchange, ExchangeId, Filter, Timestamp};
use nightaudit_replay::Pointer;
use nightaudit_store::Order;
use nightaudit_text::{one_line, plain, terminal::print_json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    complete,
    confirm::confirmed,
    error::Usage,
    filters::{self, Filters},
};

/// Send recorded requests again, through the running `serve` and within its limits
#[derive(Debug, Args)]
#[command(after_long_help = "\
Each is recorded as a new exchange that names the old one. Tokens are not in the log: they come from the variables
NIGHTAUDIT_ACCESS_TOKEN and NIGHTAUDIT_CLIENT_TOKEN, else `serve` puts in those that it has seen in this run, unless it
forwards to production (`resend_tokens`). A value of --set is JSON, or else text: --set /Limitation/Count=10, --set /State=Started.

Examples:
  nightaudit resend last-error
  nightaudit resend 0B7Q3M --set /Limitation/Count=10 --times 3
  nightaudit resend 0B7Q3M --edit
  nightaudit resend --session rehearsal --operation 'rates/*' --yes
  nightaudit resend 0B7Q3M --to production")]
pub(crate) struct Resend {
    /// The exchanges: either end of their ids, last or last-error
    #[arg(value_name = "ID", add = complete::exchanges())]
    ids: Vec<String>,
    /// Set a value in the body, by JSON pointer; repeatable
    #[arg(long, value_name = "POINTER=VALUE")]
    set: Vec<Setting>,
    /// Edit the body in VISUAL or EDITOR
    #[arg(short, long)]
    edit: bool,
    /// How often
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    times: u32,
    /// Send to another environment: demo, production, or one from the configuration
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Don't ask before sending to production, or what several filters match
    #[arg(short, long)]
    yes: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filters: Filters,
}

/// A value to set.
#[derive(Debug, Clone)]
struct Setting {
    pointer: Pointer,
    value: Value,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pointer, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` has no value: write /Limitation/Count=10"))?;
        let pointer = pointer.parse().map_err(|error: nightaudit_replay::InvalidPointer| error.to_string())?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self { pointer, value })
    }
}

/// What became of a request; see `POST /api/v1/exchanges/{id}/resend`.
#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    id: ExchangeId,
    of: ExchangeId,
    status: u16,
}

/// See `GET /api/v1/exchanges/{id}/resend`.
#[derive(Debug, Deserialize)]
struct Draft {
    body: Option<String>,
    environments: Vec<Environment>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    name: String,
    host: String,
    production: bool,
}

/// A recorded request.
struct Original {
    id: ExchangeId,
    operation: String,
}

impl Resend {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from_system(SystemTime::now());
        let filter = self.filters.filter(now).map_err(|error| Usage(error.into()))?;
        let is_filtered = filter != Filter::default();
        if self.ids.is_empty() != is_filtered {
            return Err(Usage::new("name the exchanges to send again: either their ids, or filters").into());
        }
        filters::warn(&filter, &settings.contracts()?);
        let Some(client) = Source::console(&settings.data) else {
            bail!("no `nightaudit serve` runs on {}: start one, which sends the requests", settings.data.display());
        };
        let originals = if is_filtered { matching(client, &filter)? } else { named(client, &self.ids)? };
        let Some(client) = Source::console(&settings.data) else { bail!("`nightaudit serve` has ended") };
        if self.edit && originals.len() > 1 {
            return Err(Usage::new(format!("--edit is for one exchange, not for {}", originals.len())).into());
        }
        let Some(first) = originals.first() else {
            bail!("no request matches: `nightaudit tail` shows what was recorded")
        };
        let draft: Draft = client.get(&path(first.id), &[])?;
        let Some(target) = self.target(&draft) else {
            let known: Vec<&str> = draft.environments.iter().map(|known| &*known.name).collect();
            let named = self.to.as_deref().unwrap_or_default();
            return Err(Usage::new(format!("`{named}` is not an environment: use {}", known.join(", "))).into());
        };
        if !self.may_send(originals.len(), target)? {
            return Ok(ExitCode::FAILURE);
        }
        let body = match self.edit {
            true => Some(editor::edit(draft.body.as_deref().unwrap_or_default())?),
            false => None,
        };
        let wanted = self.request(body, target);
        for original in &originals {
            for _ in 0..self.times {
                let sent: Sent = client.have_sent(&path(original.id), &wanted)?;
                self.say(original, &sent)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn target<'d>(&self, draft: &'d Draft) -> Option<&'d Environment> {
        match &self.to {
            None => draft.environments.first(),
            Some(name) => draft.environments.iter().find(|known| known.name == *name),
        }
    }

    /// Asks where much, or something that can't be undone, would be sent.
    fn may_send(&self, originals: usize, target: &Environment) -> anyhow::Result<bool> {
        let requests = u64::try_from(originals).unwrap_or(u64::MAX).saturating_mul(u64::from(self.times));
        let is_matched = self.ids.is_empty() && originals > 1;
        if self.yes || !target.production && !is_matched {
            return Ok(true);
        }
        let what = if requests == 1 { "1 request".to_owned() } else { format!("{requests} requests") };
        let place = if target.production { format!("PRODUCTION ({})", target.host) } else { target.host.clone() };
        confirmed(&format!("Send {what} to {}?", plain(&place)))
    }

    fn request(&self, body: Option<String>, target: &Environment) -> Value {
        let token = |name: &str| env::var(name).ok().filter(|token| !token.is_empty());
        let set: BTreeMap<String, &Value> =
            self.set.iter().map(|Setting { pointer, value }| (pointer.to_string(), value)).collect();
        json!({
            "body": body,
            "set": set,
            "environment": target.name,
            "accessToken": token("NIGHTAUDIT_ACCESS_TOKEN"),
            "clientToken": token("NIGHTAUDIT_CLIENT_TOKEN"),
            // Asked before.
            "confirm": target.production,
        })
    }

    fn say(&self, original: &Original, sent: &Sent) -> anyhow::Result<()> {
        if self.json {
            print_json(sent)?;
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{}  {}  {}  sent again from {}", sent.id, sent.status, plain(&original.operation), sent.of)?;
        Ok(out.flush()?)
    }
}

/// The console's path for sending a request again.
fn path(id: ExchangeId) -> String {
    format!("/api/v1/exchanges/{id}/resend")
}

/// The exchanges with these ids.
fn named(client: Client, ids: &[String]) -> anyhow::Result<Vec<Original>> {
    let source = Source::Console(client);
    ids.iter().map(|id| Ok(Original::of(&source.find(id)?))).collect()
}

/// The requests that match, oldest first; what a WebSocket said is none.
fn matching(client: Client, filter: &Filter) -> anyhow::Result<Vec<Original>> {
    let mut found = Vec::new();
    for exchange in Source::Console(client).exchanges(filter, Order::Oldest, None)? {
        match exchange {
            Ok(exchange) if is_request(&exchange) => found.push(Original::of(&exchange)),
            Ok(_) => {}
            Err(error) if error.is_argument() => return Err(error.into()),
            Err(error) => tracing::warn!("not sent again: {}", one_line(&error)),
        }
    }
    Ok(found)
}

fn is_request(exchange: &Exchange) -> bool {
    exchange.web_socket.is_none()
        && exchange.status() != Some(101)
        && exchange.request.method != Method::CONNECT.as_str()
}

impl Original {
    fn of(exchange: &Exchange) -> Self {
        Self { id: exchange.id, operation: exchange.operation.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_else_text() {
        for (text, pointer, value) in [
            ("/Limitation/Count=10", "/Limitation/Count", json!(10)),
            ("/State=Started", "/State", json!("Started")),
            ("/State=\"1\"", "/State", json!("1")),
            ("/Ids=[\"a=b\"]", "/Ids", json!(["a=b"])),
            ("/Text=", "/Text", json!("")),
            ("/Text=null", "/Text", json!(null)),
        ] {
            let setting: Setting = text.parse().unwrap();
            assert_eq!((setting.pointer.to_string().as_str(), setting.value), (pointer, value), "{text}");
        }
        for (text, named) in
            [("/Count", "no value"), ("Count=1", "`Count` is not a JSON pointer"), ("=1", "JSON pointer")]
        {
            let error = text.parse::<Setting>().unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
