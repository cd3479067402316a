//! The archive that what is recorded is shipped to.

use std::process::Command;

use nightaudit_archive::{Address, InvalidAddress};

use super::{
    file::File,
    layers::{ConfigError, Layers},
};

/// The most bytes of a node's name.
const LONGEST: usize = 200;

/// Where to ship, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// The archive.
    pub address: Address,
    /// The name of this machine's record.
    pub node: String,
}

pub(super) fn config(layers: &Layers, file: &File) -> Result<Option<ArchiveSettings>, ConfigError> {
    let node = match file.archive_node.as_str() {
        "" => host_name(),
        given if given.len() > LONGEST || given.trim().is_empty() || given.chars().any(char::is_control) => {
            let message = format!("is no name: use 1 to {LONGEST} bytes without control characters");
            return Err(layers.wrong("archive_node", message));
        }
        given => given.to_owned(),
    };
    if file.archive.is_empty() {
        return Ok(None);
    }
    let address = file.archive.parse().map_err(|error: InvalidAddress| layers.wrong("archive", error.to_string()))?;
    Ok(Some(ArchiveSettings { address, node }))
}

/// This machine's name; the same at every start.
fn host_name() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let asked = || Some(String::from_utf8_lossy(&Command::new("uname").arg("-n").output().ok()?.stdout).into_owned());
    let name = read.or_else(asked).unwrap_or_default();
    match name.trim() {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(text: &str) -> Result<Option<ArchiveSettings>, String> {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), text).map_err(|error| error.to_string())?;
        config(&layers, &layers.read().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_node_has_a_name_and_an_archive_an_address() {
        assert_eq!(settings("").unwrap(), None);
        let own = settings("archive = 'postgres://a:s3cret@h/d'\narchive_node = 'kiosk'").unwrap().unwrap();
        assert_eq!((own.node.as_str(), own.address.to_string().as_str()), ("kiosk", "postgres://a@h/d"));
        let named = settings("archive = 'postgres://h/d'").unwrap().unwrap();
        assert!(!named.node.is_empty());
        for (text, key) in [
            ("archive = 'redis://a:s3cret@h'", "archive"),
            ("archive = 'postgres://a:s3cret@h:port/d'", "archive"),
            ("archive_node = ' '", "archive_node"),
            ("archive_node = \"a\\u0007\"", "archive_node"),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.contains(&format!("`{key}`: ")) && !error.contains("s3cret"), "{error}");
        }
    }
}
