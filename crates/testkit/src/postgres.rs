//! A PostgreSQL of the test's own.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::lanes::skip;

/// A PostgreSQL server on a free port of loopback, with its data in a temporary folder; killed on drop.
pub struct Postgres {
    folder: TempDir,
    data: PathBuf,
    programs: PathBuf,
    port: u16,
    /// The user that it runs as, as it refuses to run as root; `None` if the test doesn't either.
    user: Option<(u32, u32)>,
    child: Mutex<Option<Child>>,
}

/// The superuser's password.
const PASSWORD: &str = "the-owner's";

impl Postgres {
    /// The server that tests of this process share, each with databases of its own: starting one takes longer than most
    /// tests. It is started for the first that asks, and killed with the last. `None` if PostgreSQL isn't installed.
    ///
    /// Not for tests that kill or reconfigure it.
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock();
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// Starts a server; `None`, said aloud, if PostgreSQL isn't installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_in(None)
    }

    /// As [`start`](Self::start), with its data in a new folder in this one, which everybody must be able to write.
    #[must_use]
    pub fn start_in(place: Option<&Path>) -> Option<Self> {
        let Some(programs) = programs() else {
            skip("PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let user = unprivileged();
        let own = |path: &Path| {
            if let Some((user, group)) = user {
                chown(path, Some(user), Some(group)).unwrap();
            }
        };
        own(folder.path());
        let secret = folder.path().join("password");
        fs::write(&secret, PASSWORD).unwrap();
        own(&secret);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = place.unwrap_or(folder.path()).join("data");
        let server = Self { folder, data, programs, port, user, child: Mutex::new(None) };
        let made = server
            .program("initdb")
            .args(["--no-sync", "--username=owner", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg("-D")
            .arg(server.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // A killed process loses nothing by that; only a machine would.
        let mut settings = fs::OpenOptions::new().append(true).open(server.data().join("postgresql.conf")).unwrap();
        writeln!(settings, "fsync = off\nfull_page_writes = off").unwrap();
        server.run();
        Some(server)
    }

    /// The address of a database for a user.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The address of a database for the superuser.
    #[must_use]
    pub fn owner(&self, database: &str) -> String {
        self.url("owner", PASSWORD, database)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a database.
    pub fn create(&self, database: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8'"));
    }

    /// Runs SQL as the superuser, and returns what it prints, without decoration.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(&self.owner(database), sql).unwrap()
    }

    /// Runs SQL as whom the address names; the error is what the server says.
    ///
    /// # Errors
    ///
    /// It fails.
    pub fn try_sql(&self, url: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set=ON_ERROR_STOP=1",
                "--command",
                sql,
                url,
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Restarts it so that it speaks TLS with this certificate and key, and nothing else over TCP.
    pub fn demand_tls(&self, certificate: &Path, key: &Path) {
        self.kill();
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.data().join(to);
            fs::copy(from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = self.user {
                chown(&to, Some(user), Some(group)).unwrap();
            }
        }
        fs::write(self.data().join("pg_hba.conf"), "hostssl all all all scram-sha-256\n").unwrap();
        self.run();
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again after [`kill`](Self::kill), on the same port with the same data.
    pub fn run(&self) {
        for _ in 0..600 {
            let mut child = self
                .program("postgres")
                .arg("-D")
                .arg(self.data())
                .arg("-k")
                .arg(self.folder.path())
                .args(["-p", &self.port.to_string()])
                .args(["-c", if self.data().join("server.key").exists() { "ssl=on" } else { "ssl=off" }])
                .args(["-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=64MB"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(self.folder.path().join("messages")).unwrap())
                .spawn()
                .unwrap();
            // Until it is ready, or ends because the one before isn't gone yet.
            for _ in 0..600 {
                if self.try_sql(&self.owner("postgres"), "SELECT 1").is_ok() {
                    *self.child.lock() = Some(child);
                    return;
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{}", fs::read_to_string(self.folder.path().join("messages")).unwrap());
    }

    /// Makes a folder for a tablespace.
    pub fn make_folder(&self, path: &Path) {
        fs::create_dir(path).unwrap();
        if let Some((user, group)) = self.user {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    fn data(&self) -> &Path {
        &self.data
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where PostgreSQL's programs are: Debian keeps those of the server out of the path.
fn programs() -> Option<PathBuf> {
    let folders =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let mut known: Vec<_> = folders.filter(|folder| folder.join("initdb").exists()).collect();
    known.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    known.pop().or_else(|| std::env::split_paths(&path).find(|folder| folder.join("initdb").exists()))
}

/// A user and group to run as, if this is root.
fn unprivileged() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if number(&["-u"])? != 0 {
        return None;
    }
    let of = |user: &str| Some((number(&["-u", user])?, number(&["-g", user])?));
    of("postgres").or_else(|| of("nobody"))
}
