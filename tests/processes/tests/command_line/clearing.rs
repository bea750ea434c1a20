//! What is deleted, and what is kept.

use serde_json::{Value, json};

use super::Place;

#[test]
fn rm_deletes_an_output_after_it_has_asked() {
    let place = Place::new();
    place.call(&[]);
    let rows = ["Rows", "--day", "2024-01-31"];
    let said = place.call(&[&["rm"], &rows[..]].concat());
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("--yes"), "{}", said.stderr);
    assert!(place.has("summary-2024-01-31.json"));
    let gone = place.json(&["rm", "--yes"]);
    assert_eq!(gone["deleted"], json!(["summary-2024-01-31.json"]));
    assert!(!place.has("summary-2024-01-31.json"));
    assert_eq!(place.json(&["rm", "--yes"])["deleted"], json!([]));
    place.call(&[]);
    let gone = place.json(&["rm", "kart-workspace/summary-2024-01-31.json", "--yes"]);
    assert_eq!(gone["deleted"], json!(["summary-2024-01-31.json"]));
}

#[test]
fn rm_downstream_takes_all_that_depends_on_a_task() {
    let place = Place::new();
    place.call(&[]);
    let gone = place.json(&["rm", "Rows", "--day", "2024-01-31", "--yes", "--downstream"]);
    assert_eq!(gone["deleted"].as_array().unwrap().len(), 3, "{gone}");
    assert!(!place.has("summary-2024-01-31.json"));
    assert_eq!(place.json(&["plan"])["runs"], 3);
    let said = place.call(&["rm", "Page", "--number", "3", "--yes", "--downstream"]);
    assert_eq!(
        said.status, 2,
        "it is not known what depends on what a body asks for"
    );
}

#[test]
fn gc_takes_what_kart_has_written_and_no_task_needs_and_nothing_else() {
    let place = Place::new();
    place.call(&["--count", "2"]);
    place.call(&["--count", "3"]);
    place.call(&["--day", "2024-02-01"]);
    place.write("kart-workspace/foreign.txt", "somebody else's");
    place.write("kart-workspace/etl/Rows/foreign.json", "somebody else's");
    let paths = |gc: &Value| -> Vec<String> {
        let objects = gc["objects"].as_array().unwrap();
        objects
            .iter()
            .map(|object| object["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(paths(&place.json(&["gc"])).is_empty(), "nothing is old");
    let dry = place.json(&["gc", "--older-than", "0s"]);
    let garbage = paths(&dry);
    assert_eq!(dry["dry_run"], true);
    // The rows, the total and the page of two rows, and the summary, rows and total of the other day.
    assert_eq!(garbage.len(), 6, "{garbage:?}");
    assert!(garbage.contains(&"summary-2024-02-01.json".to_owned()));
    // What is needed by a root that is named is kept.
    let kept = place.json(&[
        "gc",
        "--older-than",
        "0s",
        "--root",
        "{\"task\":\"Summary\",\"params\":{\"day\":\"2024-02-01\"}}",
    ]);
    assert_eq!(paths(&kept).len(), 3, "{kept}");
    // As `run` takes it, with ranges.
    let range = "Fragile --n 0..=2";
    for root in ["Summary --day '2024-02-01'", range] {
        let kept = place.json(&["gc", "--older-than", "0s", "--root", root]);
        let left = if root == range { 6 } else { 3 };
        assert_eq!(paths(&kept).len(), left, "{root}: {kept}");
    }
    let said = place.call(&["gc", "--root", "Sumary"]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("--root <TASK>"), "{}", said.stderr);
    assert_eq!(
        place
            .call(&["gc", "--older-than", "0s", "--quarantine"])
            .status,
        2,
        "nobody was asked"
    );
    assert!(place.has("summary-2024-02-01.json"));
    place.json(&["gc", "--older-than", "0s", "--quarantine", "--yes"]);
    assert!(!place.has("summary-2024-02-01.json"));
    assert!(place.has("foreign.txt") && place.has("etl/Rows/foreign.json"));
    assert!(paths(&place.json(&["gc", "--older-than", "0s"])).is_empty());
    assert_eq!(place.json(&["plan"])["runs"], 0, "what is needed is there");
    assert_eq!(
        place.json(&["plan", "Page", "--number", "3"])["runs"],
        0,
        "and what its body has asked for"
    );
    assert_eq!(
        place.json(&["gc", "--delete", "--yes"])["deleted"],
        0,
        "it has not been in quarantine for long"
    );
    assert_eq!(
        place.json(&["gc", "--delete", "--yes", "--older-than", "0s"])["deleted"],
        6
    );
    assert_eq!(
        place.json(&["gc", "--delete", "--yes", "--older-than", "0s"])["deleted"],
        0
    );
}

#[cfg(unix)]
#[test]
fn gc_goes_on_past_an_entry_that_cannot_be_read_and_names_it() {
    let place = Place::new();
    place.call(&["--count", "2"]);
    place.call(&["--count", "3"]);
    let circle = place.path().join("kart-workspace/circle");
    std::os::unix::fs::symlink("circle", circle).unwrap();
    let said = place.call(&["gc", "--older-than", "0s"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stderr.contains("path=\"circle\""), "{}", said.stderr);
    let garbage = place.json(&["gc", "--older-than", "0s"]);
    assert!(!garbage["objects"].as_array().unwrap().is_empty());
}

#[test]
fn gc_leaves_what_tasks_have_made_that_are_not_linked_in_to_their_own_program() {
    let place = Place::new();
    place.call(&["--count", "2"]);
    place.call(&["--count", "3"]);
    let other = place.call_with(
        env!("CARGO_BIN_EXE_naps"),
        &["--count", "3", "--ms", "0"],
        &[],
    );
    assert_eq!(other.status, 0, "{}", other.stderr);
    let gc = place.json(&["gc", "--older-than", "0s"]);
    assert_eq!(gc["objects"].as_array().unwrap().len(), 3, "{gc}");
    assert!(gc["not_linked"].as_u64().unwrap() > 0, "{gc}");
    let said = place.call(&["gc", "--older-than", "0s"]);
    assert!(
        said.stdout
            .contains("not linked into this program, or changed since, left alone"),
        "{}",
        said.stdout
    );
}

/// An output that cannot be moved, for root by an attribute that some file systems have.
#[cfg(target_os = "linux")]
#[test]
fn gc_that_is_cut_off_leaves_no_output_that_lost_what_is_recorded_of_it() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    let place = Place::new();
    place.call(&[]);
    place.call(&["--day", "2024-02-01"]);
    let name = "kart-workspace/summary-2024-02-01.json";
    let output = place.path().join(name);
    // As where a file system keeps no metadata: the record lies beside the output.
    let key = place.json(&["show", "--day", "2024-02-01"])["key"].clone();
    let text = std::fs::read(&output).unwrap();
    std::fs::remove_file(&output).unwrap();
    let record = format!(
        "v=1 key={} task=Summary bytes={}",
        key.as_str().unwrap(),
        text.len()
    );
    std::fs::write(&output, text).unwrap();
    place.write(
        "kart-workspace/_kart/paths/summary-2024-02-01.json.key",
        &record,
    );
    let chattr = |flag: &str| {
        let mut chattr = Command::new("chattr");
        chattr
            .arg(flag)
            .arg(&output)
            .output()
            .is_ok_and(|done| done.status.success())
    };
    let directory = output.parent().unwrap();
    let lets_move = |lets: bool| {
        let mode = if lets { 0o755 } else { 0o555 };
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let is_immutable = chattr("+i");
    lets_move(is_immutable);
    let has_moved = std::fs::rename(&output, directory.join("moved")).is_ok();
    if has_moved {
        lets_move(true);
        eprintln!("left out: nothing keeps this user from moving a file here");
        return;
    }
    let said = place.call(&["gc", "--older-than", "0s", "--quarantine", "--yes"]);
    lets_move(true);
    if is_immutable {
        chattr("-i");
    }
    assert_eq!(said.status, 1, "{}", said.stderr);
    assert!(place.has("_kart/paths/summary-2024-02-01.json.key"));
    let other = place.json(&["plan", "--day", "2024-02-01", "--count", "2"]);
    assert_eq!(other["would_run"].as_array().unwrap().len(), 3, "{other}");
}

/// Puts there what a body would have saved for the output at a path.
fn save(place: &Place, shown: &Value, name: &str) -> String {
    let (key, path) = (
        &shown["key"].as_str().unwrap(),
        &shown["path"].as_str().unwrap(),
    );
    let saved = format!("_kart/steps/{key}/first/{name}");
    let text = format!("v=1 blake3=00 code=c0de path={path}\n7");
    place.write(&format!("kart-workspace/{saved}"), &text);
    saved
}

#[test]
fn what_a_task_has_saved_is_shown_and_removed_also_without_an_output() {
    let place = Place::new();
    let page = ["Page", "--number", "3"];
    let shown = place.json(&[&["show"], &page[..]].concat());
    assert_eq!(shown["saved"], json!([]));
    let saved = save(&place, &shown, "download.step");
    save(&place, &shown, "items.map/0.jsonl");
    save(&place, &shown, "items.map/1.jsonl");

    let shown = place.json(&[&["show"], &page[..]].concat());
    let names = shown["saved"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|saved| (&saved["making"], &saved["name"]))
        .collect();
    let first = json!("first");
    assert_eq!(
        names,
        [
            (&first, &json!("download.step")),
            (&first, &json!("items.map"))
        ]
    );
    let said = place.call(&[&["show"], &page[..]].concat());
    assert!(
        said.stdout.contains("saved        download.step ("),
        "{}",
        said.stdout
    );

    let said = place.call(&[&["rm", "--yes"], &page[..]].concat());
    let expected = "deleted what 1 task has saved (3 objects, ";
    assert!(said.stdout.contains(expected), "{}", said.stdout);
    assert!(!place.has(&saved));
    let gone = place.json(&[&["rm", "--yes"], &page[..]].concat());
    assert_eq!(gone, json!({"deleted": [], "saved_state": 0}));
}

#[test]
fn gc_takes_what_is_saved_beside_a_complete_output() {
    let place = Place::new();
    place.call(&[]);
    let rows = ["Rows", "--day", "2024-01-31"];
    let complete = place.json(&[&["show"], &rows[..]].concat());
    let left = save(&place, &complete, "download.step");
    let garbage = place.json(&["gc", "--older-than", "0s"]);
    assert_eq!(garbage["objects"].as_array().unwrap().len(), 1, "{garbage}");
    assert_eq!(garbage["objects"][0]["path"], json!(left));

    place.call(&[&["rm", "--yes"], &rows[..]].concat());
    let kept = save(&place, &complete, "download.step");
    let garbage = place.json(&["gc", "--older-than", "0s"]);
    assert_eq!(garbage["objects"], json!([]), "{garbage}");
    assert!(place.has(&kept));
}
