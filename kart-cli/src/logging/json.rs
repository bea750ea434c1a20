//! One JSON object a line, with the members that Google Cloud Logging knows:
//! <https://cloud.google.com/logging/docs/structured-logging>.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt;
use std::panic;
use std::time::SystemTime;

use kart_core::chain;
use serde_json::{Map, Value as Json, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::progress::screen;

/// Writes the objects.
#[derive(Debug)]
pub(super) struct Objects;

/// The fields of a span.
struct Fields(Map<String, Json>);

/// What the object itself says.
const OWN: [&str; 3] = ["severity", "time", "target"];

struct Members<'a>(&'a mut Map<String, Json>);

impl Members<'_> {
    fn insert(&mut self, field: &Field, value: Json) {
        let name = field.name();
        if name.starts_with("otel.") {
            return;
        }
        let name = if OWN.contains(&name) {
            format!("{name}_")
        } else {
            name.strip_prefix("r#").unwrap_or(name).to_owned()
        };
        self.0.insert(name, value);
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.insert(field, chain(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Objects {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut fields = Map::new();
        attributes.record(&mut Members(&mut fields));
        span.extensions_mut().insert(Fields(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        if let Some(Fields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Members(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let mut object = Map::new();
        let scope = cx.event_scope(event);
        for span in scope.into_iter().flat_map(Scope::from_root) {
            if let Some(Fields(fields)) = span.extensions().get() {
                object.extend(fields.clone());
            }
        }
        event.record(&mut Members(&mut object));
        write(event.metadata(), object);
    }
}

fn write(metadata: &Metadata<'_>, mut object: Map<String, Json>) {
    let severity = match *metadata.level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    };
    object.insert("severity".to_owned(), severity.into());
    let now = humantime::format_rfc3339_micros(SystemTime::now());
    object.insert("time".to_owned(), now.to_string().into());
    object.insert("target".to_owned(), metadata.target().into());
    let place = metadata.file().zip(metadata.line());
    if let (Level::ERROR | Level::WARN, Some((file, line))) = (*metadata.level(), place) {
        object.insert(
            "logging.googleapis.com/sourceLocation".to_owned(),
            json!({"file": file, "line": line.to_string()}),
        );
    }
    screen::print(&Json::Object(object).to_string());
}

/// What the usual hook prints would be no object.
pub(super) fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(target: "kart", place, backtrace, "panicked: {payload}");
    }));
}
