//! How results are shown: lines for people, JSON for programs.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::args::Parsed;
use crate::logging::LogSettings;
use crate::{End, FAILED};

/// Where results go.
pub(crate) struct Out {
    pub(crate) is_json: bool,
    pub(crate) is_quiet: bool,
    has_color: bool,
    /// The first write that failed.
    failure: RefCell<Option<io::Error>>,
}

/// How a word is set off.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    Good,
    Bad,
    Warn,
    Dim,
    Bold,
}

impl Out {
    pub(crate) fn new(parsed: &Parsed, log: LogSettings) -> Self {
        Out {
            is_json: parsed.flag("json"),
            is_quiet: log.quiet,
            failure: RefCell::new(None),
            has_color: log.color.resolve(io::stdout().is_terminal()),
        }
    }

    /// One line of results.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        self.note(writeln!(io::stdout(), "{}", text.as_ref()));
    }

    /// Many lines of results at once.
    pub(crate) fn text(&self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Results as they are stored.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        self.note(stdout.write_all(bytes).and_then(|()| stdout.flush()));
    }

    /// Results for programs.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = serde_json::to_writer_pretty(&mut stdout, value).map_err(io::Error::from);
        self.note(
            written
                .and_then(|()| writeln!(stdout))
                .and_then(|()| stdout.flush()),
        );
    }

    /// A reader that went away, such as `head`, is no failure.
    pub(crate) fn note(&self, written: io::Result<()>) {
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    /// Whether all results could be written.
    pub(crate) fn finish(&self) -> Result<(), End> {
        match self.failure.borrow_mut().take() {
            None => Ok(()),
            Some(error) => Err(End::new(
                FAILED,
                format!("error: failed to write the results: {error}"),
            )),
        }
    }

    pub(crate) fn ink(&self, ink: Ink, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if !self.has_color {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Warn => "33",
            Ink::Dim => "2",
            Ink::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A number with separators for thousands.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes as a person reads it.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "rounded anyway")]
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A duration as a person reads it: two units at most.
pub(crate) fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0 => format!("{duration:.0?}"),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", secs / 60, secs % 60),
        3600..86400 => format!("{}h {:02}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d {:02}h", secs / 86400, secs % 86400 / 3600),
    }
}

/// A moment, in UTC, to the second.
pub(crate) fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// `s` for all but one.
pub(crate) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// "; did you mean …?", where one of the names is near enough.
pub(crate) fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let wanted = last(name);
    let rated = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &last(name)), name));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((score, name)) if score > 0.7 => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// The first sentence of a doc comment.
pub(crate) fn brief(doc: &str) -> String {
    let paragraph = doc
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let paragraph = paragraph.collect::<Vec<_>>().join(" ");
    match paragraph.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => paragraph,
    }
}

/// A word of a shell's command line.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
