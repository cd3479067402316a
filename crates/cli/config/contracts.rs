//! What requests are held against.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use anyhow::Context as _;
use nightaudit_exchange::Digest;
use nightaudit_mews::Contracts;

use super::Settings;
use crate::error::Usage;

/// The largest OpenAPI document that is read, in bytes. Mews' own has a few MiB.
const LARGEST: u64 = 64 << 20;

impl Settings {
    /// The contracts of the operations: those that `nightaudit mews update` has kept, else the built-in ones, with the
    /// document that `openapi` names over them.
    ///
    /// # Errors
    ///
    /// [`Usage`] where the document can't be read or used.
    pub(crate) fn contracts(&self) -> anyhow::Result<Contracts> {
        let base = super::kept::contracts(&self.data)?;
        let Some(path) = &self.openapi else { return Ok(base) };
        let document =
            read(path).with_context(|| format!("`openapi`: can't read {}", path.display())).map_err(Usage)?;
        let contracts = base.with_openapi(&document);
        Ok(contracts.with_context(|| format!("`openapi`: {}", path.display())).map_err(Usage)?)
    }

    /// The contracts of the document that `openapi` names, and its SHA-256; none where it names none.
    ///
    /// # Errors
    ///
    /// As [`contracts`](Self::contracts).
    pub(crate) fn openapi(&self) -> anyhow::Result<Option<(Contracts, Digest)>> {
        let Some(path) = &self.openapi else { return Ok(None) };
        let document =
            read(path).with_context(|| format!("`openapi`: can't read {}", path.display())).map_err(Usage)?;
        let contracts = Contracts::from_openapi(&document);
        let contracts = contracts.with_context(|| format!("`openapi`: {}", path.display())).map_err(Usage)?;
        Ok(Some((contracts, Digest::of(&document))))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut document = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut document)?;
    if document.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn settings(openapi: &Path) -> Settings {
        let mut layers = Layers::new();
        layers.flag("--openapi", "openapi", openapi.to_string_lossy().into_owned().into());
        Settings::new(&layers, Some(Path::new("/data"))).unwrap()
    }

    #[test]
    fn contracts_are_built_in_unless_a_document_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("mews.yaml");
        let operation = "/api/connector/v1/new/getAll";
        let content = "{post: {requestBody: {content: {application/json: {schema: {type: object}}}}}}";
        std::fs::write(&document, format!("openapi: 3.1.0\npaths: {{{operation}: {content}}}")).unwrap();
        assert!(settings(&document).contracts().unwrap().has("new/getAll"));
        assert!(!settings(Path::new("")).contracts().unwrap().has("new/getAll"));
    }

    #[test]
    fn a_document_that_cannot_be_used_is_named_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.json");
        let bad = folder.path().join("bad.yaml");
        std::fs::write(&bad, "a: [b\nc: d\n").unwrap();
        let endless = Path::new("/dev/zero");
        for (path, reason) in [(&*missing, "can't read"), (&bad, "neither JSON nor YAML"), (endless, "64 MiB")] {
            let error = settings(path).contracts().unwrap_err();
            assert!(error.is::<Usage>());
            let line = error.to_string();
            assert!(line.starts_with("`openapi`: ") && line.contains(path.to_str().unwrap()), "{line}");
            assert!(line.contains(reason) && !line.contains('\n'), "{line}");
        }
    }
}
