//! Which log a command reads.

use nightaudit_app::config::Settings;
use nightaudit_client::Place;

/// The archive given with `--log`, else the data folder.
pub(crate) fn place(settings: &Settings) -> Place {
    match &settings.read_from {
        Some(address) => Place::Archive(Box::new(address.clone())),
        None => Place::Folder(settings.data.clone()),
    }
}
