//! Which operation an address names.

/// The path under which every operation of the Connector API lies.
pub const OPERATION_PREFIX: &str = "/api/connector/v1/";

/// The operation that `path` (without a query) addresses: all that follows [`OPERATION_PREFIX`], as it stands.
///
/// Mews matches addresses exactly, so nothing is normalised: a trailing slash, a different case or an escape stays in
/// the answer, which then names no operation that Mews has. `None` where the path lies outside the Connector API or
/// names nothing below the prefix.
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
