//! `nightaudit config`

use std::{io::Write as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use nightaudit_app::{
    config::{self, Loaded, variable},
    logging,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::json;

use crate::{error::Usage, global::GlobalArgs};

/// Check the configuration, or show each value and its origin
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  nightaudit config check --config config/production.toml
  nightaudit config show
  nightaudit config show --json | jq 'select(.origin != \"default\")'")]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the file and the environment variables
    Check,
    /// List every key with its value and origin
    Show {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    pub(crate) fn run(&self, global: &GlobalArgs) -> anyhow::Result<ExitCode> {
        let loaded = config::load(global.config(), global.flags()).map_err(|error| Usage(error.into()))?;
        match self.action {
            Action::Check => check(&loaded)?,
            Action::Show { json } => show(&loaded, json)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Also checks the files that the configuration names, as a start would.
fn check(loaded: &Loaded) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    if let Some(tls) = &settings.tls {
        nightaudit_listen::server_config(&tls.certificate, &tls.key).map_err(|error| Usage(error.into()))?;
    }
    logging::check(&settings.log.level).map_err(|error| Usage(error.into()))?;
    let store_ca = settings.limit_store.as_ref().and_then(|store| store.ca.as_ref());
    for (key, file) in [("upstream_ca", settings.upstream.ca.as_ref()), ("limit.store_ca", store_ca)] {
        if let Some(file) = file {
            authorities(file).with_context(|| format!("`{key}`: can't read {}", file.display())).map_err(Usage)?;
        }
    }
    let hosts = [&settings.proxy.api, &settings.proxy.events];
    settings.upstream.proxy.check(hosts).map_err(|error| Usage(error.into()))?;
    settings.contracts()?;
    let mut out = anstream::stdout().lock();
    for name in &loaded.unknown_variables {
        writeln!(out, "note: {name} is not a configuration key")?;
    }
    match &loaded.file {
        Some(file) => writeln!(out, "{} is valid", file.display())?,
        None => writeln!(out, "no configuration file: the defaults are used")?,
    }
    Ok(())
}

fn authorities(file: &Path) -> anyhow::Result<()> {
    let mut certificates = CertificateDer::pem_file_iter(file)?.peekable();
    anyhow::ensure!(certificates.peek().is_some(), "it has no certificate in PEM form");
    Ok(certificates.try_for_each(|certificate| certificate.map(|_| ()))?)
}

fn show(loaded: &Loaded, json: bool) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    for (key, value, origin) in loaded.layers.list() {
        // Values that may contain a password, which must not end up in a terminal's history.
        let value = match &*key {
            "upstream_proxy" | "limit.store" => without_password(&value),
            "archive" => archive_without_password(&value),
            _ => value,
        };
        if json {
            let line = json!({
                "key": key, "value": value, "origin": origin.to_string(), "variable": variable(&key),
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{key} = {value}  # {origin}")?;
        }
    }
    Ok(())
}

fn without_password(value: &toml::Value) -> toml::Value {
    let text = value.as_str().unwrap_or_default();
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, host)) => toml::Value::String(format!("{scheme}://…@{host}")),
        None => value.clone(),
    }
}

/// The archive's address as it is shown; one that can't be parsed may have its password anywhere.
fn archive_without_password(value: &toml::Value) -> toml::Value {
    let text = value.as_str().unwrap_or_default();
    let shown = |address: nightaudit_archive::Address| address.to_string();
    toml::Value::String(if text.is_empty() {
        String::new()
    } else {
        text.parse().map_or_else(|_| "…".to_owned(), shown)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archives_password_is_not_shown() {
        let shown =
            |text: &str| archive_without_password(&toml::Value::String(text.to_owned())).as_str().unwrap().to_owned();
        assert_eq!(shown("postgres://a:s3cret@h/d?sslmode=require"), "postgres://a@h/d");
        assert_eq!(shown("postgres://a@h/d?password=s3cret"), "postgres://a@h/d");
        assert_eq!(shown("postgres:a:s3cret@h"), "…");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn the_upstream_proxys_password_is_not_shown() {
        let shown = |text: &str| without_password(&toml::Value::String(text.to_owned())).as_str().unwrap().to_owned();
        assert_eq!(shown("http://me:se@cret@proxy:3128"), "http://…@proxy:3128");
        assert_eq!(shown("http://proxy:3128"), "http://proxy:3128");
        assert_eq!(shown(""), "");
    }
}
