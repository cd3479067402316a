//! A Redis of a test's own.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{authority::Authority, lanes::skip};

/// A running `redis-server` with its own folder; killed on drop.
pub struct Redis {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    /// Its configuration, which a Sentinel changes.
    file: Option<PathBuf>,
}

impl Redis {
    /// Starts one without persistence on a free port; `None` if it isn't installed, which is said.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// Like [`start`](Self::start), with these arguments instead.
    #[must_use]
    pub fn with(arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            skip("redis-server is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut redis = Self { child: None, port, folder: tempfile::tempdir().unwrap(), arguments, file: None };
        redis.launch();
        Some(redis)
    }

    /// Starts one that also speaks TLS, on the second port, with such a certificate of an authority, and with these arguments.
    #[must_use]
    pub fn with_tls(authority: &Authority, names: &[&str], arguments: &[&str]) -> Option<(Self, u16)> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (certificate, key) = authority.certificate_files_for(names);
        let (number, ca) = (port.to_string(), authority.ca_file());
        let [certificate, key, ca] = [&certificate, &key, &ca].map(|file| file.to_str().unwrap());
        let tls =
            ["--tls-port", &number, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        Some((Self::with(&[&tls, arguments].concat())?, port))
    }

    /// Starts a cluster of so many masters, and one more node without slots, which comes last.
    #[must_use]
    pub fn cluster(masters: usize) -> Option<Vec<Self>> {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let buses: Vec<String> = (0..=masters).map(|_| free().to_string()).collect();
        let start = |bus: &String| {
            Self::with(&[
                "--save",
                "",
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                bus,
            ])
        };
        let nodes: Vec<Self> = buses.iter().map_while(start).collect();
        if nodes.len() <= masters {
            return None;
        }
        for (index, node) in nodes.iter().take(masters).enumerate() {
            let (first, last) = (16384 * index / masters, 16384 * (index + 1) / masters - 1);
            let slots = node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            assert_eq!(slots, "+OK\r\n");
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            let met = nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]);
            assert_eq!(met, "+OK\r\n");
        }
        let known = format!("cluster_known_nodes:{}\r\n", nodes.len());
        for node in &nodes {
            node.until(&["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok") && info.contains(&known));
        }
        Some(nodes)
    }

    /// Waits until a command has such a reply.
    pub fn until(&self, words: &[&str], is: impl Fn(&str) -> bool) {
        let since = Instant::now();
        while !self.try_command(words).is_some_and(|reply| is(&reply)) {
            assert!(since.elapsed() < Duration::from_secs(60), "{words:?} doesn't become so");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts another one that replicates this one.
    #[must_use]
    pub fn replica(&self) -> Self {
        let port = self.port.to_string();
        Self::with(&["--save", "", "--replicaof", "127.0.0.1", &port]).unwrap()
    }

    /// Starts a Sentinel that watches this one by a name.
    #[must_use]
    pub fn sentinel(&self, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        std::fs::write(&file, format!("sentinel monitor {name} 127.0.0.1 {} 1\n", self.port)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = vec!["--sentinel".to_owned()];
        let mut sentinel = Self { child: None, port, folder, file: Some(file), arguments };
        sentinel.launch();
        sentinel
    }

    /// Waits until a Sentinel knows this replica of the master of a name.
    pub fn known_to(&self, sentinel: &Self, name: &str) {
        sentinel.until(&["SENTINEL", "REPLICAS", name], |known| known.contains(&self.port.to_string()));
    }

    /// Makes a Sentinel promote this replica of the master of a name, which is gone.
    pub fn promoted_by(&self, sentinel: &Self, name: &str) {
        assert_eq!(sentinel.command(&["SENTINEL", "FAILOVER", name]), "+OK\r\n");
        self.until(&["ROLE"], |role| role.contains("master"));
        // It tells the new address only once it is done.
        let told = |master: &str| master.contains(&self.port.to_string());
        sentinel.until(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name], told);
    }

    /// Kills the master of a cluster that has the most requests in one window, after this spare node has become its replica, and
    /// makes it take over. Returns how many requests those were.
    pub fn take_over(&self, masters: &mut [Self]) -> u32 {
        let most = |node: &Self| {
            let script = "local most = 0 for _, key in ipairs(redis.call('KEYS', '*:sent')) do \
                          most = math.max(most, redis.call('ZCARD', key)) end return most";
            node.command(&["EVAL", script, "0"]).trim_start_matches(':').trim().parse::<u32>().unwrap()
        };
        let owner = masters.iter_mut().max_by_key(|node| most(node)).unwrap();
        let requests = most(owner);
        let id = owner.command(&["CLUSTER", "MYID"]);
        assert_eq!(self.command(&["CLUSTER", "REPLICATE", id.lines().nth(1).unwrap()]), "+OK\r\n");
        self.until(&["ROLE"], |role| role.contains("connected"));
        owner.kill();
        assert_eq!(self.command(&["CLUSTER", "FAILOVER", "TAKEOVER"]), "+OK\r\n");
        self.until(&["ROLE"], |role| role.contains("master"));
        for node in masters.iter().filter(|node| node.is_running()) {
            node.until(&["CLUSTER", "SLOTS"], |slots| slots.contains(&self.port.to_string()));
        }
        requests
    }

    /// The address for `limit.store` of a cluster of which these are nodes.
    #[must_use]
    pub fn cluster_url(nodes: &[Self]) -> String {
        let hosts: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
        format!("redis://{}/?cluster=true", hosts.join(","))
    }

    /// Its address for `limit.store`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same port, with what it kept.
    pub fn launch(&mut self) {
        let child = Command::new("redis-server")
            .args(&self.file)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let since = Instant::now();
        while self.try_command(&["PING"]).is_none_or(|reply| !reply.starts_with("+PONG")) {
            assert!(since.elapsed() < Duration::from_secs(60), "redis-server doesn't respond");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command and returns the reply as it comes.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap()
    }

    fn try_command(&self, words: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        // The reply to a second command tells where the first one's ends.
        stream.write_all(format!("{request}*1\r\n$4\r\nPING\r\n").as_bytes()).ok()?;
        let (mut reply, mut part) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut part).ok()? {
                0 => return None,
                count => reply.extend_from_slice(&part[..count]),
            }
            let text = String::from_utf8_lossy(&reply);
            if text.starts_with("-LOADING") {
                return None;
            }
            let complete = text.strip_suffix("+PONG\r\n").filter(|before| before.ends_with("\r\n"));
            if let Some(complete) = complete {
                return Some(complete.to_owned());
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
