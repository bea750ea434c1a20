//! The terminal behind stderr, of which a process has one: a block of lines at its end that changes, and what is
//! printed above it.
//!
//! The cursor rests at the start of an empty line above the block. So a line that a body prints past this comes
//! out whole, a resize spoils nothing that the next draw does not clear, and nothing has to be hidden that a kill
//! would leave hidden.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use console::Term;

static SCREEN: Mutex<Screen> = Mutex::new(Screen {
    block: Vec::new(),
    held: 0,
});

/// Not to be shown half drawn, on terminals that know of this.
const BEGIN: &str = "\x1b[?2026h\r\x1b[J";
const END: &str = "\x1b[?2026l";

struct Screen {
    /// What is at the end of the screen.
    block: Vec<String>,
    /// How many write to the terminal by themselves, so that there must be no block.
    held: usize,
}

/// How many lines and columns the terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

pub(crate) fn size() -> Size {
    let (rows, columns) = Term::stderr().size_checked().unwrap_or((24, 80));
    Size {
        rows: usize::from(rows).max(1),
        columns: usize::from(columns).max(1),
    }
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A terminal or a reader that went away is no failure of the run.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// The block, and the way back to the line above it.
fn frame(above: &str, block: &[String], size: Size) -> String {
    let mut text = format!("{BEGIN}{above}");
    let fits = block.len().min(size.rows.saturating_sub(2));
    for line in &block[..fits] {
        text.push('\n');
        text += &console::truncate_str(line, size.columns.saturating_sub(1), "…");
    }
    if fits > 0 {
        text.extend(["\x1b[", &fits.to_string(), "A\r"]);
    }
    text + END
}

/// Lines above the block, each ended.
pub(crate) fn print(lines: &str) {
    let ended = if lines.is_empty() || lines.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let lines = format!("{lines}{ended}");
    let screen = screen();
    if screen.block.is_empty() {
        write(&lines);
    } else {
        write(&frame(&lines, &screen.block, size()));
    }
}

/// Lines above, and a new block.
pub(crate) fn draw(above: &str, block: Vec<String>) {
    let size = size();
    let mut screen = screen();
    if screen.held > 0 {
        write(above);
        return;
    }
    let is_blank = screen.block.is_empty() && block.is_empty();
    if is_blank {
        write(above);
    } else {
        write(&frame(above, &block, size));
    }
    screen.block = block;
}

impl Screen {
    fn clear(&mut self) {
        if !self.block.is_empty() {
            write(&format!("{BEGIN}{END}"));
            self.block.clear();
        }
    }
}

/// Keeps the block away while something writes to the terminal by itself, which may print by this too.
pub(crate) fn hold<T>(act: impl FnOnce() -> T) -> T {
    struct Held;
    impl Drop for Held {
        fn drop(&mut self) {
            screen().held -= 1;
        }
    }
    let mut taken = screen();
    taken.clear();
    taken.held += 1;
    drop(taken);
    let _held = Held;
    act()
}

/// What is written to it is printed above the block, all at once.
#[derive(Debug, Default)]
pub(crate) struct Above(Vec<u8>);

impl io::Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        print(&String::from_utf8_lossy(&self.0));
    }
}
