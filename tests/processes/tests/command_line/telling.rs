//! What the commands tell.

use std::fs;

use serde_json::{Value, json};

use super::{Place, page_data};

#[test]
fn a_secret_is_shown_nowhere() {
    let place = Place::new();
    let task = ["Private", "--token", "hunter2", "--n", "7"];
    let report = ["--report", "report.html"];
    let mut said = place.call(&[&task[..], &report[..]].concat());
    said.stdout +=
        &page_data(&fs::read_to_string(place.path().join("report.html")).unwrap()).to_string();
    for command in ["plan", "tree", "show", "why", "history", "graph"] {
        for json in [&[][..], &["--json"]] {
            let one = place.call(&[&[command], &task[..], json].concat());
            assert_eq!(one.status, 0, "{command}: {}", one.stderr);
            said.stdout += &one.stdout;
            said.stderr += &one.stderr;
        }
    }
    let wire = "{\"task\":\"Private\",\"params\":{\"token\":\"hunter2\",\"n\":7}}";
    let inner = ["run", "Opened", "--text", wire];
    for args in [
        &["plan", "Private", "--n", "7", "--token"][..],
        &inner,
        &[&inner[..], &["--json"]].concat(),
        &[&inner[..], &report[..]].concat(),
        &["run", "Total", "--rows", wire],
    ] {
        let one = place.call(args);
        assert_ne!(one.status, 0, "{args:?}");
        said.stdout += &one.stdout;
        said.stderr += &one.stderr;
    }
    let page = fs::read_to_string(place.path().join("report.html")).unwrap();
    said.stdout += &page_data(&page).to_string();
    place.write("kart.toml", "[tasks.Private]\ntoken = \"hunter2\"\n");
    for args in [
        &["config", "Private"][..],
        &["config", "Private", "--json"],
        &["list", "--json"],
    ] {
        said.stdout += &place.call(args).stdout;
    }
    assert!(!said.stdout.contains("hunter2") && !said.stderr.contains("hunter2"));
    assert!(said.stdout.contains("***"));
}

#[test]
fn a_failure_says_which_command_runs_just_that_task_again() {
    let place = Place::new();
    let said = place.call(&["run", "Shaky"]);
    assert_eq!(said.status, 1);
    assert!(
        said.stderr.contains("the number will not do"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("run Fragile --n 1\n"),
        "{}",
        said.stderr
    );
    let said = place.call(&["run", "Fragile", "--n", "1"]);
    assert_eq!(said.status, 1);
    let said = place.call(&["run", "Fragile", "--n", "0..3", "--json"]);
    let ran: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(ran["state"], "failed");
    assert_eq!(ran["failures"][0]["again"], "pipeline run Fragile --n 1");
    let said = place.call(&[
        "run",
        "Total",
        "--rows",
        "{\"task\":\"Fragile\",\"params\":{\"n\":1}}",
    ]);
    assert_eq!(said.status, 2, "{}", said.stderr);
}

#[test]
fn show_finds_a_task_by_its_name_its_key_and_its_path() {
    let place = Place::new();
    place.call(&["--tags", "[\"x\"]"]);
    place.write("kart.toml", "[tasks.Summary]\ntags = [\"x\"]\n");
    let by_name = place.json(&["show"]);
    assert_eq!(by_name["task"]["need"], "complete");
    assert_eq!(by_name["path"], "summary-2024-01-31.json");
    assert_eq!(by_name["attempts"][0]["outcome"], "ran");
    let key = by_name["key"].as_str().unwrap();
    let shown = "./kart-workspace/summary-2024-01-31.json";
    for named in [key, &key[..6], "summary-2024-01-31.json", shown] {
        assert_eq!(place.json(&["show", named])["key"], key, "{named}");
    }
    let total = place.json(&[
        "show",
        "Total",
        "--rows",
        "{\"task\":\"etl/Rows\",\"params\":{\"day\":\"2024-01-31\"}}",
    ]);
    assert_eq!(
        total["requires"],
        json!(["Rows { day: \"2024-01-31\", count: 3 }"])
    );
    assert_eq!(total["consumers"].as_array().unwrap().len(), 1);
    // Only a body has asked for it: the log knows.
    let page = place.json(&["show", "Page", "--number", "3"]);
    let by_key = place.json(&["show", page["key"].as_str().unwrap()]);
    assert_eq!(by_key["path"], page["path"]);
    assert_eq!(
        place.call(&["cat", page["path"].as_str().unwrap()]).stdout,
        "9\n"
    );
    assert_eq!(
        place
            .call(&["cat", "--raw", page["path"].as_str().unwrap()])
            .stdout,
        "9"
    );
    assert_eq!(place.call(&["cat", "Page", "--number", "99"]).status, 1);
}

#[test]
fn why_tells_parameters_versions_code_and_requirements_apart() {
    let place = Place::new();
    place.call(&["--count", "2"]);
    let whats = |why: &Value| -> Vec<String> {
        let differences = why["differences"].as_array().unwrap();
        differences
            .iter()
            .map(|difference| difference["what"].as_str().unwrap().to_owned())
            .collect()
    };
    let why = place.json(&["why", "--count", "2"]);
    assert_eq!((&why["would_run"], whats(&why).len()), (&json!(false), 0));
    let why = place.json(&["why", "--count", "4"]);
    assert_eq!(why["would_run"], true);
    assert_eq!(why["task"]["need"], "out_of_date");
    assert_eq!(whats(&why), ["parameter", "requirement"]);
    let said = place.call_with(
        env!("CARGO_BIN_EXE_revised"),
        &["why", "--day", "2024-01-31", "--count", "2"],
        &[],
    );
    for part in ["version: now 2, then 1", "the code at", "would run"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    place.call(&["rm", "--yes", "--count", "2"]);
    assert!(
        place
            .call(&["why", "--count", "2"])
            .stdout
            .contains("was deleted since")
    );
    let why = place.call(&["why", "Page", "--number", "77"]);
    assert!(why.stdout.contains("is not there"), "{}", why.stdout);
}

#[test]
fn every_command_prints_json_for_programs() {
    let place = Place::new();
    place.call(&[]);
    let list = place.json(&["list"]);
    assert_eq!(list["root"], "Summary");
    let rows = list["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|task| task["name"] == "etl/Rows")
        .unwrap();
    assert_eq!(
        rows["params"][0],
        json!({"name": "day", "type": "&str", "doc": "The day.", "kind": "significant", "default": null})
    );
    assert_eq!(place.json(&["tree"])["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(place.json(&["graph"])["complete"], 3);
    assert_eq!(
        place.json(&["history"])["attempts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(place.json(&["runs"])["runs"][0]["counts"]["ran"], 4);
    assert_eq!(place.json(&["check"])["ok"], true);
    assert_eq!(place.json(&["cat"]), json!({"a": 9}));
    let plan = place.json(&["plan", "--day", "2024-02-02"]);
    assert_eq!(plan["estimate"]["unknown"], 0);
    assert_eq!(
        plan["estimate"]["critical_path"].as_array().unwrap().len(),
        3
    );
}

#[test]
fn check_says_what_a_run_would_stumble_over() {
    let place = Place::new();
    place.write("kart-workspace", "a file where the workspace should be");
    let said = place.call(&["check"]);
    assert_eq!(said.status, 1);
    assert!(said.stdout.contains("failed workspace"), "{}", said.stdout);
    assert!(
        said.stdout.contains("ok     requirements") || said.stdout.contains("failed requirements")
    );
}

#[test]
fn a_report_is_written_also_for_a_run_that_failed_and_its_values_are_inert() {
    let place = Place::new();
    let said = place.call(&["run", "Shaky", "--report", "out/report.html"]);
    assert_eq!(said.status, 1);
    let page = fs::read_to_string(place.path().join("out/report.html")).unwrap();
    assert!(
        !page.contains("<b>indeed</b>"),
        "values stand in the data alone"
    );
    let data = page_data(&page);
    assert_eq!(data["state"], "failed");
    assert_eq!(data["counts"]["failed"], 2);
    assert_eq!(data["counts"]["blocked"], 1);
    assert_eq!(data["attempts"].as_array().unwrap().len(), 4);
    assert!(data["errors"].to_string().contains("is odd <b>indeed</b>"));
    assert_eq!(data["rerun"].as_object().unwrap().len(), 2);
    let said = place.call(&["--deadline", "0s", "--report", "out/report.html"]);
    assert_eq!(said.status, 75, "{}", said.stderr);
    let data = page_data(&fs::read_to_string(place.path().join("out/report.html")).unwrap());
    assert_eq!(data["state"], "interrupted");
}

#[test]
fn a_report_that_has_no_place_is_told_before_anything_runs() {
    let place = Place::new();
    place.write("taken", "no directory");
    let said = place.call(&["run", "Shaky", "--report", "taken/report.html"]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("taken/report.html"), "{}", said.stderr);
    assert!(!place.path().join("kart-workspace").exists());
}

#[test]
fn completions_know_the_choices_of_a_setting() {
    let said = Place::new().call(&["completions", "bash"]);
    assert_eq!(said.status, 0);
    for choices in ["exclusive shared none", "ignore warn rerun", "text json"] {
        assert!(said.stdout.contains(choices), "{choices}");
    }
}

#[test]
fn a_large_plan_is_a_page_and_a_large_report_a_few_megabytes() {
    let place = Place::new();
    let wide = |args: &[&str]| {
        place.call_with(
            env!("CARGO_BIN_EXE_wide"),
            args,
            &[("KART_WORKSPACE", "memory://")],
        )
    };
    let said = wide(&["tree", "--leaves", "20000"]);
    assert_eq!(said.stdout.lines().count(), 13, "{}", said.stdout);
    assert!(
        said.stdout.contains("… and 19,990 more Leaf"),
        "{}",
        said.stdout
    );
    let said = wide(&["--leaves", "20000", "--report", "report.html", "--quiet"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    let size = fs::metadata(place.path().join("report.html"))
        .unwrap()
        .len();
    assert!(size < 2 << 20, "{size} bytes");
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written_are_an_error() {
    let place = Place::new();
    assert_eq!(place.call(&["--quiet"]).status, 0);
    for args in [
        &["list"][..],
        &["plan", "--json"],
        &["tree"],
        &["cat", "--raw"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_pipeline"))
            .args(args)
            .current_dir(place.path())
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(1), "{args:?}");
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(stderr.contains("failed to write the results"), "{stderr}");
    }
}

#[test]
fn the_runs_say_which_tasks_failed_and_how_far_one_without_an_end_has_come() {
    let place = Place::new();
    assert_eq!(place.call(&["run", "Fragile", "--n", "0..10"]).status, 1);
    let said = place.call(&["runs"]).stdout;
    let failed = "    failed Fragile { n: ";
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with(failed))
        .collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].ends_with(" is odd <b>indeed</b>"), "{said}");
    assert!(said.contains("… and 2 more failed"), "{said}");
    let run = &place.json(&["runs"])["runs"][0];
    assert_eq!(run["state"], "failed");
    assert_eq!(run["failures"].as_array().unwrap().len(), 5);
    assert_eq!(run["failures"][0]["name"], "Fragile");

    let log = place.path().join("kart-workspace/_kart/runs");
    let run = log.join(run["run"].as_str().unwrap());
    for segment in fs::read_dir(run)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        let text = fs::read_to_string(&segment).unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.contains("\"event\":\"end\""));
        fs::write(&segment, lines.collect::<Vec<_>>().join("\n")).unwrap();
    }
    let said = place.call(&["runs"]).stdout;
    assert!(
        said.contains("under way, or cut off: 5 of 10 ran so far, 5 failed, on "),
        "{said}"
    );
    let run = &place.json(&["runs"])["runs"][0];
    assert_eq!(run["state"], "open");
    assert_eq!(run["so_far"], json!({"ran": 5, "failed": 5}));
}
