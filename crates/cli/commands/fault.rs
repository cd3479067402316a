//! `nightaudit fault`

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use http::Method;
use nightaudit_app::config::Settings;
use nightaudit_client::{Client, Source};
use nightaudit_fault::{FaultRule, FaultState};
use nightaudit_text::{duration, plain, terminal::print_json};
use serde::Deserialize;
use serde_json::json;

use crate::{complete, error::Usage, filters::unknown_operation};

/// Make the running `serve` inject faults: errors, latency, resets
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "\
RULE is [OPERATIONS:] and items, separated by commas. SHARE is a share of requests, such as 2%; without it, all.

  429=SHARE, 503=SHARE, 5xx=SHARE  a made-up error; any status from 400 to 599
  reset=SHARE                      a reset, once Mews has responded
  truncate=SHARE                   the response breaks off
  latency=200ms..2s@SHARE          the request is held back first
  slow-body=20KB/s@SHARE           the response comes slowly
  retry-after=5s..20s, =none       of a 429 or 503 [default: as from Mews]
  count=5  for=10m  session=NAME   how often, how long, in which session

A response with a fault has the header X-Nightaudit-Fault and is marked in the record; the review says it.

Examples:
  nightaudit fault add 'reservations/*: 429=2%, 503=1%, latency=200ms..2s'
  nightaudit fault add '503, count=5'
  nightaudit fault list
  nightaudit fault clear 2
  nightaudit fault clear"
)]
pub(crate) struct Fault {
    #[command(subcommand)]
    action: Option<Action>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a rule after the others
    Add {
        /// The rules
        #[arg(value_name = "RULE", required = true)]
        rules: Vec<String>,
    },
    /// List the rules, and what they have done
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Remove rules
    Clear {
        /// The rules' numbers [default: all]
        #[arg(value_name = "NUMBER", add = complete::faults())]
        numbers: Vec<u32>,
    },
}

/// See `GET /api/v1/faults`.
#[derive(Deserialize)]
struct Listed {
    faults: Vec<FaultState>,
}

/// See `DELETE /api/v1/faults`.
#[derive(Deserialize)]
struct Cleared {
    cleared: Vec<FaultState>,
}

impl Fault {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        // Before anything is changed: with several rules, a wrong one must not leave half of them.
        if let Some(Action::Add { rules }) = &self.action {
            for rule in rules {
                rule.parse::<FaultRule>().map_err(|error| Usage(error.into()))?;
            }
        }
        let Some(client) = Source::serve(&settings.data) else {
            anyhow::bail!(
                "faults are injected by a running `nightaudit serve`; none is running on {}",
                settings.data.display()
            );
        };
        match &self.action {
            None => list(&client, self.json)?,
            Some(Action::List { json }) => list(&client, *json)?,
            Some(Action::Add { rules }) => {
                for rule in rules.iter().filter_map(|rule| rule.parse().ok()) {
                    warn(&rule, settings);
                }
                for rule in rules {
                    let added: FaultState =
                        client.change(Method::POST, "/api/v1/faults", Some(&json!({ "rule": rule })))?;
                    say(&format!("{}  {}", added.number, plain(&added.rule)))?;
                }
            }
            Some(Action::Clear { numbers }) => clear(&client, numbers)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Warns of operations that Mews doesn't document: the rule would never do anything.
pub(crate) fn warn(rule: &FaultRule, settings: &Settings) {
    let Ok(contracts) = settings.contracts() else { return };
    // Other paths, such as that of the WebSocket, start with a slash.
    for pattern in rule.patterns().filter(|pattern| !pattern.starts_with(['/', '*'])) {
        if let Some(unknown) = unknown_operation(pattern, &contracts) {
            tracing::warn!("{unknown}");
        }
    }
}

fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let Listed { faults } = client.get("/api/v1/faults", &[])?;
    if faults.is_empty() && !json {
        say("No faults are being injected.")?;
    }
    for fault in &faults {
        if json {
            print_json(fault)?;
        } else {
            say(&line(fault))?;
        }
    }
    Ok(())
}

fn clear(client: &Client, numbers: &[u32]) -> anyhow::Result<()> {
    // Before anything is cleared: with several numbers, a wrong one must not leave half of them.
    let Listed { faults } = client.get("/api/v1/faults", &[])?;
    if let Some(unknown) = numbers.iter().find(|number| faults.iter().all(|fault| fault.number != **number)) {
        return Err(Usage::new(format!("there is no fault rule {unknown}: `nightaudit fault list` lists them")).into());
    }
    let paths = match numbers {
        [] => vec!["/api/v1/faults".to_owned()],
        numbers => numbers.iter().map(|number| format!("/api/v1/faults/{number}")).collect(),
    };
    let mut count = 0;
    for path in paths {
        let Cleared { cleared } = client.change(Method::DELETE, &path, None)?;
        count += cleared.len();
        for fault in &cleared {
            say(&format!("cleared {}", line(fault)))?;
        }
    }
    if count == 0 {
        say("There was nothing to clear.")?;
    }
    Ok(())
}

/// `2  rates/*: 429=2%  (12 of 600 requests, 3 left)`
fn line(fault: &FaultState) -> String {
    let left = match (fault.left, fault.left_ms) {
        _ if fault.ended => ", ended".to_owned(),
        (count, time) => {
            let count = count.map_or_else(String::new, |left| format!(", {left} left"));
            let time = time.map(|left| format!(", {} left", duration(Duration::from_millis(left))));
            count + &time.unwrap_or_default()
        }
    };
    format!("{}  {}  ({} of {} requests{left})", fault.number, plain(&fault.rule), fault.injected, fault.matched)
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(anstream::stdout().lock(), "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_a_rule_has_done_and_what_is_left() {
        let fault = FaultState {
            number: 2,
            rule: "rates/*: 429=2%".to_owned(),
            matched: 600,
            injected: 12,
            left: Some(3),
            left_ms: Some(90_000),
            ended: false,
        };
        assert_eq!(line(&fault), "2  rates/*: 429=2%  (12 of 600 requests, 3 left, 1m 30s left)");
        assert_eq!(line(&FaultState { ended: true, ..fault }), "2  rates/*: 429=2%  (12 of 600 requests, ended)");
    }
}
