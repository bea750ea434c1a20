//! What a program writes: line by line into the task's log, or kept.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Dispatch, Span, dispatcher};
use wait4::ResUse;

use crate::model::secrets::{HIDDEN, Redactor};

/// How many lines of the standard error an error shows.
const SHOWN_LINES: usize = 8;
/// More of one line is left out.
const LINE_BYTES: usize = 16 << 10;

/// Where the lines of one program go.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<State>);

#[derive(Debug)]
struct State {
    program: String,
    redactor: Arc<Redactor>,
    /// The span and the subscriber of the body.
    span: Span,
    dispatch: Dispatch,
    last: Mutex<VecDeque<String>>,
    kept: Mutex<Vec<u8>>,
}

/// A thread that reads a pipe.
#[derive(Debug)]
pub(super) struct Reader(mpsc::Receiver<()>);

impl Reader {
    /// Waits until all who can write to the pipe have closed it.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let _ = self
            .0
            .recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl Log {
    pub(super) fn new(program: &str, redactor: &Arc<Redactor>) -> Self {
        Log(Arc::new(State {
            program: redactor.redact(program),
            redactor: Arc::clone(redactor),
            span: Span::current(),
            dispatch: dispatcher::get_default(Clone::clone),
            last: Mutex::default(),
            kept: Mutex::default(),
        }))
    }

    /// Logs each line.
    pub(super) fn follow(&self, pipe: impl Read + Send + 'static, is_stderr: bool) -> Reader {
        let log = self.clone();
        read(move || {
            log.within(|| {
                each_line(pipe, |line, is_cut| log.line(line, is_cut, is_stderr));
            });
        })
    }

    /// Keeps all of it.
    pub(super) fn keep(&self, mut pipe: impl Read + Send + 'static) -> Reader {
        let log = self.clone();
        read(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                lock(&log.0.kept).extend_from_slice(&buffer[..length]);
            }
        })
    }

    pub(super) fn kept(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0.kept))
    }

    /// Returns the last lines of the standard error.
    pub(super) fn last_lines(&self) -> String {
        let last = lock(&self.0.last);
        if last.is_empty() {
            return "it wrote nothing to its standard error".to_owned();
        }
        let last: Vec<&str> = last.iter().map(String::as_str).collect();
        last.join("\n")
    }

    fn line(&self, line: &[u8], is_cut: bool, is_stderr: bool) {
        let state = &*self.0;
        let mut text = state.redactor.redact(String::from_utf8_lossy(line));
        if is_cut {
            text.push('…');
            if !state.redactor.is_idle() {
                // A secret may be cut in two.
                HIDDEN.clone_into(&mut text);
            }
        }
        tracing::info!(target: "kart", program = state.program, "{text}");
        if is_stderr {
            let mut last = lock(&state.last);
            if last.len() == SHOWN_LINES {
                last.pop_front();
            }
            last.push_back(text);
        }
    }

    /// Records how the program ended and what it used.
    pub(super) fn ended(&self, usage: &ResUse, elapsed: Duration) {
        let cpu = usage.rusage.utime + usage.rusage.stime;
        let program = &self.0.program;
        self.within(|| {
            tracing::info!(
                target: "kart",
                program,
                elapsed_ms = millis(elapsed),
                cpu_ms = millis(cpu),
                max_rss_bytes = usage.rusage.maxrss,
                "`{program}` ended with {}",
                usage.status
            );
        });
    }

    fn within(&self, work: impl FnOnce()) {
        dispatcher::with_default(&self.0.dispatch, || self.0.span.in_scope(work));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads on a thread of its own. Without one the pipe is closed at once, and the program sees it.
fn read(work: impl FnOnce() + Send + 'static) -> Reader {
    let (sender, done) = mpsc::channel();
    let name = "kart-command-output".to_owned();
    let started = thread::Builder::new().name(name).spawn(move || {
        work();
        drop(sender);
    });
    if let Err(error) = started {
        tracing::warn!(target: "kart", %error, "failed to read what a command writes");
    }
    Reader(done)
}

/// Calls `each` with every line that is not empty, and whether it was longer. A carriage return ends a line too:
/// programs overwrite their progress.
fn each_line(pipe: impl Read, mut each: impl FnMut(&[u8], bool)) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    let mut is_cut = false;
    loop {
        let chunk = match pipe.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => &[],
        };
        let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let part = &chunk[..end.unwrap_or(chunk.len())];
        let room = LINE_BYTES - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        is_cut |= part.len() > room;
        let (is_over, read) = (chunk.is_empty(), part.len() + usize::from(end.is_some()));
        if (is_over || end.is_some()) && !line.is_empty() {
            each(&line, is_cut);
            line.clear();
            is_cut = false;
        }
        if is_over {
            return;
        }
        pipe.consume(read);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
