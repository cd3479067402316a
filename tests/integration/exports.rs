//! Exports as the tools read them that they are made for.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_testkit::{Process, Simulated, post, send};

use crate::browser::packages;

const BINARY: &str = env!("CARGO_BIN_EXE_nightaudit");

/// A session with everything that the formats distinguish: pages, extents, changes, failures, an empty response, another
/// method, a path that isn't documented, and a query.
async fn recorded(data: &Path) {
    let simulated = Simulated::start(BINARY, &[]);
    let serve = Process::serve_on(BINARY, data, &["--upstream", simulated.url(), "--session", "observed"]);
    let tokens = PUBLISHED_TOKENS[0];
    let (client, access) = (tokens.client, tokens.access);
    for (operation, fields) in [
        ("reservations/getAll/2023-06-06", r#","States":["Confirmed"],"Limitation":{"Count":10}"#),
        ("reservations/getAll/2023-06-06", r#","States":["Started","Confirmed"],"Limitation":{"Count":5}"#),
        ("customers/add", r#","LastName":"Ø’Brien","OverwriteExisting":false"#),
        ("customers/getAll", r#","Extent":{"Customers":true},"Limitation":{"Count":0}"#),
        ("customers/getAll", r#","Extent":{"Customers":true,"Addresses":false},"Limitation":{"Count":3}"#),
        ("configuration/get", ""),
        ("rates/getPricing", r#","RateId":"nothing""#),
        ("nothing/{here}", ""),
        ("services/getAll?page=1&empty=", r#","Limitation":{"Count":10}"#),
    ] {
        let body = format!(r#"{{"ClientToken":"{client}","AccessToken":"{access}","Client":"Test 1.0"{fields}}}"#);
        send(serve.proxy(), &post(operation, &body)).await;
    }
    let get = b"GET /api/connector/v1/currencies/getAll HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(send(serve.proxy(), get).await.status, 405);
    assert!(serve.stop().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn postman_and_openapi_exports_are_what_others_read() {
    let names = ["@apidevtools/swagger-parser", "postman-collection"];
    let Some(packages) = packages("Postman's library and an OpenAPI validator", &names) else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    recorded(&data).await;
    let written = ["openapi", "postman"].map(|format| {
        let file = folder.path().join(format!("{format}.json"));
        let export = Command::new(BINARY)
            .args(["export", "--format", format, "--session", "observed", "-o", file.to_str().unwrap(), "--data"])
            .arg(&data)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(export.status.success(), "{export:?}");
        file
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/exports.cjs");
    let mut node = Command::new("node");
    node.arg(script).args(&written).env("NODE_PATH", packages);
    let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("openapi 3.1.") && said.contains(" 8 operations"), "{said}");
    assert!(said.contains("postman "), "{said}");
}
