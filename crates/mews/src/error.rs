//! Errors in Mews' format.

use serde::Serialize;

/// An error body in Mews' shape, as JSON: `{"Message": …, "RequestId": …}`.
///
/// Without a `request_id` there is no `RequestId`: a local response must not appear to carry an id that Mews' support could
/// look up.
///
/// ```
/// use nightaudit_mews::error_body;
///
/// assert_eq!(error_body("Too many requests.", None), r#"{"Message":"Too many requests."}"#);
/// assert_eq!(error_body("Invalid \"Id\".", Some("5f1")), r#"{"Message":"Invalid \"Id\".","RequestId":"5f1"}"#);
/// ```
pub fn error_body(message: &str, request_id: Option<&str>) -> String {
    let body = ErrorBody { message, request_id };
    serde_json::to_string(&body).expect("a struct of strings has no way to fail as JSON")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}
