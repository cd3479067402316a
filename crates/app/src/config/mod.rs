//! Configuration in two stages: what the user wrote, then validated values.
//!
//! [`Layers`] merges flags over `NIGHTAUDIT_*` variables over the file over the defaults. [`Settings`] is built from the
//! result and holds each crate's own configuration.

mod address;
mod archive;
mod basis;
mod contracts;
mod faults;
mod file;
pub mod kept;
mod layers;
mod limits;
mod settings;
mod values;
mod webhooks;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy as _;
use toml::Value;

pub use self::{
    address::{Address, Addresses, InvalidAddress},
    archive::ArchiveSettings,
    basis::BasisSource,
    faults::FaultSettings,
    file::{Choice, Durability, LogFormat, OnLimit, OnLimitStoreFailure, OnStoreFailure},
    kept::ContractsError,
    layers::{ConfigError, Layers, Origin, PREFIX, variable},
    limits::LimitStore,
    settings::{Console, Logging, Settings, TlsFiles},
    values::{Period, Size},
    webhooks::WebhookSettings,
};

pub(crate) use self::faults::REFUSED;

/// A flag given on the command line: its name, its key and its value.
pub type Flag = (&'static str, &'static str, Value);

/// The configuration, and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// The merged layers.
    pub layers: Layers,
    /// The validated settings.
    pub settings: Settings,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Variables that look like keys but aren't.
    pub unknown_variables: Vec<String>,
}

/// Loads the configuration from the file, the environment and the flags.
///
/// The file is the one given by `named` or `NIGHTAUDIT_CONFIG`, which must exist, or `nightaudit/nightaudit.toml` in the
/// platform's configuration folder, which is optional.
///
/// # Errors
///
/// [`ConfigError`] names the key, its position and the remedy.
pub fn load(named: Option<&Path>, flags: impl IntoIterator<Item = Flag>) -> Result<Loaded, ConfigError> {
    let folders = etcetera::base_strategy::choose_native_strategy().ok();
    let named = named.map(Path::to_owned).or_else(|| env::var_os(format!("{PREFIX}CONFIG")).map(PathBuf::from));
    let default = folders.as_ref().map(|folders| folders.config_dir().join("nightaudit").join("nightaudit.toml"));
    let must_exist = named.is_some();
    let mut layers = Layers::new();
    let mut file = None;
    if let Some(path) = named.or(default) {
        match fs::read_to_string(&path) {
            Ok(text) => {
                layers.file(&path, text.strip_prefix('\u{feff}').unwrap_or(&text))?;
                file = Some(path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {}
            Err(source) => return Err(ConfigError::Unreadable { path, source }),
        }
    }
    let variables = env::vars_os().map(|(name, value)| (lossy(&name), lossy(&value)));
    let unknown_variables = layers.environment(variables)?;
    for (flag, key, value) in flags {
        layers.flag(flag, key, value);
    }
    let data = folders.map(|folders| folders.data_dir().join("nightaudit"));
    let settings = Settings::new(&layers, data.as_deref())?;
    Ok(Loaded { layers, settings, file, unknown_variables })
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{file::File, *};

    const DEFAULTS: &str = include_str!("../../../../config/nightaudit.toml");

    #[test]
    fn the_shipped_file_has_every_key_with_its_default() {
        let mut layers = Layers::new();
        layers.file(Path::new("nightaudit.toml"), DEFAULTS).unwrap();
        assert_eq!(layers.read().unwrap(), File::default());
        for (key, _, origin) in layers.list() {
            assert_ne!(origin, layers::Origin::Default, "`{key}` is missing");
        }
    }

    #[test]
    fn the_shipped_file_explains_every_key() {
        let mut explained = false;
        for line in DEFAULTS.lines() {
            let is_key = !line.starts_with(['#', '[']) && line.contains(" = ");
            assert!(!is_key || explained || line.contains(" # "), "nothing explains: {line}");
            explained = line.starts_with('#') || (is_key && explained && line.contains(" # "));
        }
    }

    #[test]
    fn what_the_shipped_file_shows_commented_out_works() {
        let mut text = String::new();
        for line in DEFAULTS.lines() {
            text.push_str(line.strip_prefix("#: ").unwrap_or(line));
            text.push('\n');
        }
        let mut layers = Layers::new();
        layers.file(Path::new("nightaudit.toml"), &text).unwrap();
        let settings = Settings::new(&layers, Some(Path::new("/data"))).unwrap();
        assert_eq!(layers.read().unwrap().limit.rule.len(), 4);
        assert_eq!(&*settings.proxy.environment, "demo");
    }

    #[test]
    fn the_examples_work() {
        for (name, text) in [
            ("production.toml", include_str!("../../../../config/production.toml")),
            ("corporate-proxy.toml", include_str!("../../../../config/corporate-proxy.toml")),
        ] {
            let mut layers = Layers::new();
            layers.file(Path::new(name), text).unwrap();
            let settings = Settings::new(&layers, Some(Path::new("/data")));
            assert!(settings.is_ok(), "{name}: {}", settings.unwrap_err());
        }
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut variables: Vec<String> = Layers::new().list().iter().map(|(key, ..)| variable(key)).collect();
        let all = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), all);
    }
}
