//! The contracts that requests are checked against.

use std::path::Path;

use nightaudit_mews::Contracts;

use super::{
    Settings,
    kept::{self, ContractsError},
};

impl Settings {
    /// The operations' contracts: those stored by `nightaudit mews update`, else the built-in ones, overlaid with the
    /// document that `openapi` names.
    ///
    /// # Errors
    ///
    /// [`ContractsError`] if the document can't be read or used.
    pub fn contracts(&self) -> Result<Contracts, ContractsError> {
        Ok(self.basis()?.contracts)
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, ContractsError> {
    kept::read(path).map_err(|source| ContractsError::Document { path: path.to_owned(), source })
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
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let line = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            assert!(line.starts_with("`openapi`: ") && line.contains(path.to_str().unwrap()), "{line}");
            assert!(line.contains(reason) && !line.contains('\n'), "{line}");
        }
    }
}
