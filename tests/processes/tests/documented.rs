//! What `docs/command-line.md` shows is what the examples print. `KART_UPDATE=1` writes it anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use processes::storm::example;

/// Words whose every occurrence differs: what stands for them, and whether a word is one.
type Redaction = (&'static str, fn(&str) -> bool);

const REDACTIONS: [Redaction; 4] = [
    ("TIME", is_time),
    ("DURATION", is_duration),
    ("HOST/PID", is_worker),
    ("WORKERS", is_workers),
];

fn is_time(word: &str) -> bool {
    word.len() == 20 && word.starts_with("20") && word.ends_with('Z') && word.contains('T')
}

fn is_duration(word: &str) -> bool {
    let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_number && ["ns", "µs", "ms", "s", "m"].contains(&&word[digits.len()..])
}

fn is_worker(word: &str) -> bool {
    let Some((host, pid)) = word.rsplit_once('/') else {
        return false;
    };
    !host.is_empty()
        && !pid.is_empty()
        && !host.contains('/')
        && pid.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_workers(word: &str) -> bool {
    word == "workers"
}

/// A text without what differs from run to run.
fn redacted(text: &str) -> String {
    let line = |line: &str| {
        // How often a store is asked depends on how long the run took.
        let line = match line.split_once("requests: ") {
            Some((before, _)) => format!("{before}requests: COUNTS"),
            None => line.to_owned(),
        };
        let line = match line
            .split_once("_kart/trash/")
            .and_then(|(before, rest)| Some((before, rest.split_once('/')?.1)))
        {
            Some((before, path)) => format!("{before}_kart/trash/TIME/{path}"),
            None => line,
        };
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            let core = word.trim_matches(|c: char| ",;:()".contains(c)).to_owned();
            for (name, is_one) in REDACTIONS {
                if is_one(&core) {
                    *word = word.replace(&core, name);
                    break;
                }
            }
        }
        // `with 2 workers`: as many as there are processors.
        for at in 1..words.len() {
            if words[at].starts_with("WORKERS") {
                "N".clone_into(&mut words[at - 1]);
            }
        }
        words.join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The words of a command line as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

/// What a person sees who gives that command with the standard error at hand.
fn call(line: &str, directory: &Path, programs: &mut HashMap<String, PathBuf>) -> String {
    let words = words(line);
    let directory = directory.join(&words[0]);
    fs::create_dir_all(&directory).unwrap();
    let program = programs
        .entry(words[0].clone())
        .or_insert_with(|| example(&words[0]).unwrap());
    let variables = std::env::vars().filter(|(name, _)| !name.starts_with("KART_"));
    let output = Command::new(program)
        .args(&words[1..])
        .current_dir(directory)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        text += std::str::from_utf8(&output.stderr).unwrap();
        let _ = writeln!(text, "[status {}]", output.status.code().unwrap());
    }
    text
}

#[test]
fn the_documented_output_of_every_command_is_what_it_prints() {
    let page: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../docs/command-line.md"]
        .iter()
        .collect();
    let documented = fs::read_to_string(&page).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut printed = String::new();
    let mut is_console = false;
    let mut programs = HashMap::new();
    for line in documented.lines() {
        if is_console && line != "```" {
            let Some(command) = line.strip_prefix("$ ") else {
                continue;
            };
            let output = call(command, directory.path(), &mut programs);
            let _ = writeln!(printed, "{line}\n{}", output.trim_end());
            continue;
        }
        is_console = line == "```console";
        let _ = writeln!(printed, "{line}");
    }
    if std::env::var_os("KART_UPDATE").is_some() {
        fs::write(&page, &printed).unwrap();
        return;
    }
    let (documented, printed) = (redacted(&documented), redacted(&printed));
    for (at, (documented, printed)) in documented.lines().zip(printed.lines()).enumerate() {
        assert_eq!(
            documented,
            printed,
            "line {}; KART_UPDATE=1 writes docs/command-line.md anew",
            at + 1
        );
    }
    assert_eq!(documented.lines().count(), printed.lines().count());
}
