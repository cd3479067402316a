//! Where to listen, as people write it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const ACCEPTED: &str =
    "write 8080, :8080, localhost:8080, 127.0.0.1:8080 or [::1]:8080; 0.0.0.0:8080 lets other machines in";

/// An address to listen on: `8080`, `:8080`, `localhost:8080`, `127.0.0.1:8080`. Without a host it is this machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

/// One or more addresses to listen on; with commas where they are one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(pub Vec<SocketAddr>);

/// A text that is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address to listen on: {ACCEPTED}")]
pub struct InvalidAddress(String);

impl Address {
    /// The port of this machine alone, whose loopback address is the same everywhere.
    const fn own(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let (host, port) = trimmed.rsplit_once(':').unwrap_or(("", trimmed));
        // `u16` would take a sign.
        let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
        match (host, port) {
            ("", Some(port)) => Ok(Self::own(port)),
            (host, Some(port)) if host.eq_ignore_ascii_case("localhost") => Ok(Self::own(port)),
            (_, Some(_)) => trimmed.parse().map(Self).map_err(|_| InvalidAddress(text.to_owned())),
            (_, None) => Err(InvalidAddress(text.to_owned())),
        }
    }
}

impl FromStr for Addresses {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(|part| part.parse().map(|Address(address)| address)).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Addresses::deserialize(deserializer)?.0[..] {
            [address] => Ok(Self(address)),
            _ => Err(de::Error::custom(format!("takes one address: {ACCEPTED}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

/// Takes a text, a port as a number, or a list of both.
struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an address to listen on: {ACCEPTED}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, port: i64) -> Result<Addresses, E> {
        let own = u16::try_from(port).map(|port| Addresses(vec![Address::own(port).0]));
        own.map_err(|_| E::custom(InvalidAddress(port.to_string())))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
        let mut all = Vec::new();
        while let Some(Addresses(some)) = list.next_element()? {
            all.extend(some);
        }
        if all.is_empty() {
            return Err(de::Error::custom(format!("an empty list: {ACCEPTED}")));
        }
        Ok(Addresses(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, address) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LocalHost:0", "127.0.0.1:0"),
            (" 127.0.0.2:80 ", "127.0.0.2:80"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), address, "{text}");
        }
        let several: Addresses = "8080, [::1]:8080".parse().unwrap();
        assert_eq!(several.to_string(), "127.0.0.1:8080, [::1]:8080");
        assert_eq!(several.to_string().parse(), Ok(several));
    }

    #[test]
    fn regression_an_error_of_an_address_said_only_that_its_syntax_is_invalid() {
        for text in
            ["", "localhost", "80800", "+80", ":", "example.com:80", "::1:80", "127.0.0.1", "8080,", "http://x:1"]
        {
            let error = text.parse::<Addresses>().unwrap_err().to_string();
            assert!(error.contains("localhost:8080") && error.contains("not an address"), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_has_ports_texts_and_lists() {
        #[derive(Deserialize)]
        struct Only {
            listen: Addresses,
        }
        let read = |text: &str| toml::from_str::<Only>(text).map(|only| only.listen.to_string());
        for (text, addresses) in [
            ("listen = 8080", "127.0.0.1:8080"),
            ("listen = ':8080'", "127.0.0.1:8080"),
            ("listen = [8080, 'localhost:8090']", "127.0.0.1:8080, 127.0.0.1:8090"),
        ] {
            assert_eq!(read(text).unwrap(), addresses, "{text}");
        }
        for text in ["listen = []", "listen = 70000", "listen = true", "listen = -1", "listen = ['x']"] {
            assert!(read(text).unwrap_err().to_string().contains("localhost:8080"), "{text}");
        }
    }
}
