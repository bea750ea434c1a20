//! What a program says, and how: lines, objects, colours, or nothing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn many(workspace: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_many"));
    command.arg("--workspace").arg(workspace).args(args);
    for name in [
        "CLICOLOR_FORCE",
        "KART_LOG",
        "KART_LOG_FORMAT",
        "NO_COLOR",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "0");
    command
}

fn output(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = many(directory.path(), args);
    command.envs(variables.iter().copied());
    command.output().unwrap()
}

fn stderr(args: &[&str], variables: &[(&str, &str)]) -> String {
    String::from_utf8(output(args, variables).stderr).unwrap()
}

/// The objects, one a line.
fn objects(text: &str) -> Vec<Value> {
    let object =
        |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(object).collect()
}

fn of<'a>(objects: &'a [Value], message: &str) -> Vec<&'a Value> {
    let is_of = |object: &&Value| object["message"] == message;
    objects.iter().filter(is_of).collect()
}

#[test]
fn each_task_has_a_line_while_they_are_few() {
    let text = stderr(&["--tasks", "20", "--ms", "0", "--broken", "2"], &[]);
    assert_eq!(text.matches("done     Piece { n: ").count(), 20, "{text}");
    assert!(text.starts_with("25 of 25 to run\n"), "{text}");
    assert!(text.contains("failed   Breaks { n: 1 }: failed to read the input of 1: no such file"));
    assert!(text.contains("failed   Breaks { n: 0 }: panicked: 0 is too small\n"));
    assert!(text.contains("after attempt 1: the first attempt always fails\n"));
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn many_tasks_have_a_line_a_second_and_failures_one_each() {
    let text = stderr(&["--tasks", "3000", "--ms", "0", "--broken", "9"], &[]);
    let lines = text.matches("\ndone     ").count();
    assert!((1..=400).contains(&lines), "{lines}");
    assert!(text.contains(" done in the last "), "{text}");
    assert!(text.contains(", e.g. Piece { n: "), "{text}");
    assert!(text.contains(" of 3012"), "{text}");
    assert_eq!(text.matches("failed   Breaks { n: ").count(), 9, "{text}");
}

#[test]
fn quiet_is_silent_about_what_goes_well() {
    let well = output(
        &["--tasks", "2", "--ms", "0", "--quiet"],
        &[("KART_LOG", "error")],
    );
    assert!(well.status.success());
    assert_eq!(String::from_utf8_lossy(&well.stdout), "");
    let text = String::from_utf8_lossy(&well.stderr);
    let other = |line: &&str| !line.starts_with("retrying") && *line != "printed by a body";
    assert_eq!(text.lines().filter(other).count(), 0, "{text}");
    let text = stderr(&["--tasks", "2", "--ms", "0", "--broken", "2", "-q"], &[]);
    assert!(text.contains("failed   Breaks { n: 1 }"), "{text}");
    assert!(!text.contains("done  "), "{text}");
}

#[test]
fn objects_are_one_a_line_and_say_of_which_task_they_are() {
    let args = [
        "--tasks",
        "3",
        "--ms",
        "0",
        "--broken",
        "2",
        "--log-format",
        "json",
    ];
    let text = stderr(&args, &[]);
    let lines = text.lines().filter(|line| *line != "printed by a body");
    let text = lines.collect::<Vec<_>>().join("\n");
    let objects = objects(&text);
    for object in &objects {
        assert!(object["severity"].is_string() && object["message"].is_string());
        let time = object["time"].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    }
    let finished = of(&objects, "finished");
    assert_eq!(finished.len(), 5, "{text}");
    let piece = finished
        .iter()
        .find(|object| object["description"] == "Piece { n: 2, ms: 0 }");
    let piece = piece.unwrap();
    assert_eq!(piece["severity"], "INFO");
    assert_eq!(piece["task"], "Piece");
    assert_eq!(piece["attempt"], 1);
    assert_eq!(piece["key"].as_str().map(str::len), Some(32));
    assert!(piece["elapsed"].is_f64());

    let logged = of(&objects, "about to break");
    assert_eq!(logged.len(), 2);
    assert_eq!(logged[0]["severity"], "WARNING");
    assert_eq!(logged[0]["task"], "Breaks");
    assert_eq!(logged[0]["root"], "Many");
    let place = &logged[0]["logging.googleapis.com/sourceLocation"];
    assert_eq!(place["file"], "tests/processes/src/bin/many.rs");
    let plain = of(&objects, "from a plain function");
    assert_eq!(plain[0]["task"], "Plain");

    let failed = of(&objects, "failed");
    let mut errors: Vec<_> = failed
        .iter()
        .map(|object| object["error"].as_str().unwrap())
        .collect();
    errors.sort_unstable();
    let expected = [
        "failed to read the input of 1: no such file",
        "panicked: 0 is too small",
    ];
    assert_eq!(errors, expected);
    assert_eq!(failed[0]["severity"], "ERROR");
    let panicked = of(&objects, "panicked: 0 is too small");
    assert_eq!(panicked[0]["task"], "Breaks");
    let last = objects.last().unwrap();
    assert_eq!(last["severity"], "ERROR");
    let message = last["message"].as_str().unwrap();
    assert!(message.starts_with("error: 2 tasks failed"), "{message}");
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let args = ["--tasks", "1", "--ms", "0"];
    let asked = ["--tasks", "1", "--ms", "0", "--color", "always"];
    let refused = ["--tasks", "1", "--ms", "0", "--color", "never"];
    assert!(!stderr(&args, &[]).contains("\x1b["));
    assert!(stderr(&asked, &[("NO_COLOR", "1")]).contains("\x1b[32mdone    \x1b[0m Piece"));
    assert!(stderr(&args, &[("CLICOLOR_FORCE", "1")]).contains("\x1b[32mdone"));
    assert!(!stderr(&refused, &[("CLICOLOR_FORCE", "1")]).contains("\x1b["));
}

#[test]
fn the_log_is_as_detailed_as_it_is_asked_to_be_and_nothing_is_said_twice() {
    let args = ["--tasks", "1", "--ms", "0", "--broken", "2"];
    let usual = stderr(&args, &[]);
    assert!(usual.contains("WARN task{task=\"Breaks\" key="), "{usual}");
    assert_eq!(usual.matches("kart::event").count(), 0, "{usual}");
    let silenced = stderr(&args, &[("RUST_LOG", "off")]);
    assert!(!silenced.contains("about to break"), "{silenced}");
    assert!(silenced.contains("done     Piece"), "{silenced}");
    let preferred = stderr(&args, &[("RUST_LOG", "off"), ("KART_LOG", "many=warn")]);
    assert!(preferred.contains("about to break"), "{preferred}");
    let verbose = stderr(&["--tasks", "1", "--ms", "0", "-v"], &[]);
    assert!(
        verbose.contains("INFO kart::event: finished task=\"Piece\""),
        "{verbose}"
    );
    assert!(!verbose.contains("done     "), "{verbose}");
    assert!(!verbose.contains("started"), "{verbose}");
    let detailed = stderr(&["--tasks", "1", "--ms", "0", "-vv"], &[]);
    assert!(
        detailed.contains("DEBUG kart::event: started"),
        "{detailed}"
    );
}
