//! `nightaudit mews`

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueHint};
use nightaudit_app::config::{Settings, kept};
use nightaudit_client::Source;
use nightaudit_exchange::Filter;
use nightaudit_mews::{Change, Contracts, Kind, Operation, changes};
use nightaudit_store::Order;
use nightaudit_text::plain;
use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use crate::{commands::review::choose, complete, error::Usage};

/// Show, update and compare Mews' documented operations
#[derive(Debug, Args)]
#[command(after_long_help = "\
The contracts of Mews' operations are built in. `update` reads Mews' OpenAPI document or a checkout of its documentation
(the folder `connector-api` of MewsSystems/open-api-docs) and stores the result in the data folder; every command then
checks requests against it, and exported evidence names it. `--builtin` reverts to the built-in contracts.

Examples:
  nightaudit mews show customers/getAll
  nightaudit mews update ~/open-api-docs --dry-run
  nightaudit mews update swagger.yaml
  nightaudit mews diff --session certification")]
pub(crate) struct Mews {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show an operation's request
    Show {
        /// The operation, such as `customers/getAll`
        operation: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Read an OpenAPI document or a documentation folder, and list the changes
    Update {
        /// The document or folder
        #[arg(value_name = "FILE|FOLDER", value_hint = ValueHint::AnyPath, required_unless_present = "builtin")]
        from: Option<PathBuf>,
        /// The revision's name, if the source has none
        #[arg(long, value_name = "TEXT")]
        revision: Option<String>,
        /// List the changes without storing anything
        #[arg(long)]
        dry_run: bool,
        /// Revert to the built-in contracts
        #[arg(long, conflicts_with_all = ["from", "revision"])]
        builtin: bool,
        /// One JSON object per change
        #[arg(long)]
        json: bool,
    },
    /// List the operations of a session that changed since the built-in contracts
    Diff {
        /// The session: a name or id [default: the newest]
        #[arg(long, value_name = "NAME|ID", add = complete::sessions())]
        session: Option<String>,
        /// One JSON object per change
        #[arg(long)]
        json: bool,
    },
}

impl Mews {
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let mut out = anstream::stdout().lock();
        match &self.action {
            Action::Show { operation, json } => show(&mut out, operation, *json, &settings.contracts()?)?,
            Action::Update { builtin: true, dry_run, json, .. } => {
                let before = before(settings);
                if !dry_run {
                    kept::forget(&settings.data)?;
                }
                let found = changes(before.catalogue(), Contracts::built_in().catalogue());
                print_changes(&mut out, &found, *json)?;
                if !json {
                    let (built_in, holds) = (Contracts::built_in(), if *dry_run { "would be used" } else { "is used" });
                    let (sum, revision) = (sum(&found), built_in.revision());
                    writeln!(out, "{sum}. The built-in revision {revision} {holds} again.")?;
                }
            }
            Action::Update { from, revision, dry_run, json, .. } => {
                let from = from.as_deref().unwrap_or(Path::new("."));
                update(&mut out, settings, from, revision.as_deref(), *dry_run, *json)?;
            }
            Action::Diff { session, json } => diff(&mut out, settings, session.as_deref(), *json)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn update(
    out: &mut impl Write,
    settings: &Settings,
    from: &Path,
    revision: Option<&str>,
    dry_run: bool,
    json: bool,
) -> anyhow::Result<()> {
    let newer = kept::Newer::read(from, revision)?;
    let (before, after) = (before(settings), newer.contracts()?);
    let found = changes(before.catalogue(), after.catalogue());
    print_changes(out, &found, json)?;
    if !dry_run {
        newer.keep(&settings.data)?;
    }
    if !json {
        let what = if dry_run { "would be stored" } else { "stored" };
        let (count, revision) = (after.catalogue().operations().len(), plain(after.revision()));
        writeln!(
            out,
            "{}. {}, revision {revision}: {what} in {}",
            sum(&found),
            counted(count, "operation"),
            kept::folder(&settings.data).display()
        )?;
    }
    Ok(())
}

/// The current contracts, or the built-in ones if the stored ones are damaged, so that `update` can replace them.
fn before(settings: &Settings) -> Contracts {
    kept::contracts(&settings.data).unwrap_or_else(|error| {
        anstream::eprintln!("nightaudit: comparing with the built-in contracts: {}", plain(&format!("{error:#}")));
        Contracts::built_in()
    })
}

fn sum(found: &[Change]) -> String {
    let mut operations: Vec<&str> = found.iter().map(|change| &*change.operation).collect();
    operations.dedup();
    match found.len() {
        0 => "Nothing changes".to_owned(),
        count => format!("{} in {}", counted(count, "change"), counted(operations.len(), "operation")),
    }
}

fn counted(count: usize, one: &str) -> String {
    nightaudit_text::counted(count as u64, one)
}

fn print_changes(out: &mut impl Write, found: &[Change], json: bool) -> anyhow::Result<()> {
    for change in found {
        if json {
            serde_json::to_writer(&mut *out, change)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", plain(&change.to_string()))?;
        }
    }
    Ok(())
}

fn diff(out: &mut impl Write, settings: &Settings, session: Option<&str>, json: bool) -> anyhow::Result<()> {
    let (before, after) = (Contracts::built_in(), settings.contracts()?);
    let source = Source::open(&settings.data)?;
    let session = choose(source.sessions()?, session)?;
    let filter = Filter { session: Some(session.id.to_string()), ..Filter::default() };
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    for exchange in source.exchanges(&filter, Order::Oldest, None)? {
        let operation = exchange?.operation.to_string();
        if before.has(&operation) || after.has(&operation) {
            *calls.entry(operation).or_default() += 1;
        }
    }
    let mut found = changes(before.catalogue(), after.catalogue());
    found.retain(|change| calls.contains_key(&change.operation));
    print_changes(out, &found, json)?;
    if !json {
        let mut changed: Vec<&str> = found.iter().map(|change| &*change.operation).collect();
        changed.dedup();
        let verb = if changed.len() == 1 { "has" } else { "have" };
        writeln!(
            out,
            "You call {}; {} {verb} changed between revisions {} and {}.",
            counted(calls.len(), "operation"),
            changed.len(),
            before.revision(),
            plain(after.revision())
        )?;
    }
    Ok(())
}

fn show(out: &mut impl Write, path: &str, json: bool, contracts: &Contracts) -> anyhow::Result<()> {
    let path = path.strip_prefix(nightaudit_mews::OPERATION_PREFIX).unwrap_or(path);
    let Some(operation) = contracts.operation(path) else {
        let meant = contracts
            .suggest(path)
            .map(|meant| format!(": did you mean {}?", meant.operation.path))
            .unwrap_or_default();
        bail!(Usage::new(format!("no documented operation {path}{meant}")));
    };
    if json {
        serde_json::to_writer(&mut *out, &document(operation, contracts))?;
        writeln!(out)?;
    } else {
        print(out, operation, contracts)?;
    }
    Ok(())
}

fn document(operation: &Operation, contracts: &Contracts) -> serde_json::Value {
    let mut fields = Vec::new();
    operation.request.walk(&mut |path, _, field| {
        let values = match &field.kind {
            Kind::Enum(values) => values.values.iter().map(|value| json!(value)).collect(),
            _ => Vec::new(),
        };
        fields.push(json!({
            "field": path, "type": field.type_name(), "required": field.required,
            "deprecated": field.deprecated.is_some(), "rules": field.rules(), "values": values,
        }));
    });
    json!({
        "operation": operation.path, "title": operation.title, "group": operation.group,
        "revision": contracts.revision(), "notes": operation.describe(),
        "rules": operation.request.describe_rules(), "fields": fields,
    })
}

/// The width of a page, in columns.
const WIDTH: usize = 80;

fn print(out: &mut impl Write, operation: &Operation, contracts: &Contracts) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    let dim = Style::new().dimmed();
    writeln!(out, "{bold}{}{bold:#}  {}", plain(&operation.path), plain(&operation.title))?;
    let mut notes = operation.describe();
    notes.push(format!("documentation of {}", contracts.revision()));
    wrap(out, &plain(&notes.join("; ")), 2, dim)?;
    for rule in operation.request.describe_rules() {
        wrap(out, &plain(&rule), 2, AnsiColor::Cyan.on_default())?;
    }
    writeln!(out)?;
    let mut lines: Vec<(String, String, Vec<String>, Style)> = Vec::new();
    let mut told: Vec<Box<str>> = Vec::new();
    operation.request.walk(&mut |path, _, field| {
        let depth = path.matches('.').count();
        let style = match () {
            () if field.deprecated.is_some() => AnsiColor::Red.on_default(),
            () if field.required => bold,
            () => Style::new(),
        };
        let mut rules = field.rules();
        if let Kind::Object(object) = &field.kind {
            rules.extend(object.describe_rules());
        }
        if let Kind::Enum(values) = &field.kind {
            if told.contains(&values.name) {
                rules.push("values as above".to_owned());
            } else {
                told.push(values.name.clone());
                rules.push(format!("{}{}", values.describe().join(", "), if values.open { ", …" } else { "" }));
            }
        }
        lines.push((format!("{}{}", "  ".repeat(depth + 1), field.name), field.type_name(), rules, style));
    });
    let names = lines.iter().map(|(name, ..)| name.width()).max().unwrap_or(0).min(34);
    let kinds = lines.iter().map(|(_, kind, ..)| kind.width()).max().unwrap_or(0).min(22);
    for (name, kind, rules, style) in lines {
        let (name, kind) = (plain(&name), plain(&kind));
        let blanks = |text: &str, columns: usize| " ".repeat(columns.saturating_sub(text.width()));
        write!(out, "{style}{name}{style:#}{}  {dim}{kind}{dim:#}", blanks(&name, names))?;
        let text = plain(&rules.join("; "));
        let begun = names.max(name.width()) + 2 + kind.width();
        let indent = names + 2 + kinds + 2;
        if text.is_empty() {
            writeln!(out)?;
        } else if begun + 2 <= indent && indent + text.width() <= WIDTH {
            writeln!(out, "{}  {text}", blanks(&kind, kinds))?;
        } else {
            writeln!(out)?;
            wrap(out, &text, 6, Style::new())?;
        }
    }
    Ok(())
}

/// Wraps text to [`WIDTH`] columns.
fn wrap(out: &mut impl Write, text: &str, indent: usize, style: Style) -> anyhow::Result<()> {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && indent + line.width() + 1 + word.width() > WIDTH {
            writeln!(out, "{}{style}{line}{style:#}", " ".repeat(indent))?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{}{style}{line}{style:#}", " ".repeat(indent)).context("can't write")
}
