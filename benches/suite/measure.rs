//! Figures, each taken in a process of its own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde::Serialize;

/// What one process has measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    /// The most memory it had beyond what it began with.
    pub(crate) kib: f64,
    /// Whatever the case counts.
    pub(crate) counted: f64,
}

impl Measured {
    pub(crate) fn micros(&self, count: u64) -> f64 {
        self.elapsed.as_secs_f64() * 1e6 / count as f64
    }

    /// A count as such.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was a count"
    )]
    pub(crate) fn count(&self) -> u64 {
        self.counted as u64
    }

    pub(crate) fn bytes(&self, count: u64) -> f64 {
        self.kib * 1024.0 / count as f64
    }
}

/// Runs a case in this process, and prints what it took; the case gives the time and whatever it counts.
pub(crate) fn report(case: impl FnOnce() -> (Duration, f64)) {
    let before = (peak_kib(), cpu());
    let (elapsed, counted) = case();
    println!(
        "{} {} {} {counted}",
        elapsed.as_nanos(),
        cpu().saturating_sub(before.1).as_nanos(),
        peak_kib() - before.0,
    );
}

/// Times something.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// Runs a case in a process of its own.
pub(crate) fn measure(section: &str, case: &str, count: u64, dir: &Path) -> Measured {
    let output = Command::new(env::current_exe().expect("this program"))
        .args([section, case, &count.to_string()])
        .arg(dir)
        .arg("child")
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.split_whitespace().map(str::parse::<f64>);
    let figures: Result<Vec<f64>, _> = figures.collect();
    match figures.as_deref() {
        Ok([elapsed, cpu, kib, counted]) => Measured {
            elapsed: Duration::from_secs_f64(elapsed / 1e9),
            cpu: Duration::from_secs_f64(cpu / 1e9),
            kib: *kib,
            counted: *counted,
        },
        _ => panic!(
            "{section} {case} failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// The most memory this process has had, in KiB; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// The processor time of this process, to the hundredth of a second; 0 where the system does not say.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    section: &'static str,
    case: String,
    count: u64,
    value: f64,
    unit: &'static str,
}

/// All figures of a run, for programs.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(crate) fn add(
        &mut self,
        section: &'static str,
        case: impl Into<String>,
        count: u64,
        value: f64,
        unit: &'static str,
    ) {
        self.0.push(Figure {
            section,
            case: case.into(),
            count,
            value,
            unit,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn save(&self, path: &Path, at: u64) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let all = serde_json::json!({
            "kart": env!("CARGO_PKG_VERSION"),
            "at": at,
            "processors": processors,
            "figures": self.0,
        });
        let text = serde_json::to_string_pretty(&all).expect("figures are finite");
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
}
