//! Where tasks and their parameters come from.

use std::fs;

use serde_json::{Value, json};

use super::{Place, names};

#[test]
fn any_task_is_run_by_its_name_whole_or_short() {
    let place = Place::new();
    for name in ["etl/Rows", "Rows"] {
        let ran = place.json(&["run", name, "--day", name]);
        assert_eq!(ran["counts"]["ran"], 1, "{ran}");
        assert_eq!(
            ran["roots"][0]["description"],
            format!("Rows {{ day: \"{name}\", count: 3 }}")
        );
    }
    let ran = place.json(&["Page", "--number", "7"]);
    assert_eq!(ran["counts"]["ran"], 1, "{ran}");
    assert_eq!(place.call(&["cat", "Page", "--number", "7"]).stdout, "49\n");
}

#[test]
fn a_range_stands_for_a_task_for_each_value() {
    let place = Place::new();
    let plan = place.json(&["plan", "Page", "--number", "1..=27"]);
    assert_eq!(plan["runs"], 27);
    let plan = place.json(&[
        "plan",
        "Rows",
        "--day",
        "2024-02-28..=2024-03-01",
        "--count",
        "1..3",
    ]);
    assert_eq!(
        names(&plan["would_run"]),
        [
            "Rows { day: \"2024-02-28\", count: 1 }",
            "Rows { day: \"2024-02-28\", count: 2 }",
            "Rows { day: \"2024-02-29\", count: 1 }",
            "Rows { day: \"2024-02-29\", count: 2 }",
            "Rows { day: \"2024-03-01\", count: 1 }",
            "Rows { day: \"2024-03-01\", count: 2 }",
        ]
    );
    // A text that looks like a range of numbers is what it is.
    let plan = place.json(&["plan", "Rows", "--day", "1..3"]);
    assert_eq!(
        names(&plan["would_run"]),
        ["Rows { day: \"1..3\", count: 3 }"]
    );
}

#[test]
fn parameters_come_from_options_a_file_the_environment_and_the_settings_in_that_order() {
    let place = Place::new();
    let root = |args: &[&str], env: &[(&str, &str)]| {
        let args = [&["plan", "--json"], args].concat();
        let said = place.call_with(env!("CARGO_BIN_EXE_pipeline"), &args, env);
        assert_eq!(said.status, 0, "{}", said.stderr);
        let plan: Value = serde_json::from_str(&said.stdout).unwrap();
        plan["would_run"][0]["params"].clone()
    };
    assert_eq!(
        root(&[], &[]),
        json!({"day": "2024-01-31", "count": 3, "tags": ["a"]})
    );
    place.write(
        "kart.toml",
        "[tasks.Summary]\nday = 2024-04-01\ncount = 4\ntags = [\"t\"]\n",
    );
    assert_eq!(
        root(&[], &[]),
        json!({"day": "2024-04-01", "count": 4, "tags": ["t"]})
    );
    let env = [("KART_PARAM_COUNT", "5")];
    assert_eq!(root(&[], &env)["count"], 5);
    place.write("params.json", "{\"count\": 6}");
    place.write("params.toml", "count = 7\n");
    assert_eq!(root(&["--params", "params.json"], &env)["count"], 6);
    assert_eq!(root(&["--params", "params.toml"], &env)["count"], 7);
    let all = root(
        &[
            "--params",
            "params.json",
            "--count",
            "8",
            "--tags",
            "[\"x\",\"y\"]",
        ],
        &env,
    );
    assert_eq!(
        all,
        json!({"day": "2024-04-01", "count": 8, "tags": ["x", "y"]})
    );
}

#[test]
fn settings_come_from_their_layers_and_config_says_which() {
    let place = Place::new();
    place.write(
        "kart.toml",
        "workspace = \"from-toml\"\nworkers = 3\ndeadline = \"55m\"\n[limits]\ngpu = 2\n",
    );
    let args = ["config", "--json", "--workspace", "from-option"];
    let said = place.call_with(
        env!("CARGO_BIN_EXE_pipeline"),
        &args,
        &[
            ("KART_WORKERS", "4"),
            ("KART_WORKSPACE", "from-environment"),
        ],
    );
    let config: Value = serde_json::from_str(&said.stdout).unwrap();
    let settings = &config["settings"];
    assert_eq!(
        settings["workspace"],
        json!({"value": "from-option", "source": "option"})
    );
    assert_eq!(
        settings["workers"],
        json!({"value": "4", "source": "environment, KART_WORKERS"})
    );
    assert_eq!(
        settings["deadline"],
        json!({"value": "55m", "source": "kart.toml"})
    );
    assert_eq!(
        settings["coordination"],
        json!({"value": "exclusive", "source": "default"})
    );
    assert_eq!(
        config["limits"]["gpu"],
        json!({"value": 2, "source": "kart.toml"})
    );
    // An option counts wherever it stands.
    let workers = |args: &[&str]| {
        let said = place.call(args);
        let config: Value = serde_json::from_str(&said.stdout).unwrap();
        config["settings"]["workers"]["value"].clone()
    };
    assert_eq!(workers(&["--workers", "9", "config", "--json"]), "9");
    assert_eq!(workers(&["--json", "config"]), "3");
    assert_eq!(workers(&["config", "--workers", "7", "--json"]), "7");
    let env = [("KART_PARAM_DAY", "2024-05-05")];
    let said = place.call_with(
        env!("CARGO_BIN_EXE_pipeline"),
        &["config", "--json", "--count", "4"],
        &env,
    );
    let config: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        config["params"],
        json!({
            "count": {"value": "4", "source": "option"},
            "day": {"value": "2024-05-05", "source": "environment, KART_PARAM_DAY"},
        })
    );
    place.call(&["run", "Page", "--number", "1"]);
    assert!(place.path().join("from-toml").is_dir());
}

/// What is written, and what the message says.
const WRONG: &[(&[&str], &[&str])] = &[
    (&["run", "Sumary"], &["Sumary", "Summary"]),
    (&["plam"], &["plam", "plan"]),
    (&["tree", "Pge", "--number", "1"], &["Pge", "Page"]),
    (&["run", "Page"], &["--number <u32>", "Page", "missing"]),
    (
        &["run", "Page", "--number", "many"],
        &["`many`", "`--number`"],
    ),
    (&["run", "Page", "--numbr", "1"], &["--numbr", "--number"]),
    (
        &["--count", "1", "run", "Page", "--number", "1"],
        &["--count", "Summary", "Page", "after its name"],
    ),
    (&["plan", "Page", "--number", "5..5"], &["`5..5`", "empty"]),
    (&["plan", "Page", "--number", "0..1000000000"], &["100000"]),
    (&["show", "Page", "--number", "1..3"], &["several tasks"]),
    (
        &["run", "Private", "--token", "hunter2", "--n", "300"],
        &["`300`", "`--n`"],
    ),
    (&["show", "Sumary"], &["`Sumary`", "Summary"]),
    (&["cat", "nothing/there.json"], &["nothing/there.json"]),
    (&["show", "0123456789abcdef"], &["0123456789abcdef"]),
    (
        &["--config", "none.toml", "plan"],
        &["none.toml", "No such file"],
    ),
    (
        &["--config", "broken.toml", "plan"],
        &["broken.toml", "line 1"],
    ),
    (
        &["--config", "unknown.toml", "plan"],
        &["`worker`", "unknown.toml", "`workers`"],
    ),
    (
        &["--config", "wrong.toml", "plan"],
        &["'many'", "`workers`", "wrong.toml"],
    ),
    (
        &["--config", "task.toml", "plan"],
        &["`Sumary`", "`Summary`", "task.toml"],
    ),
    (
        &["--config", "param.toml", "plan"],
        &["`cuont`", "`count`", "param.toml"],
    ),
    (
        &["plan", "--params", "none.json"],
        &["none.json", "No such file"],
    ),
    (&["plan", "--params", "bad.json"], &["bad.json", "line 1"]),
    (
        &["plan", "--params", "odd.json"],
        &["`cont`", "`count`", "odd.json"],
    ),
    (
        &["plan", "--params", "list.json"],
        &["list.json", "an object"],
    ),
    (&["--deadline", "soon"], &["soon", "--deadline", "55m"]),
    (
        &["--coordination", "loud"],
        &["loud", "exclusive, shared, none"],
    ),
    (&["--rerun", "Nobody"], &["`Nobody`"]),
    (&["--fresh", "Nobody"], &["`Nobody`"]),
    (&["gc", "--older-than", "x"], &["--older-than"]),
    (&["gc", "--root", "{"], &["--root"]),
    (&["gc", "--root", "{\"task\":\"Nobody\"}"], &["Nobody"]),
    (&["completions", "cmd"], &["cmd", "bash"]),
    (&["total"], &["total", "Total"]),
    (
        &[
            "run",
            "Total",
            "--rows",
            "{\"task\":\"Page\",\"params\":{\"number\":1}}",
        ],
        &["`--rows`", "`Page`"],
    ),
];

#[test]
fn wrong_use_ends_with_status_2_and_says_what_to_type() {
    let place = Place::new();
    place.write("broken.toml", "workers = [");
    place.write("unknown.toml", "worker = 1\n");
    place.write("wrong.toml", "workers = \"many\"\n");
    place.write("task.toml", "[tasks.Sumary]\ncount = 1\n");
    place.write("param.toml", "[tasks.Summary]\ncuont = 1\n");
    place.write("bad.json", "{\"count\": ");
    place.write("odd.json", "{\"cont\": 1}");
    place.write("list.json", "[1]");
    for (args, parts) in WRONG {
        let said = place.call(args);
        assert_eq!(said.status, 2, "{args:?}: {}{}", said.stdout, said.stderr);
        for part in *parts {
            assert!(
                said.stderr.contains(part),
                "no {part} for {args:?}: {}",
                said.stderr
            );
        }
        assert!(said.stdout.is_empty(), "{args:?}: {}", said.stdout);
    }
    let said = place.call_with(
        env!("CARGO_BIN_EXE_pipeline"),
        &["plan"],
        &[("KART_WORKERS", "none")],
    );
    assert_eq!(said.status, 2);
    assert!(
        said.stderr.contains("'none'") && said.stderr.contains("KART_WORKERS"),
        "{}",
        said.stderr
    );
    assert!(
        !place.path().join("kart-workspace").exists(),
        "nothing was run"
    );
}

#[test]
fn two_tasks_of_one_name_are_an_error_at_start_that_names_both_places() {
    let place = Place::new();
    let said = place.call_with(env!("CARGO_BIN_EXE_twins"), &["list"], &[]);
    assert_eq!(said.status, 2);
    let source =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/twins.rs")).unwrap();
    let lines = (1..)
        .zip(source.lines())
        .filter(|(_, line)| line.starts_with("#[task") || line.starts_with("async fn"));
    let place_of = |fragment: &str| said.stderr.matches(fragment).count();
    assert_eq!(place_of("twins.rs:"), 2, "{}", said.stderr);
    assert!(
        lines
            .clone()
            .filter(|(at, _): &(usize, &str)| said.stderr.contains(&format!("twins.rs:{at}")))
            .count()
            >= 2
    );
    assert!(
        said.stderr.contains("`twin`") && said.stderr.contains("#[task(name"),
        "{}",
        said.stderr
    );
}
