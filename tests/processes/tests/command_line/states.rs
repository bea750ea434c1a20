//! `docs/outputs.md`: what each command says of an output to which something has happened. `KART_UPDATE=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::{Place, Said};

const PATH: &str = "price-4.json";
const PRICE: [&str; 5] = ["Price", "--day", "4", "--rate", "25"];

const BEFORE: &str = env!("CARGO_BIN_EXE_prices");

/// What happens to an output, and the program that meets it afterwards.
struct Case {
    title: &'static str,
    happens: fn(&Place),
    program: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |title, happens| Case {
        title,
        happens,
        program: BEFORE,
    };
    vec![
        case("nothing", |_| {}),
        case("edited, of the same size", |place| {
            place.put("{\"amount\":900}");
        }),
        case("extended", |place| place.put("{\"amount\":100}\n")),
        case("cut", |place| place.put("{\"amount\"")),
        case("emptied", |place| place.put("")),
        case(
            "copied with `_kart/` by a tool that drops metadata",
            |place| {
                place.rewrite("{\"amount\":100}");
            },
        ),
        case("copied without `_kart/` and metadata", |place| {
            place.rewrite("{\"amount\":100}");
            fs::remove_dir_all(place.path().join("kart-workspace/_kart")).unwrap();
        }),
        case("moved away", |place| {
            fs::remove_file(place.at(PATH)).unwrap();
        }),
        case("replaced by another task", |place| {
            let other = ["run", "Price", "--day", "4", "--rate", "30"];
            assert_eq!(place.call_with(BEFORE, &other, &[]).status, 0);
        }),
        Case {
            title: "made by other code",
            happens: |_| {},
            program: env!("CARGO_BIN_EXE_prices_code"),
        },
        Case {
            title: "of another type",
            happens: |_| {},
            program: env!("CARGO_BIN_EXE_prices_type"),
        },
    ]
}

impl Place {
    fn at(&self, path: &str) -> std::path::PathBuf {
        self.path().join("kart-workspace").join(path)
    }

    /// Changes the output as an editor does, which keeps the file.
    fn put(&self, text: &str) {
        let output = self.at(PATH);
        fs::set_permissions(&output, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(output, text).unwrap();
    }

    /// Makes another file in its place.
    fn rewrite(&self, text: &str) {
        fs::remove_file(self.at(PATH)).unwrap();
        fs::write(self.at(PATH), text).unwrap();
    }
}

/// A place with what there is in another one.
fn copied(from: &Path) -> Place {
    let place = Place::new();
    let mut copy = Command::new("cp");
    copy.arg("-a")
        .arg(from.join("kart-workspace"))
        .arg(place.path());
    assert!(copy.status().unwrap().success());
    place
}

/// The line of what was said that tells of the output, without what differs from run to run.
fn told(said: &Said, holds: &[&str]) -> String {
    let text = format!("{}\n{}", said.stdout, said.stderr);
    let lines = text.lines().map(str::trim);
    let line = lines
        .clone()
        .find(|line| holds.iter().any(|part| line.contains(part)));
    let line = line.unwrap_or_default();
    let hex = |word: &str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric());
        words.push(if hex(core) {
            word.replace(core, if core.len() == 32 { "KEY" } else { "HASH" })
        } else {
            word.to_owned()
        });
    }
    let line = words.join(" ").replace('|', "\\|");
    match said.status {
        0 => line,
        status => format!("{line} (status {status})"),
    }
}

/// What the commands say, each of an output of its own.
fn row(case: &Case) -> [String; 6] {
    let place = Place::new();
    assert_eq!(place.call_with(BEFORE, &[], &[]).status, 0);
    // What reads the output is to be made again.
    let rm = place.call_with(BEFORE, &["rm", "--yes"], &[]);
    assert_eq!(rm.status, 0, "{}", rm.stderr);
    (case.happens)(&place);
    let call = |args: &[&str]| {
        let place = copied(place.path());
        place.call_with(case.program, args, &[])
    };
    let of_price = |command: &str, more: &[&str]| call(&[&[command], &PRICE[..], more].concat());
    let plan = of_price("plan", &[]);
    let need = told(&plan, &["Price {", "would run"]);
    let need = match need.split_once("Price {") {
        Some((need, _)) => need.trim().to_owned(),
        None => "complete".to_owned(),
    };
    let run = call(&["run"]);
    let warning = told(
        &run,
        &[
            "warning:",
            "was changed",
            "hint:",
            "another task, ",
            "has a field",
        ],
    );
    let counts = told(&run, &[" ran"]);
    let counts = counts.split(" in ").next().unwrap_or_default().to_owned();
    let run = match warning.as_str() {
        "" => counts,
        warning => format!("{warning}; {counts}"),
    };
    let cat = told(&of_price("cat", &[]), &["error", "amount", "price"]);
    let show = told(&of_price("show", &[]), &["output "]);
    let show = show.rsplit_once('(').map_or(show.clone(), |(_, state)| {
        state.trim_end_matches(')').to_owned()
    });
    let rm = told(
        &of_price("rm", &["--yes"]),
        &["deleted", "nothing to delete", "stays"],
    );
    let check = told(
        &call(&["check", "--outputs"]),
        &[&format!("{PATH}:"), "outputs,", "output,"],
    );
    [need, run, cat, show, rm, check]
}

#[test]
fn the_documented_table_of_outputs_is_what_the_commands_say() {
    let page: std::path::PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../docs/outputs.md"]
        .iter()
        .collect();
    let mut text = "# What happens to an output

What the commands say of an output at a path without `{key}` to which something has happened, here `price-4.json` of 14
bytes that `Bill` reads. `load` gives what `cat` gives. The table is written by a test, from what the programs print; keys, hashes and
temporary directories are left out. [storage-layout.md](storage-layout.md) says how kart knows.

| what happened | `plan` | `run` of what reads it | `cat`, `load` | `show` | `rm` | `check --outputs` |
| --- | --- | --- | --- | --- | --- | --- |
"
    .to_owned();
    for case in cases() {
        let cells = row(&case).join(" | ");
        let _ = writeln!(text, "| {} | {cells} |", case.title);
    }
    if std::env::var_os("KART_UPDATE").is_some() {
        fs::write(&page, &text).unwrap();
        return;
    }
    let documented = fs::read_to_string(&page).unwrap();
    for (documented, printed) in documented.lines().zip(text.lines()) {
        assert_eq!(
            documented, printed,
            "KART_UPDATE=1 writes docs/outputs.md anew"
        );
    }
    assert_eq!(documented.lines().count(), text.lines().count());
}
