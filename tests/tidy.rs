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
