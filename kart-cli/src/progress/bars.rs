//! The block of lines on a terminal: a bar for the run, and a line for each task that runs. Text, no terminal.

use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use console::{measure_text_width, truncate_str};

use super::screen::Size;
use super::tally::{Running, Tally};

const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPIN: Duration = Duration::from_millis(100);
/// No bar is wider.
const LONGEST_BAR: usize = 40;
/// One that is shorter says nothing.
const SHORTEST_BAR: usize = 5;
const TASK_BAR: usize = 10;

const BAR: Style = AnsiColor::Cyan.on_default();
const FAINT: Style = Style::new().dimmed();
const BAD: Style = AnsiColor::Red.on_default();

fn painted(text: &str, style: Style, color: bool) -> String {
    if color && !text.is_empty() {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

/// The block, no line of which is wider than the terminal, and which leaves half of it to the lines above.
pub(super) fn block(tally: &Tally, size: Size, color: bool, now: Instant) -> Vec<String> {
    let columns = size.columns.saturating_sub(1);
    let mut lines = vec![whole(tally, columns, color, now)];
    let mut running: Vec<(&usize, &Running)> = tally.running.iter().collect();
    running.sort_unstable_by_key(|(index, running)| (running.since, **index));
    let room = (size.rows / 2).saturating_sub(1);
    let shown = if running.len() > room {
        room.saturating_sub(1)
    } else {
        running.len()
    };
    for (_, running) in &running[..shown] {
        lines.push(one(running, columns, color, now));
    }
    let more = running.len() - shown;
    if more > 0 && room > 0 {
        lines.push(painted(&format!("… and {more} more running"), FAINT, color));
    }
    lines
}

/// The line of the run. Where there is no room for all that can be said, what runs is left out first: it is below.
fn whole(tally: &Tally, columns: usize, color: bool, now: Instant) -> String {
    let failed = format!("{} failed", tally.failed);
    let rate = tally.rate(now).map(|rate| {
        let digits = usize::from(rate < 100.0);
        format!("{rate:.digits$}/s")
    });
    let to_go = tally
        .time_left(now)
        .map(|left| format!("{} to go", rounded(left)));
    let to_go = to_go.or_else(|| tally.is_stopping.then(|| "stopping".to_owned()));
    let all = [
        Some(format!("{}/{} done", tally.done, tally.to_run)),
        (tally.failed > 0).then(|| painted(&failed, BAD, color)),
        Some(format!("{} running", tally.running.len())),
        Some(format!("{} left", tally.left())),
        rate,
        to_go,
    ];
    let without = [&[][..], &[2], &[2, 3], &[2, 3, 4]];
    let mut texts = without.iter().map(|without| {
        let parts = all
            .iter()
            .enumerate()
            .filter(|(at, _)| !without.contains(at));
        let parts: Vec<&str> = parts.filter_map(|(_, part)| part.as_deref()).collect();
        parts.join(" · ")
    });
    let fits = |text: &String| measure_text_width(text) <= columns;
    let text = texts
        .find(fits)
        .unwrap_or_else(|| all.iter().flatten().next().cloned().unwrap_or_default());
    let room = columns.saturating_sub(measure_text_width(&text) + 2);
    let bar = bar(tally.share(), room.min(LONGEST_BAR), color);
    let gap = if bar.is_empty() { "" } else { "  " };
    truncate_str(&format!("{bar}{gap}{text}"), columns, "…").into_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a few columns"
)]
fn bar(share: f64, columns: usize, color: bool) -> String {
    if columns < SHORTEST_BAR {
        return String::new();
    }
    let full = ((share.clamp(0.0, 1.0) * columns as f64) as usize).min(columns);
    let full_part = painted(&"━".repeat(full), BAR, color);
    let rest = painted(&"─".repeat(columns - full), FAINT, color);
    full_part + &rest
}

/// The line of a task that runs.
fn one(running: &Running, columns: usize, color: bool, now: Instant) -> String {
    let age = now.saturating_duration_since(running.since);
    let turn = age.as_millis() / SPIN.as_millis();
    let spinner = SPINNER[usize::try_from(turn).unwrap_or(0) % SPINNER.len()];
    let age = format!("{:>6}", short(age));
    let again = match running.attempt {
        1 => String::new(),
        attempt => format!(" (attempt {attempt})"),
    };
    let told = told(running, color);
    let room = columns.saturating_sub(measure_text_width(&age) + 4);
    let told = truncate_str(&told, room / 2, "…");
    let told_columns = measure_text_width(&told);
    let gap = if told_columns > 0 { "  " } else { "" };
    let description = format!("{:?}{again}", running.task);
    let room = room.saturating_sub(told_columns + gap.len());
    let description = truncate_str(&description, room, "…");
    let spinner = painted(&spinner.to_string(), BAR, color);
    let age = painted(&age, FAINT, color);
    format!("{spinner} {age}  {description}{gap}{told}")
}

/// What the body says of itself.
#[expect(clippy::cast_precision_loss, reason = "a share of ten columns")]
fn told(running: &Running, color: bool) -> String {
    let (done, total) = (running.done, running.total);
    let counted = match (done, total) {
        (0, 0) => String::new(),
        (done, 0) => done.to_string(),
        (done, total) => {
            let bar = bar(done as f64 / total as f64, TASK_BAR, color);
            format!("{bar} {done}/{total}")
        }
    };
    let message = running.message.as_deref().unwrap_or_default();
    let message: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let gap = if counted.is_empty() || message.is_empty() {
        ""
    } else {
        " "
    };
    format!("{counted}{gap}{message}")
}

/// A time that has passed, in at most six columns up to a hundred hours.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time that is guessed.
pub(super) fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil().max(1.0);
    short(Duration::try_from_secs_f64(seconds).unwrap_or(time)).replace(".0s", "s")
}

#[cfg(test)]
mod tests {
    use super::{rounded, short};
    use std::time::Duration;

    #[test]
    fn times_are_short() {
        let ages = [150, 59_940, 61_000, 3_599_000, 7_260_000, 359_940_000];
        let shown = ages.map(|millis| short(Duration::from_millis(millis)));
        assert_eq!(
            shown,
            ["0.1s", "59.9s", "1m01s", "59m59s", "2h01m", "99h59m"]
        );
        let left = [1, 2_100, 61_000].map(|millis| rounded(Duration::from_millis(millis)));
        assert_eq!(left, ["1s", "3s", "1m01s"]);
    }
}
