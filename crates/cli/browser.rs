//! A page shown in the person's browser.
//!
//! Programs are started directly, without a shell, so that nothing in an address or a path means anything to one. Our own
//! code rather than a library: those that exist use a shell under WSL, log the command line, and don't notice an opener
//! that fails.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long an opener may take to fail. One that still runs then is the browser.
const FAILING: Duration = Duration::from_secs(1);
/// Pause between two looks at it.
const POLL: Duration = Duration::from_millis(10);

/// Why no browser was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoBrowser {
    /// There is nothing to start.
    #[error("there is no display, and BROWSER names no browser")]
    NoDisplay,
    /// Nothing that was tried could be started.
    #[error("{0}")]
    Failed(String),
}

/// A program with its arguments, the address among them.
#[derive(Debug, PartialEq, Eq)]
struct Opener {
    words: Vec<OsString>,
    /// Whether its exit code says if it worked.
    honest: bool,
}

/// Opens an address or a file in the browser: the programs in `$BROWSER`, or what the system has for it. Returns once one
/// has been started and hasn't failed within a second.
///
/// # Errors
///
/// [`NoBrowser`] says why that was impossible.
pub(crate) fn open(address: impl AsRef<OsStr>) -> Result<(), NoBrowser> {
    let openers = openers(address.as_ref(), |name| env::var_os(name).filter(|value| !value.is_empty()));
    let mut failed = Vec::new();
    for opener in &openers {
        match start(opener) {
            Ok(()) => return Ok(()),
            Err(reason) => failed.push(reason),
        }
    }
    Err(if failed.is_empty() { NoBrowser::NoDisplay } else { NoBrowser::Failed(failed.join("; ")) })
}

/// What to try, in this order.
fn openers(address: &OsStr, variable: impl Fn(&str) -> Option<OsString>) -> Vec<Opener> {
    if let Some(browsers) = variable("BROWSER") {
        return of_variable(&browsers, address);
    }
    let with = |program: &str, honest| Opener { words: vec![program.into(), address.to_owned()], honest };
    if cfg!(target_os = "macos") {
        return vec![with("open", true)];
    }
    if variable("WSL_DISTRO_NAME").is_some() {
        // Windows' explorer always exits with 1.
        return vec![with("wslview", true), with("explorer.exe", false)];
    }
    match variable("DISPLAY").or_else(|| variable("WAYLAND_DISPLAY")) {
        Some(_) => vec![with("xdg-open", true)],
        None => Vec::new(),
    }
}

/// `$BROWSER`: programs separated by colons, each with arguments separated by spaces, `%s` standing for the address. One
/// that is the path of a file is the program as it stands.
fn of_variable(browsers: &OsStr, address: &OsStr) -> Vec<Opener> {
    if Path::new(browsers).is_file() {
        return vec![Opener { words: vec![browsers.to_owned(), address.to_owned()], honest: true }];
    }
    // A name that is no text can't be split, and was no file.
    let browsers = browsers.to_string_lossy();
    let opener = |browser: &str| {
        let mut words: Vec<OsString> = match Path::new(browser).is_file() {
            true => vec![browser.into()],
            false => browser.split_ascii_whitespace().map(OsString::from).collect(),
        };
        let mut named = false;
        for word in words.iter_mut().skip(1).filter(|word| word.as_encoded_bytes() == b"%s") {
            *word = address.to_owned();
            named = true;
        }
        if !named && !words.is_empty() {
            words.push(address.to_owned());
        }
        (!words.is_empty()).then_some(Opener { words, honest: true })
    };
    browsers.split(':').filter_map(opener).collect()
}

/// Starts it.
///
/// # Errors
///
/// It can't be started, or has failed at once; the message names it, without the address.
fn start(opener: &Opener) -> Result<(), String> {
    let [program, arguments @ ..] = &opener.words[..] else { return Err("nothing to start".to_owned()) };
    let name = program.to_string_lossy();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Of its own, so that Ctrl-C here doesn't end the browser.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| format!("{name} can't be started: {error}"))?;
    let failing = Instant::now() + FAILING;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() || !opener.honest => return Ok(()),
            Ok(Some(status)) => return Err(format!("{name} failed ({status})")),
            Ok(None) if Instant::now() < failing => thread::sleep(POLL),
            _ => {
                reap(child);
                return Ok(());
            }
        }
    }
}

/// Waits for the browser in the background, so that it leaves no zombie when it ends.
fn reap(mut child: Child) {
    // Without a thread it does until this process ends, which is no harm.
    drop(thread::Builder::new().name("browser".to_owned()).spawn(move || child.wait()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name)?;
            Some(OsString::from(found.1))
        };
        let words = |opener: Opener| {
            let words: Vec<String> = opener.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            words.join("|")
        };
        openers(OsStr::new("http://a/#b c;d"), variable).into_iter().map(words).collect()
    }

    #[test]
    fn browser_is_a_list_of_programs_with_arguments() {
        for (browser, expected) in [
            ("firefox", &["firefox|http://a/#b c;d"][..]),
            ("firefox --new-window %s -P x", &["firefox|--new-window|http://a/#b c;d|-P|x"]),
            ("a:b -n", &["a|http://a/#b c;d", "b|-n|http://a/#b c;d"]),
            ("sh -c '%s'", &["sh|-c|'%s'|http://a/#b c;d"]),
            ("a%s", &["a%s|http://a/#b c;d"]),
            (" : :", &[]),
        ] {
            assert_eq!(tried(&[("BROWSER", browser), ("DISPLAY", ":0")]), expected, "{browser}");
        }
    }

    #[test]
    fn a_path_with_spaces_is_one_program() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("my browser");
        std::fs::write(&program, "").unwrap();
        let program = program.to_str().unwrap();
        assert_eq!(tried(&[("BROWSER", program)]), [format!("{program}|http://a/#b c;d")]);
        assert_eq!(tried(&[("BROWSER", &format!("none:{program}"))])[1], format!("{program}|http://a/#b c;d"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn without_a_display_nothing_is_tried() {
        assert_eq!(tried(&[]), [""; 0]);
        assert_eq!(tried(&[("WAYLAND_DISPLAY", "wayland-0")]), ["xdg-open|http://a/#b c;d"]);
        assert_eq!(tried(&[("WSL_DISTRO_NAME", "Debian")]).len(), 2);
    }

    #[test]
    fn a_program_that_fails_or_is_missing_is_named_without_the_address() {
        let opener = |words: &[&str]| Opener { words: words.iter().map(OsString::from).collect(), honest: true };
        assert_eq!(start(&opener(&["true", "secret"])), Ok(()));
        let failed = start(&opener(&["false", "secret"])).unwrap_err();
        assert!(failed.contains("false failed") && !failed.contains("secret"), "{failed}");
        let missing = start(&opener(&["no-such-browser", "secret"])).unwrap_err();
        assert!(missing.contains("no-such-browser can't be started") && !missing.contains("secret"), "{missing}");
        assert_eq!(start(&Opener { honest: false, ..opener(&["false"]) }), Ok(()));
    }
}
