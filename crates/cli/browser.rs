//! A page shown in the person's browser.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// Opens a file in the browser, where there is likely to be one; whether it was tried.
pub(crate) fn open(file: &Path) -> bool {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
    {
        "xdg-open"
    } else {
        return false;
    };
    let quiet =
        |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    quiet(Command::new(opener).arg(file)).is_ok()
}
