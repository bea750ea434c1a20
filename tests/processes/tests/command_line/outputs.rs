//! Whose an output is, and whether it is what was written, as the commands tell.

use std::fs;
use std::path::PathBuf;

use super::Place;

const PATH: &str = "summary-2024-01-31.json";

impl Place {
    fn output(&self) -> PathBuf {
        self.path().join("kart-workspace").join(PATH)
    }

    /// Changes an output as an editor does, which writes the same file.
    fn edit(&self, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let output = self.output();
        fs::set_permissions(&output, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(output, text).unwrap();
    }
}

#[test]
fn what_another_task_made_at_the_same_path_is_neither_shown_nor_deleted_as_this_ones() {
    let place = Place::new();
    place.call(&["--count", "2"]);
    let said = place.call(&["--count", "3"]);
    assert!(
        said.stderr.contains("has replaced the output of Summary"),
        "{}",
        said.stderr
    );

    let of_two = ["--count", "2"];
    let said = place.call(&[&["cat"], &of_two[..]].concat());
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(
        said.stderr.contains("is not the output of Summary"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("hint: "), "{}", said.stderr);
    assert_eq!(place.call(&["cat", "--count", "3"]).status, 0);

    let shown = place.json(&[&["show"], &of_two[..]].concat());
    assert_eq!(shown["state"], "other_key");
    let said = place.call(&[&["show"], &of_two[..]].concat());
    assert!(
        said.stdout.contains("the output of another task, Summary"),
        "{}",
        said.stdout
    );

    let gone = place.json(&[&["rm", "--yes"], &of_two[..]].concat());
    assert_eq!(gone["deleted"], serde_json::json!([]));
    assert!(place.has(PATH));
    let said = place.call(&[&["rm", "--yes"], &of_two[..]].concat());
    assert!(
        said.stdout.contains("stays: the output of another task"),
        "{}",
        said.stdout
    );

    let said = place.call(&[&["why"], &of_two[..]].concat());
    assert!(
        said.stdout.contains("the output of another task"),
        "{}",
        said.stdout
    );
}

#[test]
fn check_names_paths_that_do_not_hold_all_that_tells_outputs_apart() {
    let said = Place::new().call(&["check"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(
        said.stdout.contains("Summary without `count`, `tags`"),
        "{}",
        said.stdout
    );
}

#[test]
fn an_edited_output_is_an_error_until_it_is_accepted() {
    let place = Place::new();
    place.call(&[]);
    let written = fs::read_to_string(place.output()).unwrap();
    place.edit(&written.replace('9', "8"));

    let said = place.call(&["cat"]);
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(
        said.stderr.contains("was changed") && said.stderr.contains("accept"),
        "{}",
        said.stderr
    );
    let said = place.call(&["show"]);
    assert!(
        said.stdout.contains("changed: other bytes"),
        "{}",
        said.stdout
    );

    let said = place.call(&["check", "--outputs"]);
    assert_eq!(said.status, 1, "{}", said.stdout);
    let line = format!("{PATH}: changed");
    assert!(said.stdout.contains(&line), "{}", said.stdout);
    assert!(
        said.stdout.contains("4 outputs") && said.stdout.contains("1 of them"),
        "{}",
        said.stdout
    );

    assert_eq!(place.call(&["accept"]).status, 2, "nobody was asked");
    let said = place.call(&["accept", "--yes"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert_eq!(place.call(&["cat"]).status, 0);
    assert_eq!(place.json(&["check", "--outputs"])["ok"], true);
    assert_eq!(place.json(&["plan"])["runs"], 0);
    let of_two = place.call(&["accept", "--count", "2", "--yes"]);
    assert_eq!(of_two.status, 1, "it is another task's: {}", of_two.stdout);
}

#[test]
fn an_output_that_was_cut_off_is_made_again_and_told_of() {
    let place = Place::new();
    place.call(&[]);
    place.edit("");
    let plan = place.json(&["plan"]);
    assert_eq!(
        (&plan["runs"], &plan["would_run"][0]["need"]),
        (&1.into(), &"torn".into())
    );
    let said = place.call(&["show"]);
    assert!(said.stdout.contains("torn: 0 of "), "{}", said.stdout);
    assert_eq!(place.call(&["cat"]).status, 1);
    let said = place.call(&[]);
    assert_eq!(said.status, 0);
    assert!(
        said.stderr.contains("torn") && said.stderr.contains(PATH),
        "{}",
        said.stderr
    );
    assert_eq!(place.call(&["cat"]).status, 0);
}

#[test]
fn what_a_copy_has_lost_is_recorded_again() {
    let place = Place::new();
    place.call(&[]);
    // As `cp -r` does: the bytes without what is recorded with them.
    let text = fs::read(place.output()).unwrap();
    fs::remove_file(place.output()).unwrap();
    fs::write(place.output(), text).unwrap();
    assert_eq!(
        place.json(&["check", "--outputs", "--repair"])["repaired"],
        1
    );
    assert_eq!(
        place.json(&["check", "--outputs", "--repair"])["repaired"],
        0
    );
    // Even without the run log it is known now.
    fs::remove_dir_all(place.path().join("kart-workspace/_kart")).unwrap();
    assert_eq!(place.json(&["show"])["state"], "complete");
    assert_eq!(place.json(&["show", "--count", "2"])["state"], "other_key");
}

#[test]
fn a_path_that_no_output_can_have_is_named_by_check_and_plan_and_no_body_runs() {
    let place = Place::new();
    fs::create_dir_all(place.output()).unwrap();
    for command in [&["check"][..], &["plan"], &["run"]] {
        let said = place.call(command);
        assert_ne!(said.status, 0, "{command:?}: {}", said.stdout);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(
            text.contains(PATH) && text.contains("a directory lies there"),
            "{command:?}: {text}"
        );
    }
}
