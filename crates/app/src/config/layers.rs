//! Layers of configuration: defaults, file, environment variables, flags.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::file::File;

/// The prefix of all environment variables that are read.
pub const PREFIX: &str = "NIGHTAUDIT_";

/// Variables with the prefix that aren't keys: the file's path.
const NOT_KEYS: [&str; 3] = ["NIGHTAUDIT_CONFIG", "NIGHTAUDIT_ACCESS_TOKEN", "NIGHTAUDIT_CLIENT_TOKEN"];

/// A configuration error, in one line with the key, its position and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file isn't valid TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// File and line, variable or flag.
        place: Origin,
        /// What is wrong, on one line.
        message: String,
    },
    /// There is no such key.
    #[error("{place}: unknown key `{key}`{}", Neighbours(neighbours))]
    Unknown {
        /// File and line, variable or flag.
        place: Origin,
        /// The key.
        key: String,
        /// Similar keys.
        neighbours: Vec<String>,
    },
    /// A value is invalid, or conflicts with another one.
    #[error("{place}: `{key}`: {message}")]
    Value {
        /// File and line, variable or flag.
        place: Origin,
        /// The key.
        key: String,
        /// What is wrong with its value.
        message: String,
    },
}

/// An environment variable's text that is not of its key's type.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum WrongType {
    #[error("`{0}` is not a whole number")]
    Integer(String),
    #[error("`{0}` is neither true nor false")]
    Boolean(String),
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The built-in default.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Variable(String),
    /// A flag, by name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

struct Neighbours<'a>(&'a [String]);

impl fmt::Display for Neighbours<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("; `nightaudit config show` lists all keys"),
            [one] => write!(f, ": did you mean `{one}`?"),
            [first @ .., last] => {
                f.write_str(": did you mean ")?;
                for name in first {
                    write!(f, "`{name}`, ")?;
                }
                write!(f, "or `{last}`?")
            }
        }
    }
}

/// The merged layers, and the origin of each value.
#[derive(Debug)]
pub struct Layers {
    merged: Table,
    origins: BTreeMap<String, Origin>,
}

impl Default for Layers {
    /// The built-in defaults.
    fn default() -> Self {
        Self::new()
    }
}

impl Layers {
    /// The built-in defaults.
    pub fn new() -> Self {
        Self { merged: table_of(&File::default()), origins: BTreeMap::new() }
    }

    /// Merges a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Syntax`] for invalid TOML, [`ConfigError::Unknown`] for the first unknown key.
    pub fn file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let origin = |at: usize| Origin::File { path: path.to_owned(), line: line_of(text, at) };
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            place: origin(error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', " "),
        };
        let table = DeTable::parse(text).map_err(syntax)?;
        let mut keys = Vec::new();
        list_keys(table.get_ref(), "", "", &mut keys);
        let known = known_keys();
        for key in &keys {
            let is_table = known.iter().any(|known| is_below(known, &key.pattern));
            if !is_table && !known.contains(&key.pattern) {
                let place = origin(key.at);
                return Err(ConfigError::Unknown {
                    place,
                    neighbours: neighbours(&key.path, &known),
                    key: key.path.clone(),
                });
            }
        }
        merge(&mut self.merged, toml::from_str(text).map_err(syntax)?);
        self.origins.extend(keys.into_iter().map(|key| (key.path, origin(key.at))));
        Ok(())
    }

    /// Merges environment variables, and returns the names of those that aren't keys.
    ///
    /// Those aren't errors: for a service named `nightaudit`, Kubernetes sets `NIGHTAUDIT_PORT` and the like.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] if a number or a boolean is expected.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<String>, ConfigError> {
        let mut defaults = leaves(&table_of(&File::default()));
        // Of environments, those that the file names: in a variable, a name has no end.
        let environments = self.merged.get("environments").and_then(Value::as_table).into_iter().flat_map(Table::keys);
        defaults.extend(environments.flat_map(|name| {
            ["api", "events"].map(|key| (format!("environments.{name}.{key}"), Value::String(String::new())))
        }));
        let mut unknown = Vec::new();
        for (name, text) in variables {
            if !name.starts_with(PREFIX) || NOT_KEYS.contains(&name.as_str()) {
                continue;
            }
            let Some((key, default)) = defaults.iter().find(|(key, _)| variable(key) == name) else {
                unknown.push(name);
                continue;
            };
            // Rules of faults have commas themselves.
            let separator = if key == "fault" { ';' } else { ',' };
            let value = value_like(default, &text, separator).map_err(|wrong| ConfigError::Value {
                place: Origin::Variable(name.clone()),
                key: key.clone(),
                message: wrong.to_string(),
            })?;
            self.set(key, value, Origin::Variable(name));
        }
        Ok(unknown)
    }

    /// Merges a flag.
    pub fn flag(&mut self, flag: &'static str, key: &str, value: Value) {
        self.set(key, value, Origin::Flag(flag));
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) {
        let (parents, last) = key.rsplit_once('.').map_or((None, key), |(parents, last)| (Some(parents), last));
        let mut table = &mut self.merged;
        for name in parents.iter().flat_map(|parents| parents.split('.')) {
            let below = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            if !below.is_table() {
                *below = Value::Table(Table::new());
            }
            let Value::Table(below) = below else { return };
            table = below;
        }
        table.insert(last.to_owned(), value);
        self.origins.retain(|path, _| !path.starts_with(&format!("{key}[")));
        self.origins.insert(key.to_owned(), origin);
    }

    /// The merged configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] for the first invalid value.
    pub fn read(&self) -> Result<File, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(self.merged.clone())).map_err(|error| {
            let key = error.path().to_string();
            let message = error.inner().message().trim().replace('\n', " ");
            ConfigError::Value { place: self.origin(&key), key, message }
        })
    }

    /// The origin of a key's value, or of the list that contains it.
    pub fn origin(&self, key: &str) -> Origin {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return origin.clone();
            }
            // Items have the origin of their list, but a table in a file may leave keys at their defaults.
            match key.strip_suffix(']').and_then(|key| key.rfind('[')) {
                Some(end) => key = &key[..end],
                None => return Origin::Default,
            }
        }
    }

    /// An error about a key's value.
    pub fn wrong(&self, key: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::Value { place: self.origin(key), key: key.to_owned(), message: message.into() }
    }

    /// Every key with its value and origin, sorted by name.
    pub fn list(&self) -> Vec<(String, Value, Origin)> {
        leaves(&self.merged).into_iter().map(|(key, value)| (key.clone(), value, self.origin(&key))).collect()
    }
}

/// The variable that sets a key: `timeouts.connect` is set by `NIGHTAUDIT_TIMEOUTS_CONNECT`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace(['.', '-'], "_"))
}

fn table_of(file: &File) -> Table {
    // Only maps with non-string keys fail to serialise, and `File` has none.
    Table::try_from(file).unwrap_or_default()
}

/// A key in a file: its path, the path with `*` for user-chosen names and indices, and its position.
struct Key {
    path: String,
    pattern: String,
    at: usize,
}

fn list_keys(table: &DeTable<'_>, path: &str, pattern: &str, keys: &mut Vec<Key>) {
    for (name, value) in table {
        let below = |prefix: &str, name: &str| match prefix {
            "" => name.to_owned(),
            prefix => format!("{prefix}.{name}"),
        };
        let at = name.span().start;
        let path = below(path, name.get_ref());
        let pattern = below(pattern, if pattern == "environments" { "*" } else { name.get_ref() });
        keys.push(Key { path: path.clone(), pattern: pattern.clone(), at });
        match value.get_ref() {
            DeValue::Table(table) => list_keys(table, &path, &pattern, keys),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let DeValue::Table(table) = item.get_ref() {
                        let (path, pattern) = (format!("{path}[{index}]"), format!("{pattern}[*]"));
                        keys.push(Key { path: path.clone(), pattern: pattern.clone(), at: item.span().start });
                        list_keys(table, &path, &pattern, keys);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The patterns of all known keys.
fn known_keys() -> Vec<String> {
    let mut file = table_of(&File::default());
    let mut any = Table::new();
    for key in ["api", "events"] {
        any.insert(key.to_owned(), Value::String(String::new()));
    }
    let rule = Table::from_iter([("rule".to_owned(), Value::String(String::new()))]);
    file.insert("fault".to_owned(), Value::Array(vec![Value::Table(rule)]));
    file.insert("environments".to_owned(), Value::Table(Table::from_iter([("*".to_owned(), Value::Table(any))])));
    let mut known: Vec<String> = Vec::new();
    for (key, value) in leaves(&file) {
        if let Value::Array(items) = &value
            && let Some(Value::Table(item)) = items.first()
        {
            known.extend(item.keys().map(|below| format!("{key}[*].{below}")));
        }
        known.push(key);
    }
    known
}

fn is_below(key: &str, parent: &str) -> bool {
    key.strip_prefix(parent).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(below) => {
                leaves.extend(self::leaves(below).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => leaves.push((name.clone(), value.clone())),
        }
    }
    leaves
}

fn merge(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

/// Parses a variable's text as a value of the same type as the key's default; items of a list have the separator between
/// them.
fn value_like(default: &Value, text: &str, separator: char) -> Result<Value, WrongType> {
    Ok(match default {
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| WrongType::Integer(text.to_owned()))?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| WrongType::Boolean(text.to_owned()))?),
        Value::Array(_) => {
            let items = text.split(separator).map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    })
}

/// Up to three known keys that are similar to an unknown one, most similar first.
fn neighbours(path: &str, known: &[String]) -> Vec<String> {
    const ALIKE: f64 = 0.8;
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let mut near: Vec<(f64, &String)> = known
        .iter()
        .map(|key| (strsim::jaro_winkler(path, key).max(strsim::jaro_winkler(&last(path), &last(key))), key))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    let table = |path: &str| path.rsplit_once('.').map(|(table, _)| table.to_owned());
    // A typo is likelier than a wrong table, unless the name is right there.
    let is_likely = |key: &str| table(key) == table(path) || last(key) == last(path);
    if near.iter().any(|(_, key)| is_likely(key)) {
        near.retain(|(_, key)| is_likely(key));
    }
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    near.into_iter().take(3).map(|(_, key)| key.replace("[*]", "").replace(".*", ".NAME")).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_error(text: &str) -> String {
        let mut layers = Layers::new();
        let result = layers.file(Path::new("na.toml"), text).and_then(|()| layers.read().map(drop));
        result.unwrap_err().to_string()
    }

    #[test]
    fn flags_lie_over_variables_over_the_file_over_defaults() {
        let mut layers = Layers::new();
        layers
            .file(Path::new("na.toml"), "session = 'file'\nqueue = 1\n[timeouts]\nconnect = '1s'\nkeep_alive = '2s'\n")
            .unwrap();
        let variables = [("NIGHTAUDIT_QUEUE", "2"), ("NIGHTAUDIT_TIMEOUTS_CONNECT", "3s"), ("OTHER", "x")];
        layers.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        layers.flag("--queue", "queue", Value::Integer(3));
        let file = layers.read().unwrap();
        assert_eq!((file.session.as_str(), file.queue), ("file", 3));
        assert_eq!(file.timeouts.connect.to_string(), "3s");
        assert_eq!(file.timeouts.keep_alive.to_string(), "2s");
        assert_eq!(file.timeouts.drain, File::default().timeouts.drain);
        assert_eq!(layers.origin("queue"), Origin::Flag("--queue"));
        assert_eq!(layers.origin("timeouts.connect"), Origin::Variable("NIGHTAUDIT_TIMEOUTS_CONNECT".to_owned()));
        assert_eq!(layers.origin("timeouts.keep_alive").to_string(), "na.toml, line 5");
        assert_eq!(layers.origin("timeouts.drain"), Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_its_neighbours() {
        assert_eq!(
            file_error("# my own\nlissten = '127.0.0.1:1'\n"),
            "na.toml, line 2: unknown key `lissten`: did you mean `listen`?"
        );
        let misplaced = file_error("connect = '5s'");
        assert!(misplaced.contains("did you mean `timeouts.connect`"), "{misplaced}");
        let in_rule = file_error("[[limit.rule]]\nname = 'a'\nwindows = '1s'\n");
        assert!(in_rule.starts_with("na.toml, line 3: unknown key `limit.rule[0].windows`"), "{in_rule}");
        assert!(in_rule.contains("`limit.rule.window`"), "{in_rule}");
        let in_environment = file_error("[environments.staging]\napi = 'http://a'\nevent = 'ws://a'\n");
        assert!(in_environment.contains("`environments.NAME.events`"), "{in_environment}");
        assert!(file_error("zzqq = 1").ends_with("`nightaudit config show` lists all keys"));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        assert_eq!(
            file_error("\n[timeouts]\nconnect = 'soon'"),
            "na.toml, line 3: `timeouts.connect`: `soon` is not a duration: use 500ms, 30s, 15m or 90d"
        );
        let rule = file_error("[[limit.rule]]\nname = 'a'\nkey = ['token']\nrequests = 1\nwindow = '1s'");
        assert!(rule.contains("line 3: `limit.rule[0].key[0]`") && rule.contains("access_token"), "{rule}");
        let missing = file_error("[[limit.rule]]\nname = 'a'\nkey = []\nwindow = '1s'");
        assert!(missing.contains("line 1: `limit.rule[0]`: missing field `requests`"), "{missing}");
    }

    #[test]
    fn what_is_no_toml_is_named_in_one_line() {
        let error = file_error("listen = \n");
        assert!(error.starts_with("na.toml, line 1: ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn variables_that_are_no_keys_are_told_and_harm_nothing() {
        let mut layers = Layers::new();
        let variables = [("NIGHTAUDIT_PORT", "tcp://10.0.0.1"), ("NIGHTAUDIT_CONFIG", "x")];
        let unknown = layers.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        assert_eq!(unknown, ["NIGHTAUDIT_PORT"]);
        assert_eq!(layers.read().unwrap(), File::default());
    }

    #[test]
    fn a_variable_of_the_wrong_kind_is_named() {
        let error = Layers::new().environment([("NIGHTAUDIT_QUEUE".to_owned(), "many".to_owned())]).unwrap_err();
        assert_eq!(error.to_string(), "NIGHTAUDIT_QUEUE: `queue`: `many` is not a whole number");
    }

    #[test]
    fn limits_come_from_a_variable_or_a_flag_as_short_texts() {
        let mut layers = Layers::new();
        layers.environment([("NIGHTAUDIT_LIMIT_RULE".to_owned(), "200/30s, 2000/15m".to_owned())]).unwrap();
        let rules = layers.read().unwrap().limit.rule;
        assert_eq!(rules.iter().map(|rule| rule.requests).collect::<Vec<_>>(), [200, 2000]);
    }

    #[test]
    fn regression_each_listed_key_is_set_by_the_variable_that_is_listed_with_it() {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), "[environments.my-test]\napi = 'http://a'\n").unwrap();
        let names = ["API", "EVENTS"].map(|key| format!("NIGHTAUDIT_ENVIRONMENTS_MY_TEST_{key}"));
        assert_eq!(layers.environment(names.map(|name| (name, "http://b".to_owned()))).unwrap(), [""; 0]);
        for (key, value, origin) in layers.list().into_iter().filter(|(key, ..)| key.starts_with("environments")) {
            assert_eq!((value.as_str(), origin), (Some("http://b"), Origin::Variable(variable(&key))));
        }
    }

    #[test]
    fn defaults_survive_being_written() {
        assert_eq!(Layers::new().read().unwrap(), File::default());
    }
}
