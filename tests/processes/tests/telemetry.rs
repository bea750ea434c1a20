//! What a program with the feature `otel` sends to a collector, and what becomes of it without one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// What has been sent: paths and bodies.
type Received = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector on loopback that takes everything; gives its URL.
fn collector() -> (String, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = Received::default();
    let notes = Arc::clone(&received);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let notes = Arc::clone(&notes);
            thread::spawn(move || serve(stream, &notes));
        }
    });
    (url, received)
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, notes: &Received) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        notes.lock().unwrap().push((path, body));
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn many(workspace: &Path, endpoint: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_many"))
        .args(["--tasks", "5", "--ms", "0", "--broken", "2", "--workspace"])
        .arg(workspace)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_SERVICE_NAME", "nightly")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Value::StringValue(text)),
        }) => Some(text),
        _ => None,
    }
}

fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value {
        Some(AnyValue {
            value: Some(Value::IntValue(number)),
        }) => Some(number),
        _ => None,
    }
}

fn of<'a>(received: &'a [(String, Vec<u8>)], path: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let bodies = received.iter().filter(move |(at, _)| at == path);
    bodies.map(|(_, body)| body.as_slice())
}

fn spans(received: &[(String, Vec<u8>)]) -> Vec<Span> {
    let mut spans = Vec::new();
    for body in of(received, "/v1/traces") {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap();
            assert_eq!(text(&resource.attributes, "service.name"), Some("nightly"));
            spans.extend(
                of_resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    spans
}

/// The metrics as they were sent last.
fn metrics(received: &[(String, Vec<u8>)]) -> Vec<Metric> {
    let body = of(received, "/v1/metrics").last().unwrap();
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|of_resource| of_resource.scope_metrics);
    scopes.flat_map(|scope| scope.metrics).collect()
}

/// The sum of a counter for one task.
fn sum(metrics: &[Metric], name: &str, task: &str) -> Option<i64> {
    let metric = metrics.iter().find(|metric| metric.name == name)?;
    let Some(Data::Sum(sum)) = &metric.data else {
        return None;
    };
    let of_task = |attributes| text(attributes, "task") == Some(task);
    let point = sum
        .data_points
        .iter()
        .find(|point| of_task(&point.attributes))?;
    match point.value {
        Some(Number::AsInt(value)) => Some(value),
        _ => None,
    }
}

#[test]
fn a_collector_is_sent_a_span_for_each_attempt_and_the_counts() {
    let (url, received) = collector();
    let directory = tempfile::tempdir().unwrap();
    let output = many(directory.path(), &url);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("telemetry"), "{stderr}");
    let received = received.lock().unwrap().clone();

    let spans = spans(&received);
    let of_task = |task| -> Vec<&Span> {
        let is_of = |span: &&Span| text(&span.attributes, "task") == Some(task);
        spans.iter().filter(is_of).collect()
    };
    let run = spans.iter().find(|span| span.name == "run").unwrap();
    let pieces = of_task("Piece");
    assert_eq!(pieces.len(), 5);
    for piece in pieces {
        assert_eq!(piece.name, "task");
        assert_eq!(piece.trace_id, run.trace_id);
        assert_eq!(piece.parent_span_id, run.span_id);
        assert_eq!(text(&piece.attributes, "key").map(str::len), Some(32));
        assert_eq!(number(&piece.attributes, "attempt"), Some(1));
    }
    let mut stumbles = of_task("Stumbles");
    stumbles.sort_by_key(|span| number(&span.attributes, "attempt"));
    let statuses = |spans: &[&Span]| -> Vec<i32> {
        let status = |span: &&Span| span.status.as_ref().map_or(0, |status| status.code);
        spans.iter().map(status).collect()
    };
    assert_eq!(statuses(&stumbles), [2, 0], "the first attempt failed");
    let error = text(&stumbles[0].attributes, "error");
    assert_eq!(error, Some("the first attempt always fails"));

    let metrics = metrics(&received);
    assert_eq!(sum(&metrics, "kart.tasks.finished", "Piece"), Some(5));
    assert_eq!(sum(&metrics, "kart.tasks.failed", "Breaks"), Some(2));
    assert_eq!(sum(&metrics, "kart.tasks.retried", "Stumbles"), Some(1));
    assert_eq!(sum(&metrics, "kart.tasks.running", "Piece"), Some(0));
    let durations = metrics
        .iter()
        .find(|metric| metric.name == "kart.attempt.duration");
    let Some(Data::Histogram(durations)) = &durations.unwrap().data else {
        panic!("{metrics:?}")
    };
    let of_pieces = |attributes| text(attributes, "task") == Some("Piece");
    let mut points = durations.data_points.iter();
    let point = points.find(|point| of_pieces(&point.attributes)).unwrap();
    assert_eq!(point.count, 5);
}

#[test]
fn a_collector_that_is_not_there_is_one_warning() {
    // A port that nobody listens at any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    lost(&url);
}

#[test]
fn a_collector_that_never_answers_is_one_warning() {
    // Connections are taken by the kernel, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    lost(&format!("http://{}", listener.local_addr().unwrap()));
}

fn lost(url: &str) {
    let directory = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let output = many(directory.path(), url);
    let took = started.elapsed();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("7 ran, 2 failed, 1 blocked"), "{stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let warnings = stderr.lines().filter(|line| line.contains("telemetry"));
    assert_eq!(warnings.count(), 1, "{stderr}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}
