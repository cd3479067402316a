//! The real binary as a process.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    thread::JoinHandle,
};

use tempfile::TempDir;

/// A running `nightaudit serve`; killed on drop.
pub struct Process {
    child: Child,
    proxy: SocketAddr,
    console: String,
    stderr: Option<JoinHandle<String>>,
    folder: Option<TempDir>,
    data: PathBuf,
}

impl Process {
    /// Starts `binary serve` with a new data folder, free ports, and these arguments.
    pub fn serve(binary: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut process = Self::serve_on(binary, &data, arguments);
        process.folder = Some(folder);
        process
    }

    /// Like [`serve`](Self::serve), on a data folder that outlives the process.
    pub fn serve_on(binary: &str, data: &Path, arguments: &[&str]) -> Self {
        Self::serve_with(binary, data, arguments, &[])
    }

    /// Like [`serve_on`](Self::serve_on), with these environment variables.
    pub fn serve_with(binary: &str, data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = |name: &str| {
            let Some(Ok(line)) = lines.next() else { panic!("serve ended before it said where its {name} is") };
            let mut words = line.split_whitespace();
            assert_eq!(words.next(), Some(name), "{line}");
            words.next().unwrap().to_owned()
        };
        let proxy = line("proxy");
        let proxy = proxy.rsplit_once("//").unwrap().1.parse().unwrap();
        let console = line("console");
        Self { child, proxy, console, stderr: Some(stderr), folder: None, data: data.to_owned() }
    }

    /// The proxy's address.
    #[must_use]
    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    /// The address of the console's page, with its token.
    #[must_use]
    pub fn console(&self) -> &str {
        &self.console
    }

    /// The console's address, as in a `Host` header.
    #[must_use]
    pub fn console_host(&self) -> &str {
        self.console_parts().0
    }

    /// The console's token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.console_parts().1
    }

    fn console_parts(&self) -> (&str, &str) {
        self.console.strip_prefix("http://").and_then(|rest| rest.split_once("/#token=")).unwrap()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Runs another command of the binary on the same data folder.
    #[must_use]
    pub fn run(&self, binary: &str, arguments: &[&str]) -> Output {
        Command::new(binary).args(arguments).arg("--data").arg(&self.data).stdin(Stdio::null()).output().unwrap()
    }

    /// Kills it with SIGKILL, like a crash.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, without waiting.
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Sends SIGTERM and waits for the end; returns its standard error.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.terminate();
        let status = self.child.wait().unwrap();
        (status, self.stderr.take().unwrap().join().unwrap())
    }
}

/// A running `nightaudit simulate`; killed on drop.
pub struct Simulated {
    child: Child,
    url: String,
    data: TempDir,
}

impl Simulated {
    /// Starts `binary simulate` on a free port, with a new data folder and these arguments.
    #[must_use]
    pub fn start(binary: &str, arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .args(["simulate", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("simulator  ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, url, data }
    }

    /// Its address for `--upstream`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.url.rsplit_once('/').unwrap().1.parse().unwrap()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

/// A running `nightaudit replay`; killed on drop.
pub struct Replayed {
    child: Child,
    url: String,
    output: BufReader<ChildStdout>,
    errors: Option<JoinHandle<String>>,
}

impl Replayed {
    /// Starts `binary replay` on a free port, over the log in `data`, with these arguments.
    ///
    /// # Errors
    ///
    /// Its exit status and standard error, if it ends instead.
    pub fn start(binary: &str, data: &Path, arguments: &[&str]) -> Result<Self, (ExitStatus, String)> {
        let mut child = Command::new(binary)
            .args(["replay", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("replay     ") {
            Some(url) => Ok(Self { child, url: url.to_owned(), output, errors: Some(errors) }),
            None => Err((child.wait().unwrap(), errors.join().unwrap())),
        }
    }

    /// Its address for `--upstream`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.url.rsplit_once('/').unwrap().1.parse().unwrap()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits for the end; returns the exit status, the summary and standard error.
    pub fn stop(mut self) -> (ExitStatus, String, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut summary = String::new();
        self.output.read_to_string(&mut summary).unwrap();
        (self.child.wait().unwrap(), summary, self.errors.take().unwrap().join().unwrap())
    }
}

impl Drop for Replayed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
