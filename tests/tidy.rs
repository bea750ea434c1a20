//! The repository keeps its own rules.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below a directory of the repository.
fn sources(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(below)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no Rust file below {below}");
    found.sort();
    found
}

#[test]
fn every_version_is_pinned_to_that_of_the_workspace() {
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .unwrap()
        .trim_matches('"');
    for package in [
        "kart-core",
        "kart-macros",
        "kart-view",
        "kart-cli",
        "kart-restate",
        "kart-serve",
    ] {
        let pin = format!("{package} = {{ path = \"{package}\", version = \"={version}\"");
        assert!(manifest.contains(&pin), "Cargo.toml lacks `{pin}`");
    }
    let changelog = read("CHANGELOG.md");
    assert!(changelog.contains(&format!("## [{version}]")));
}

#[test]
fn one_room_names_object_store() {
    for source in sources("kart-core/src")
        .into_iter()
        .chain(sources("kart-view/src"))
        .chain(sources("kart-cli/src"))
        .chain(sources("kart-restate/src"))
        .chain(sources("kart-serve/src"))
        .chain(sources("src"))
    {
        // The simulation is built for tests alone, and stands for a store.
        let may_name = source
            .components()
            .any(|part| part.as_os_str() == "workspace" || part.as_os_str() == "simulation");
        let text = fs::read_to_string(&source).unwrap();
        assert!(
            may_name || !text.contains("object_store::"),
            "{} names object_store",
            source.display()
        );
    }
}

/// The rooms of kart-core: each may use only those before it.
const ROOMS: &[&str] = &[
    "error",
    "threads",
    "run_id",
    "key",
    "format",
    "lease_protocol",
    "workspace",
    "model",
    "registry",
    "lease",
    "plan",
    "report",
    "log",
    "run",
];

/// The parts of `run`: each may use only those before it. Data is first, then who handles it.
const PARTS_OF_RUN: &[&str] = &[
    "errors",
    "subtask_report",
    "executor",
    "output_cache",
    "settings",
    "shutdown",
    "task_lease",
    "message",
    "mailbox",
    "code_change",
    "coordination",
    "reruns",
    "saved_state",
    "history",
    "fresh",
    "run_context",
    "subtask_waits",
    "table",
    "scheduler",
    "record",
    "remote",
    "attempt",
    "preflight",
    "event_loop",
    "start",
    "runner",
    "build",
    "worker",
];

/// The module that a file below `src` is, as a path from the crate's root.
fn module(source: &Path) -> Vec<String> {
    let below = source.strip_prefix(root().join("kart-core/src")).unwrap();
    let below = below.with_extension("");
    let parts = below.iter().map(|part| part.to_str().unwrap().to_owned());
    parts
        .filter(|part| part != "mod" && part != "lib")
        .collect()
}

/// The first names of a path or of a group of paths, as `{a::B, c}` has `a` and `c`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let is_part = |char: &char| char.is_alphanumeric() || *char == '_';
        text.trim_start().chars().take_while(is_part).collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut names, mut depth, mut at) = (Vec::new(), 0, 0);
    for (index, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            ',' if depth == 0 => {
                names.push(name(&group[at..index]));
                at = index + 1;
            }
            '}' if depth == 0 => {
                names.push(name(&group[at..index]));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What a file names of its crate, each as a path from the crate's root, cut off after the first name below `crate`,
/// `super` or `crate::run`.
fn names_of_crate(source: &Path) -> Vec<Vec<String>> {
    let module = module(source);
    let text = fs::read_to_string(source).unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines: Vec<&str> = text.lines().filter(is_code).collect();
    let text = lines.join("\n");
    let mut found = Vec::new();
    let starts = text
        .match_indices("crate::")
        .chain(text.match_indices("super::"));
    for (at, start) in starts {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|char| char.is_alphanumeric() || "_:$".contains(char)) {
            continue;
        }
        let mut rest = &text[at..];
        let mut base = if start == "crate::" {
            Vec::new()
        } else {
            module.clone()
        };
        rest = rest.strip_prefix("crate::").unwrap_or(rest);
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        if let Some(after) = rest.strip_prefix("run::") {
            base.push("run".to_owned());
            rest = after;
        }
        for name in first_names(rest) {
            found.push([base.as_slice(), &[name]].concat());
        }
    }
    found
}

/// Fails if a part of `parts` names one after it. `place` gives the part of a path, if it has one.
fn assert_layers(parts: &[&str], below: &str, place: impl Fn(&[String]) -> Option<String>) {
    let mut looked_at = 0;
    for source in sources(below) {
        let is_test = source
            .iter()
            .any(|part| part == "simulation" || part == "tests.rs");
        let Some(part) = place(&module(&source)).filter(|_| !is_test) else {
            continue;
        };
        let at = parts.iter().position(|each| **each == part);
        let at = at.unwrap_or_else(|| panic!("`{part}` is not in the list of layers"));
        for path in names_of_crate(&source) {
            let Some(named) = place(&path) else { continue };
            let Some(other) = parts.iter().position(|each| **each == named) else {
                continue;
            };
            looked_at += 1;
            assert!(
                other <= at,
                "{} names {}",
                source.display(),
                path.join("::")
            );
        }
    }
    assert!(looked_at > parts.len());
}

#[test]
fn the_rooms_of_the_core_name_only_rooms_below_them() {
    let lib = read("kart-core/src/lib.rs");
    assert_layers(ROOMS, "kart-core/src", |path| {
        let first = path.first()?;
        if ROOMS.contains(&first.as_str()) {
            return Some(first.clone());
        }
        // Something that the crate's root exports from a room.
        let exports = lib
            .split("pub use ")
            .skip(1)
            .filter_map(|text| text.split_once("::"));
        exports
            .map(|(room, names)| (room, names.split(';').next().unwrap_or_default()))
            .find(|(_, names)| first_names(names).contains(first))
            .map(|(room, _)| room.to_owned())
    });
}

#[test]
fn the_parts_of_a_run_name_only_parts_below_them() {
    assert_layers(PARTS_OF_RUN, "kart-core/src/run", |path| match path {
        [run, part, ..] if run == "run" => Some(part.clone()),
        _ => None,
    });
}

#[test]
fn no_file_is_too_long_to_read() {
    for below in [
        "src",
        "kart-core",
        "kart-macros/src",
        "kart-view/src",
        "kart-cli/src",
        "kart-restate/src",
        "kart-serve",
        "examples",
        "tests",
        "benches",
    ] {
        for source in sources(below) {
            let lines = fs::read_to_string(&source).unwrap().lines().count();
            assert!(lines <= 400, "{} has {lines} lines", source.display());
        }
    }
}

#[test]
fn every_failing_case_has_the_message_that_a_user_sees() {
    for case in sources("tests/ui/fail") {
        let message = case.with_extension("stderr");
        assert!(message.exists(), "{} is missing", message.display());
    }
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let example = read("examples/long_batch.rs");
    let readme = read("README.md");
    for line in [
        "kart::main!(Agg);",
        "#[task(path = \"{output_name}.txt\")]",
        "Ok(results.join(\"\\n\") + \"\\n\")",
    ] {
        assert!(example.contains(line) && readme.contains(line), "{line}");
    }
}
