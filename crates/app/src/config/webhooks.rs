//! Where webhooks are received, and where they go.

use std::net::SocketAddr;

use nightaudit_proxy::{InvalidOrigin, WebhookTarget};

use super::{
    file::File,
    layers::{ConfigError, Layers},
};

/// Webhooks on their way to the integration.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where they are received.
    pub listen: SocketAddr,
    /// The integration's URL.
    pub forward: WebhookTarget,
}

/// The settings for webhooks; `None` if there are none.
///
/// # Errors
///
/// [`ConfigError`] if one of the two addresses is missing, the URL is invalid, or a port is taken by another key.
pub(crate) fn config(layers: &Layers, file: &File) -> Result<Option<WebhookSettings>, ConfigError> {
    let (listen, forward) = (file.webhooks.listen.0.map(|address| address.0), file.webhooks.forward.as_str());
    let listen = match (listen, forward) {
        (None, "") => return Ok(None),
        (Some(listen), "") => {
            let message = format!("{listen} also needs the integration's URL: set `webhooks.forward`");
            return Err(layers.wrong("webhooks.listen", message));
        }
        (None, _) => {
            return Err(
                layers.wrong("webhooks.forward", "also needs an address to receive them on: set `webhooks.listen`")
            );
        }
        (Some(listen), _) => listen,
    };
    let others = [(file.console.0, "the console's")].into_iter();
    let others = others.chain(file.listen.0.iter().map(|address| (*address, "the proxy's")));
    if let Some((address, whose)) = others.into_iter().find(|(address, _)| listen.port() != 0 && *address == listen) {
        return Err(layers.wrong("webhooks.listen", format!("{address} is {whose} address: choose another port")));
    }
    let forward: WebhookTarget =
        forward.parse().map_err(|error: InvalidOrigin| layers.wrong("webhooks.forward", error.to_string()))?;
    let is_itself = forward.origin().port() == listen.port()
        && (forward.origin().host() == "localhost" || forward.origin().host() == listen.ip().to_string());
    if is_itself {
        let message = format!("{forward} is where webhooks are received: they would go in circles");
        return Err(layers.wrong("webhooks.forward", message));
    }
    Ok(Some(WebhookSettings { listen, forward }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Settings;

    use super::*;

    fn webhooks(text: &str) -> Result<Option<WebhookSettings>, String> {
        let mut layers = Layers::new();
        layers.file(Path::new("na.toml"), text).map_err(|error| error.to_string())?;
        Settings::new(&layers, Some(Path::new("/data")))
            .map(|settings| settings.webhooks)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn webhooks_are_off_unless_both_addresses_are_given() {
        assert!(webhooks("").unwrap().is_none());
        let both = webhooks("[webhooks]\nlisten = '8082'\nforward = 'http://127.0.0.1:3000/hook?key=s3cret'").unwrap();
        let both = both.unwrap();
        assert_eq!(both.listen, "127.0.0.1:8082".parse().unwrap());
        assert_eq!(both.forward.to_string(), "http://127.0.0.1:3000/hook");
        for (text, key, why) in [
            ("listen = '8082'", "webhooks.listen", "set `webhooks.forward`"),
            ("forward = 'http://a/hook'", "webhooks.forward", "set `webhooks.listen`"),
            ("listen = '8080'\nforward = 'http://a/'", "webhooks.listen", "the proxy's address"),
            ("listen = '8081'\nforward = 'http://a/'", "webhooks.listen", "the console's address"),
            ("listen = '8082'\nforward = 'a/hook'", "webhooks.forward", "must begin with http"),
            ("listen = '8082'\nforward = 'http://localhost:8082'", "webhooks.forward", "in circles"),
            ("listen = '8082'\nforward = 'http://127.0.0.1:8082/x'", "webhooks.forward", "in circles"),
            ("listen = 'here'\nforward = 'http://a/'", "webhooks.listen", "not an address"),
        ] {
            let error = webhooks(&format!("[webhooks]\n{text}")).unwrap_err();
            assert!(error.contains(&format!("`{key}`: ")) && error.contains(why), "{text}: {error}");
        }
    }
}
