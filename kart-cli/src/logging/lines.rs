//! What bodies log, kept for the page of the service.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use kart_core::Key;
use kart_serve::{LogLine, LogLines};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::{EVENTS, Extra};

/// Keeps what is logged within attempts, from `INFO` on.
pub(crate) fn layer(lines: &Arc<LogLines>) -> Extra {
    let wanted = filter_fn(|metadata| {
        let is_attempt = metadata.is_span() && metadata.target() == "kart";
        let is_line = metadata.is_event() && metadata.target() != EVENTS;
        is_attempt || (is_line && *metadata.level() <= Level::INFO)
    });
    let lines = Lines(Arc::clone(lines));
    lines.with_filter(wanted).boxed()
}

struct Lines(Arc<LogLines>);

/// Whose span it is.
#[derive(Clone, Default)]
struct Attempt {
    task: String,
    key: Option<Key>,
    number: i64,
}

impl Visit for Attempt {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "attempt" {
            self.number = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "task" {
            value.clone_into(&mut self.task);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "key" {
            self.key = format!("{value:?}").parse().ok();
        }
    }
}

/// The message, and the other fields after it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Nothing fails that writes to memory.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut attempt = Attempt::default();
        attributes.record(&mut attempt);
        if attempt.key.is_some() {
            span.extensions_mut().insert(attempt);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let attempt = cx
            .event_scope(event)
            .into_iter()
            .flatten()
            .find_map(|span| span.extensions().get::<Attempt>().cloned());
        let Some(attempt) = attempt else { return };
        let Some(key) = attempt.key else { return };
        let mut text = Text::default();
        event.record(&mut text);
        self.0.push(LogLine {
            task: attempt.task,
            key,
            attempt: attempt.number,
            level: event.metadata().level().as_str(),
            text: format!("{}{}", text.message, text.fields).trim().to_owned(),
        });
    }
}
