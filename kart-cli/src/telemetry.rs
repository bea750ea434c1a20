//! Spans and metrics for an OpenTelemetry collector, by OTLP over HTTP, where the environment names one.
//!
//! Whatever becomes of them, the run goes on; what cannot be sent is one warning.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use kart_core::{Event, TaskInfo};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _, UpDownCounter};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData,
    SpanExporter as ExportSpans,
};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer as _;

use crate::logging::{Extra, TALKATIVE};

/// How long the end of the program waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(3);
/// How many spans may wait to be sent; the SDK's 2,048 are soon there when tasks are small.
const QUEUE: usize = 1 << 16;
/// In seconds, from what is too small to be a task to half a day.
const DURATIONS: [f64; 12] = [
    0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0,
];

/// What is sent, and by what.
#[derive(Debug)]
pub(crate) struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    meter: Option<SdkMeterProvider>,
    instruments: Option<Instruments>,
}

impl Telemetry {
    /// Gives nothing unless the environment names a collector.
    pub(crate) fn new() -> Self {
        let is_off =
            variable("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true"));
        let is_sent = |signal: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
            !is_off
                && (variable("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() || variable(&own).is_some())
        };
        let trouble = Arc::new(Trouble::default());
        let tracer = is_sent("TRACES").then(|| tracer(&trouble)).flatten();
        let meter = is_sent("METRICS").then(|| meter(&trouble)).flatten();
        Telemetry {
            tracer,
            instruments: meter.as_ref().map(Instruments::new),
            meter,
        }
    }

    /// What makes spans of what is traced.
    pub(crate) fn layer(&self) -> Option<Extra> {
        let tracer = self.tracer.as_ref()?.tracer("kart");
        let is_wanted = |target: &str| {
            let mut talkative = TALKATIVE.iter();
            !talkative.any(|name| target.split("::").next() == Some(name))
        };
        let filter = filter_fn(move |metadata| {
            *metadata.level() <= tracing::Level::INFO && is_wanted(metadata.target())
        });
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter.with_max_level_hint(LevelFilter::INFO));
        Some(layer.boxed())
    }

    /// Counts an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if let Some(instruments) = &self.instruments {
            instruments.event(event);
        }
    }

    /// Sends the rest, for no longer than a few seconds.
    pub(crate) fn finish(&self) {
        let (sent, all_sent) = mpsc::channel();
        let flush = move |flush: Box<dyn FnOnce() + Send>| {
            let sent = sent.clone();
            thread::spawn(move || {
                flush();
                let _ = sent.send(());
            });
        };
        let mut count = 0;
        if let Some(tracer) = self.tracer.clone() {
            count += 1;
            flush(Box::new(move || {
                let _ = tracer.shutdown_with_timeout(FLUSH);
            }));
        }
        if let Some(meter) = self.meter.clone() {
            count += 1;
            flush(Box::new(move || {
                let _ = meter.shutdown_with_timeout(FLUSH);
            }));
        }
        let end = std::time::Instant::now() + FLUSH;
        for _ in 0..count {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if all_sent.recv_timeout(left).is_err() {
                tracing::warn!("the collector is slow: some telemetry was not sent");
                return;
            }
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn resource() -> Resource {
    let builder = Resource::builder();
    let program = std::env::args_os().next().unwrap_or_default();
    let program = std::path::Path::new(&program).file_stem();
    match program {
        Some(program) if variable("OTEL_SERVICE_NAME").is_none() => builder
            .with_service_name(program.to_string_lossy().into_owned())
            .build(),
        _ => builder.build(),
    }
}

fn tracer(trouble: &Arc<Trouble>) -> Option<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_http().build();
    let exporter = trouble.check(exporter)?;
    let batches = BatchConfigBuilder::default();
    let batches = match variable("OTEL_BSP_MAX_QUEUE_SIZE") {
        Some(_) => batches,
        None => batches.with_max_queue_size(QUEUE),
    };
    let watched = Watched(exporter, Arc::clone(trouble));
    let processor = BatchSpanProcessor::builder(watched)
        .with_batch_config(batches.build())
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_resource(resource());
    Some(provider.build())
}

fn meter(trouble: &Arc<Trouble>) -> Option<SdkMeterProvider> {
    let exporter = MetricExporter::builder().with_http().build();
    let exporter = trouble.check(exporter)?;
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(Watched(exporter, Arc::clone(trouble)))
        .with_resource(resource());
    Some(provider.build())
}

/// Whether something could not be sent, which is said once.
#[derive(Debug, Default)]
struct Trouble(AtomicBool);

impl Trouble {
    fn check<T, E: fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if !self.0.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "failed to send telemetry; the run goes on without");
                }
                None
            }
        }
    }
}

/// An exporter whose first failure is told.
#[derive(Debug)]
struct Watched<E>(E, Arc<Trouble>);

impl<E: ExportSpans> ExportSpans for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.0.export(batch).await;
        self.1.check(result.as_ref());
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.0.export(metrics).await;
        self.1.check(result.as_ref());
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.0.temporality()
    }
}

/// What is counted, by the names of tasks.
#[derive(Debug)]
struct Instruments {
    finished: Counter<u64>,
    failed: Counter<u64>,
    retried: Counter<u64>,
    durations: Histogram<f64>,
    running: UpDownCounter<i64>,
    /// The tasks that run, by their index.
    started: Mutex<HashSet<usize>>,
}

impl Instruments {
    fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("kart");
        let counter = |name, what| meter.u64_counter(name).with_description(what).build();
        Instruments {
            finished: counter("kart.tasks.finished", "Tasks whose output was published."),
            failed: counter("kart.tasks.failed", "Tasks that failed for good."),
            retried: counter(
                "kart.tasks.retried",
                "Attempts that failed and were followed by another.",
            ),
            durations: meter
                .f64_histogram("kart.attempt.duration")
                .with_description("How long attempts took.")
                .with_unit("s")
                .with_boundaries(DURATIONS.to_vec())
                .build(),
            running: meter
                .i64_up_down_counter("kart.tasks.running")
                .with_description("Attempts under way.")
                .build(),
            started: Mutex::default(),
        }
    }

    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Started { task, .. } if self.started().insert(task.index()) => {
                self.running.add(1, &of(task));
            }
            Event::Finished { task, elapsed, .. } => {
                self.end(task, Some(*elapsed));
                self.finished.add(1, &of(task));
            }
            Event::Retrying { task, elapsed, .. } => {
                self.end(task, Some(*elapsed));
                self.retried.add(1, &of(task));
            }
            Event::Failed { task, elapsed, .. } => {
                self.end(task, Some(*elapsed));
                self.failed.add(1, &of(task));
            }
            Event::Interrupted { task, .. }
            | Event::CompletedByOther { task }
            | Event::Blocked { task, .. } => self.end(task, None),
            _ => {}
        }
    }

    fn started(&self) -> std::sync::MutexGuard<'_, HashSet<usize>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt is over, if one was under way.
    fn end(&self, task: &TaskInfo<'_>, elapsed: Option<Duration>) {
        if !self.started().remove(&task.index()) {
            return;
        }
        let of = of(task);
        self.running.add(-1, &of);
        if let Some(elapsed) = elapsed {
            self.durations.record(elapsed.as_secs_f64(), &of);
        }
    }
}

fn of(task: &TaskInfo<'_>) -> [KeyValue; 1] {
    [KeyValue::new("task", task.name())]
}
