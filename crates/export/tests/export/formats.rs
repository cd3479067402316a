//! Whole outputs against golden files, HAR against its specification, and hostile content in all of them.

use std::{io::Write as _, process::Command};

use nightaudit_exchange::{Body, CallDirection, Exchange, Pseudonym};
use nightaudit_export::Format;
use proptest::prelude::*;

use crate::samples::{exchange, fields, hostile, said, session};

fn written(format: Format, exchanges: &[Exchange]) -> String {
    let mut out = Vec::new();
    let mut writer = format.writer(&mut out);
    exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
    writer.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_format_writes_a_session_as_it_always_did() {
    for format in Format::ALL {
        let text = written(format, &session()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(format.name(), text);
    }
}

#[test]
fn nothing_at_all_is_a_valid_file_too() {
    assert_eq!(crate::har12::check(&written(Format::Har, &[])), 0);
    assert_eq!(written(Format::Ndjson, &[]), "");
    assert_eq!(written(Format::Csv, &[]).lines().count(), 1);
    assert!(syntax(&written(Format::Curl, &[])));
}

#[test]
fn a_har_is_as_the_specification_has_it() {
    assert_eq!(crate::har12::check(&written(Format::Har, &session())), 4);
    assert_eq!(crate::har12::check(&written(Format::Har, &[hostile(), hostile()])), 2);
}

#[test]
fn messages_of_a_websocket_stand_in_a_har_as_chromium_writes_them() {
    let har = written(Format::Har, &[said()]);
    assert_eq!(crate::har12::check(&har), 1);
    let har: serde_json::Value = serde_json::from_str(&har).unwrap();
    let entry = &har["log"]["entries"][0];
    assert_eq!((&entry["response"]["status"], &entry["_resourceType"]), (&101.into(), &"websocket".into()));
    assert_eq!(
        entry["_webSocketMessages"],
        serde_json::json!([
            {"type": "send", "time": 1_790_000_000.25, "opcode": 1, "data": "{\"a\":1}"},
            {"type": "receive", "time": 1_790_000_000.25, "opcode": 2, "data": "/wA="},
            {"type": "receive", "time": 1_790_000_000.25, "opcode": 8, "data": ""},
        ])
    );
    let facts = &entry["_nightaudit"]["webSocket"];
    assert_eq!((&facts["omitted"]["messages"], &facts["messages"][1]["length"]), (&1.into(), &2.into()));
}

#[test]
fn a_part_of_a_websocket_is_no_request_that_could_be_sent_again() {
    assert_eq!(written(Format::Curl, &[exchange(1), said()]), written(Format::Curl, &[exchange(1)]));
}

#[test]
fn regression_webhooks_were_sent_to_the_integration_again() {
    let mut webhook = exchange(2);
    webhook.direction = CallDirection::Incoming;
    webhook.request.url = "http://127.0.0.1:3000/hook".to_owned();
    let script = written(Format::Curl, &[exchange(1), webhook.clone()]);
    assert_eq!(script.matches("\ncurl ").count(), 1, "{script}");
    assert!(script.contains("# Left out, a webhook of Mews: ") && !script.contains("/hook"), "{script}");
    assert!(syntax(&script));
}

#[test]
fn regression_what_a_script_leaves_out_was_counted_as_written() {
    let mut webhook = exchange(2);
    webhook.direction = CallDirection::Incoming;
    let exchanges = [exchange(1), webhook, said()];
    for (format, left_out) in [(Format::Curl, 2), (Format::Har, 0)] {
        let mut out = Vec::new();
        let mut writer = format.writer(&mut out);
        exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
        assert_eq!(writer.left_out(), left_out, "{format}");
    }
}

#[test]
fn a_part_of_a_websocket_is_a_line_of_the_spreadsheet_that_says_so() {
    let text = written(Format::Csv, &[exchange(1), said()]);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    let cell =
        |line: usize, name: &str| records[line][columns.iter().position(|column| column == name).unwrap()].to_owned();
    assert_eq!((cell(0, "webSocketPart"), cell(1, "webSocketPart")), (String::new(), "1".to_owned()));
    assert_eq!(
        (cell(1, "requestBytes"), cell(1, "responseBytes"), cell(1, "status")),
        ("7".into(), "2".into(), "".into())
    );
}

#[test]
fn ndjson_gives_every_exchange_back() {
    let mut exchanges = session();
    exchanges.extend([hostile(), said()]);
    let text = written(Format::Ndjson, &exchanges);
    let read: Vec<Exchange> = text.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, exchanges);
}

#[test]
fn no_cell_of_a_spreadsheet_is_a_formula() {
    let text = written(Format::Csv, &[hostile(), exchange(1)]);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 2);
    for cell in records.iter().flatten() {
        assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{cell}");
    }
    assert_eq!(text.matches("\r\n").count() - text.matches("\u{2028}\r\n").count(), 3);
}

#[test]
fn hostile_content_does_not_break_out_of_a_command() {
    let exchanges = [hostile(), exchange(2)];
    let script = written(Format::Curl, &exchanges);
    assert!(syntax(&script), "{script}");
    // With `curl` replaced by a function that prints its arguments, nothing else runs and each argument is one.
    let set = format!("set -f\nPATH=/nowhere\ncurl() {{ printf '<%s>\\n' \"$@\"; }}\n{}", tokens(&exchanges[1]));
    let output = Command::new("/bin/sh").args(["-c", &format!("{set}{script}")]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(err, "");
    assert_eq!(out.matches("<--url>").count(), 2, "{out}");
    assert!(out.contains("$(touch /tmp/x)`id`';\"\\%00"), "{out}");
    assert!(out.contains("<{\"ClientToken\":\"my client\",\"AccessToken\":\"my $access\",\"Client\":"), "{out}");
    assert!(!out.contains("<@/etc/passwd"), "{out}");
}

#[test]
fn a_body_too_long_for_an_argument_goes_through_a_pipe() {
    let mut long = exchange(1);
    long.request.body = Body::whole(format!("\"{}'é\"", "x".repeat(300 << 10)).into());
    let script = written(Format::Curl, &[long.clone()]);
    let shell = format!("curl() {{ cat; }}\n{script}");
    let mut child =
        Command::new("sh").stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = std::thread::spawn(move || stdin.write_all(shell.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap().unwrap();
    assert!(output.stdout == long.request.body.bytes);
}

fn tokens(exchange: &Exchange) -> String {
    let name = |token: Option<Pseudonym>| token.unwrap().to_string()[Pseudonym::PREFIX.len()..].to_owned();
    format!(
        "ACCESS_TOKEN_{}='my $access'\nCLIENT_TOKEN_{}='my client'\n",
        name(exchange.envelope.access_token),
        name(exchange.envelope.client_token),
    )
}

fn syntax(script: &str) -> bool {
    let mut child = Command::new("sh").arg("-n").stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

proptest! {
    #[test]
    fn whatever_was_recorded_is_written_and_read_back(
        body in prop::collection::vec(any::<u8>(), 0..80), text: String, coding in "gzip|br|x", times: [Option<u64>; 3],
        status in 100u16..1000,
    ) {
        let mut exchange = exchange(1);
        let body = Body { content_encoding: Some(coding), ..Body::whole(body.into()) };
        exchange.request.body = body.clone();
        exchange.request.url.push_str(&text);
        exchange.request.headers = fields(&[(&text, &text), ("cookie", &text)]);
        let response = exchange.response.as_mut().unwrap();
        (response.body, response.status) = (body, status);
        response.headers = fields(&[("set-cookie", &text), ("content-type", &text)]);
        [exchange.times_us.forwarded, exchange.times_us.response_head, exchange.times_us.response_end] = times;
        prop_assert_eq!(crate::har12::check(&written(Format::Har, &[exchange.clone()])), 1);
        let line = written(Format::Ndjson, &[exchange.clone()]);
        prop_assert_eq!(&serde_json::from_str::<Exchange>(&line).unwrap(), &exchange);
        prop_assert_eq!(csv::Reader::from_reader(written(Format::Csv, &[exchange.clone()]).as_bytes()).records().count(), 1);
        prop_assert!(!written(Format::Curl, &[exchange]).contains('\0'));
    }
}
