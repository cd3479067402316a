//! Passwords from where PostgreSQL's own programs take them.

use std::{env, path::Path};

use tokio_postgres::config::{Config, Host};

/// `PGPASSWORD`, or the line of the password file (`passfile` of the address, else `PGPASSFILE`) for this address.
pub(crate) fn find(config: &Config, file: Option<&Path>) -> Option<Vec<u8>> {
    if let Some(password) = env::var_os("PGPASSWORD").filter(|password| !password.is_empty()) {
        return Some(password.into_encoded_bytes());
    }
    let named = env::var_os("PGPASSFILE").filter(|path| !path.is_empty());
    let path = file.or(named.as_deref().map(Path::new))?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!("can't read the password file {}: {error}", path.display());
            return None;
        }
    };
    of_file(&text, config)
}

/// The password of the first line that fits: `host:port:database:user:password`, `*` for any, `\` before `:` and `\`.
fn of_file(text: &str, config: &Config) -> Option<Vec<u8>> {
    let host = config.get_hosts().first().map_or_else(String::new, |host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(_) => "localhost".to_owned(),
    });
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    let wanted = [&*host, &*port, database, user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let [given @ .., password] = fields(line)?;
        let fits = given.iter().zip(wanted).all(|(given, wanted)| given == "*" || given == wanted);
        fits.then(|| password.into_bytes())
    })
}

/// The five fields of a line.
fn fields(line: &str) -> Option<[String; 5]> {
    let mut fields = [const { String::new() }; 5];
    let mut at = 0;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => fields[at].extend(letters.next()),
            ':' if at < 4 => at += 1,
            letter => fields[at].push(letter),
        }
    }
    (at == 4).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let file = "# a comment\nother:*:*:*:no\nh:5433:*:*:no\nh:*:d:a\\:b:p\\:w:x\n*:*:*:*:any\n";
        let find = |url: &str| of_file(file, &url.parse().unwrap()).map(|found| String::from_utf8(found).unwrap());
        assert_eq!(find("postgres://a%3Ab@h/d").as_deref(), Some("p:w:x"));
        assert_eq!(find("postgres://a@h/d").as_deref(), Some("any"));
        assert_eq!(of_file("h:1:d:a\nbroken", &"postgres://a@h:1/d".parse().unwrap()), None);
    }
}
