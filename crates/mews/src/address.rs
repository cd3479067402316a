//! The operation of a path.

/// The path prefix of every operation of the Connector API.
pub const OPERATION_PREFIX: &str = "/api/connector/v1/";

/// The operation that `path` (without a query) addresses: everything after [`OPERATION_PREFIX`], unchanged.
///
/// Mews matches paths exactly, so nothing is normalized: a trailing slash, a different case or an escape stays, and the result
/// then is no operation that Mews has. `None` if the path is outside the Connector API or has nothing after the prefix.
///
/// ```
/// use nightaudit_mews::operation_of;
///
/// let versioned = "/api/connector/v1/reservations/getAll/2023-06-06";
/// assert_eq!(operation_of(versioned), Some("reservations/getAll/2023-06-06"));
/// assert_eq!(operation_of("/api/connector/v1/rates/getAll/"), Some("rates/getAll/"));
/// assert_eq!(operation_of("/api/distributor/v1/hotels/get"), None);
/// ```
pub fn operation_of(path: &str) -> Option<&str> {
    path.strip_prefix(OPERATION_PREFIX).filter(|operation| !operation.is_empty())
}

/// A Mews API other than the Connector API. Its requests aren't checked against contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OtherApi {
    /// The Booking Engine API, formerly Distributor.
    BookingEngine,
    /// The Channel Manager API.
    ChannelManager,
    /// The POS API.
    Pos,
}

impl OtherApi {
    /// The API that a path (without a query) belongs to; `None` if it is none of these.
    ///
    /// ```
    /// use nightaudit_mews::OtherApi;
    ///
    /// assert_eq!(OtherApi::of("/api/distributor/v1/hotels/get"), Some(OtherApi::BookingEngine));
    /// assert_eq!(OtherApi::of("/api/connector/v1/rates/getAll"), None);
    /// ```
    pub fn of(path: &str) -> Option<Self> {
        [
            ("/api/distributor/v1/", Self::BookingEngine),
            ("/api/channelManager/v1/", Self::ChannelManager),
            ("/pos/v1/", Self::Pos),
        ]
        .into_iter()
        .find_map(|(prefix, api)| path.starts_with(prefix).then_some(api))
    }

    /// Its display name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BookingEngine => "Booking Engine API",
            Self::ChannelManager => "Channel Manager API",
            Self::Pos => "POS API",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_it_stands() {
        for operation in
            ["rates/getAll", "rates/getAll/", "/rates/getAll", "Rates/GetAll", "rates%2FgetAll", "x", "../y"]
        {
            assert_eq!(operation_of(&format!("/api/connector/v1/{operation}")), Some(operation));
        }
    }

    #[test]
    fn other_apis_are_told_by_the_beginning_of_their_addresses() {
        for (path, api) in [
            ("/api/distributor/v1/hotels/get", Some(OtherApi::BookingEngine)),
            ("/api/channelManager/v1/requestAriUpdate", Some(OtherApi::ChannelManager)),
            ("/pos/v1/invoices", Some(OtherApi::Pos)),
            ("/api/connector/v1/rates/getAll", None),
            ("/api/channelmanager/v1/x", None),
            ("/position/v1/x", None),
            ("/pos/v1", None),
            ("", None),
        ] {
            assert_eq!(OtherApi::of(path), api, "{path}");
        }
    }

    #[test]
    fn other_addresses_name_no_operation() {
        for path in [
            "",
            "/",
            "/api/connector/v1",
            "/api/connector/v1/",
            "/API/connector/v1/rates/getAll",
            "//api/connector/v1/x",
        ] {
            assert_eq!(operation_of(path), None, "{path}");
        }
    }
}
