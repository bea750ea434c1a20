//! Whatever is sent, the answer is one that is documented, and the service goes on.

mod common;

use std::sync::OnceLock;

use common::{Service, settings};
use kart_serve::Allow;
use proptest::prelude::*;
use tokio::runtime::Runtime;

/// One service for all cases, with a deadline so short that runs which were started by chance end.
fn service() -> &'static (Runtime, Service) {
    static SERVICE: OnceLock<(Runtime, Service)> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let mut settings = settings();
        settings.allow = Allow::All;
        settings.max_runs = 64;
        settings.body_limit = 4096;
        settings.read_timeout = std::time::Duration::from_secs(2);
        let service = runtime.block_on(Service::start(settings));
        service.gate.open();
        (runtime, service)
    })
}

fn method() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
            .prop_map(str::to_owned),
        1 => "[A-Z]{1,12}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "/",
        "/run/",
        "/run/All",
        "/run/Quick",
        "/run/Rate",
        "/run/Broken",
        "/run/common/tasks/Unit",
        "/runs",
        "/runs/",
        "/plan",
        "/plan/All",
        "/plan/Rate",
        "/graph",
        "/graph/Quick",
        "/artifacts/",
        "/artifacts/quick-3.txt",
        "/healthz",
        "/readyz",
        "/metrics",
        "/session",
        "/pubsub",
        "/page.js",
        "//",
        "/..",
    ]);
    let tail = prop_oneof![
        2 => Just(String::new()),
        1 => "(%[0-9a-fA-F]{2}|[!-~&&[^ #]]){0,24}",
        1 => "[?](n|name|rate|wait|last|password|last_event_id)=(-?[0-9]{1,22}|true|false|null|%[0-9a-f]{2}|[a-z.%]{0,8})",
    ];
    prop_oneof![
        6 => (known, tail).prop_map(|(known, tail)| format!("{known}{tail}")),
        1 => "/(%[0-9a-fA-F]{2}|[!-~&&[^ #]]){0,60}",
    ]
}

fn header() -> impl Strategy<Value = (String, String)> {
    let known = prop::sample::select(vec![
        "Authorization",
        "Cookie",
        "Range",
        "If-Range",
        "Last-Event-ID",
        "X-Kart-Deadline",
        "X-Kart-Attempt",
        "X-CloudTasks-QueueName",
        "Origin",
        "Content-Type",
        "Accept",
        "X-Forwarded-Proto",
    ]);
    let name = prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[A-Za-z-]{1,20}"];
    // What frames the message would make another request of it.
    let name = name.prop_filter("framing", |name| {
        ![
            "content-length",
            "transfer-encoding",
            "connection",
            "host",
            "expect",
            "upgrade",
            "te",
            "trailer",
        ]
        .contains(&name.to_lowercase().as_str())
    });
    let value = prop_oneof![
        2 => "[ -~]{0,30}",
        1 => "bytes=[0-9]{0,21}-[0-9]{0,21}",
        1 => "-?[0-9]{1,22}(s|m|h|e400)?",
        1 => "Bearer [!-~]{0,40}",
    ];
    (name, value)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        2 => "\\{\"(n|name|rate|is_permanent|password|x)\": ?(-?[0-9]{1,4}|-?[0-9.e]{1,9}|true|null|\"[ -!#-~]{0,12}\"|\\[\\]|\\{\\})\\}"
            .prop_map(String::into_bytes),
        1 => "\\{\"message\": ?\\{\"(data|attributes|messageId)\": ?(\"[A-Za-z0-9+/]{0,16}=?\"|null|\\{\\})\\}\\}"
            .prop_map(String::into_bytes),
        1 => "[\\[{]{0,200}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6000),
    ]
}

/// What docs/http.md knows of.
const KNOWN: [u16; 16] = [
    200, 202, 206, 400, 401, 403, 404, 405, 408, 409, 413, 416, 429, 431, 500, 503,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_an_answer_that_is_documented(
        method in method(),
        path in path(),
        headers in prop::collection::vec(header(), 0..5),
        body in body(),
    ) {
        // A stream of events does not end.
        prop_assume!(!path.starts_with("/events"));
        let (runtime, service) = service();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = common::request(&method, &path, &headers, &body);
        let answer = runtime.block_on(common::send(service.address, &request));
        prop_assert!(KNOWN.contains(&answer.status), "{} {}", answer.status, answer.text());
        if answer.status >= 500 {
            // Only a run that was started can come to that: its own failures, or its own deadline.
            let json = answer.json();
            prop_assert!(method == "POST", "{method} {path}: {json}");
            prop_assert!(json["run"].is_string() && json["error"].is_string(), "{json}");
        } else if answer.status >= 400 && !answer.body.is_empty() {
            let json = answer.json();
            prop_assert!(json["error"].is_string() && json["hint"].is_string(), "{json}");
        }
    }

    #[test]
    fn bytes_that_are_no_request_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 1..400)) {
        let (runtime, service) = service();
        let mut bytes = bytes;
        bytes.extend_from_slice(b"\r\n\r\n");
        runtime.block_on(async {
            common::within(common::raw(service.address, &bytes)).await;
            assert_eq!(service.get("/healthz").await.status, 200);
        });
    }
}
