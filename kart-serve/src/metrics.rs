//! Figures for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kart_core::{Event, RequestCounts};

/// The upper bounds of the histogram, in seconds.
const BOUNDS: [f64; 14] = [
    0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0,
];

/// The outcomes of tasks.
const OUTCOMES: [&str; 7] = [
    "complete",
    "ran",
    "elsewhere",
    "failed",
    "blocked",
    "interrupted",
    "retried",
];

/// What is counted over all runs of the process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    tasks: [AtomicU64; OUTCOMES.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// In microseconds.
    total: AtomicU64,
    runs: Mutex<BTreeMap<&'static str, u64>>,
}

/// What is so now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) runs: usize,
    pub(crate) attempts: usize,
    pub(crate) listeners: usize,
    pub(crate) requests: RequestCounts,
}

impl Metrics {
    pub(crate) fn take(&self, event: &Event<'_>) {
        let (outcome, count) = match event {
            Event::Planned { complete, .. } => (0, *complete as u64),
            Event::Finished { .. } => (1, 1),
            Event::CompletedByOther { .. } => (2, 1),
            Event::Failed { .. } => (3, 1),
            Event::Blocked { .. } => (4, 1),
            Event::Interrupted { .. } => (5, 1),
            Event::Retrying { .. } => (6, 1),
            _ => return,
        };
        self.tasks[outcome].fetch_add(count, Ordering::Relaxed);
    }

    /// An attempt has ended.
    pub(crate) fn attempt(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound);
        self.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.total.fetch_add(micros, Ordering::Relaxed);
    }

    /// A run has ended.
    pub(crate) fn run(&self, state: &'static str) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        *runs.entry(state).or_default() += 1;
    }

    /// All figures, as Prometheus reads them.
    pub(crate) fn text(&self, now: Now) -> String {
        let mut text = String::new();
        let mut head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        head(
            &mut text,
            "kart_build_info",
            "gauge",
            "The release of kart.",
        );
        let _ = writeln!(
            text,
            "kart_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        );

        head(
            &mut text,
            "kart_tasks_total",
            "counter",
            "Tasks by what became of them, over all runs.",
        );
        for (outcome, count) in OUTCOMES.iter().zip(&self.tasks) {
            let count = count.load(Ordering::Relaxed);
            let _ = writeln!(text, "kart_tasks_total{{outcome=\"{outcome}\"}} {count}");
        }

        head(
            &mut text,
            "kart_attempts_running",
            "gauge",
            "Attempts that are under way.",
        );
        let _ = writeln!(text, "kart_attempts_running {}", now.attempts);

        self.histogram(&mut text, &mut head);

        head(
            &mut text,
            "kart_runs_running",
            "gauge",
            "Runs that are under way.",
        );
        let _ = writeln!(text, "kart_runs_running {}", now.runs);
        head(
            &mut text,
            "kart_runs_total",
            "counter",
            "Runs that have ended, by how.",
        );
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        for state in [
            "complete",
            "failed",
            "interrupted",
            "busy",
            "refused",
            "unavailable",
        ] {
            let count = runs.get(state).copied().unwrap_or_default();
            let _ = writeln!(text, "kart_runs_total{{state=\"{state}\"}} {count}");
        }
        drop(runs);

        head(
            &mut text,
            "kart_listeners",
            "gauge",
            "Clients that listen to events.",
        );
        let _ = writeln!(text, "kart_listeners {}", now.listeners);

        head(
            &mut text,
            "kart_store_requests_total",
            "counter",
            "Requests to the workspace by kind.",
        );
        let requests = now.requests;
        for (kind, count) in [
            ("exists", requests.exists),
            ("read", requests.read),
            ("write", requests.write),
            ("delete", requests.delete),
            ("list", requests.list),
            ("refused", requests.refused),
        ] {
            let _ = writeln!(text, "kart_store_requests_total{{kind=\"{kind}\"}} {count}");
        }
        text
    }

    #[expect(clippy::cast_precision_loss, reason = "285 years in microseconds fit")]
    fn histogram(&self, text: &mut String, head: &mut impl FnMut(&mut String, &str, &str, &str)) {
        let name = "kart_attempt_duration_seconds";
        head(text, name, "histogram", "How long attempts took.");
        let mut below = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            below += bucket.load(Ordering::Relaxed);
            let bound = BOUNDS
                .get(at)
                .map_or("+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let total = self.total.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "{name}_sum {total}\n{name}_count {below}");
    }
}
