//! Runs on an engine: what is wrong is told before anything is asked of it.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::ingress::{Answer, Ingress};
use super::{Place, Said};

/// Nobody listens there.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("restate=http://{}", listener.local_addr().unwrap())
}

#[test]
fn wrong_use_of_an_engine_ends_with_status_2_and_says_what_to_type() {
    let place = Place::new();
    let engine = nowhere();
    let wrong: [(&[&str], &[&str]); 9] = [
        (
            &["run", "--detach"],
            &["'--detach'", "--engine restate=URL"],
        ),
        (
            &[
                "run", "--detach", "--engine", &engine, "--report", "run.html",
            ],
            &["'--report'", "'--detach'"],
        ),
        (
            &["run", "--detach", "--engine", &engine, "--rerun", "Page"],
            &["'--rerun'", "'--detach'"],
        ),
        (
            &["run", "--engine", "http://host:8080"],
            &["restate=http://127.0.0.1:8080"],
        ),
        (
            &["run", "--engine", &engine, "--batch", "0"],
            &["'0'", "at least 1"],
        ),
        (
            &["run", "--engine", &engine, "--batch", "soon"],
            &["'soon'", "50ms"],
        ),
        (
            &["run", "--engine", &engine, "--batch", "1h"],
            &["'1h'", "at most 1m"],
        ),
        (
            &["run", "--engine", &engine, "--batch", "10us"],
            &["'10us'", "at least 1ms"],
        ),
        (
            &["worker", "--restate-endpoint", "here"],
            &["'here'", "127.0.0.1:9080"],
        ),
    ];
    for (args, parts) in wrong {
        let said = place.call(args);
        assert_eq!(said.status, 2, "{args:?}: {}{}", said.stdout, said.stderr);
        for part in parts {
            assert!(
                said.stderr.contains(part),
                "no {part} for {args:?}: {}",
                said.stderr
            );
        }
    }
    assert!(
        !place.path().join("kart-workspace").join("_kart").exists(),
        "nothing was run"
    );
}

#[test]
fn an_engine_that_is_not_there_is_an_error_that_names_it() {
    let place = Place::new();
    let engine = nowhere();
    let said = place.call(&["run", "--engine", &engine]);
    assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
    let url = engine.trim_start_matches("restate=");
    assert!(
        said.stderr
            .contains(&format!("no Restate server answers at {url}")),
        "{}",
        said.stderr
    );
}

/// An engine that takes a run that is left to it.
fn taking(status: &'static str) -> Ingress {
    Ingress::new(move |path| {
        let taken = json!({"invocationId": "inv_1", "status": status});
        path.starts_with("/kart-runs/").then_some((202, taken))
    })
}

impl Place {
    fn call_in(&self, env: &[(&str, &str)], args: &[&str]) -> Said {
        self.call_with(env!("CARGO_BIN_EXE_pipeline"), args, env)
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

#[test]
fn a_run_that_is_left_to_the_workers_has_its_settings_wherever_they_come_from() {
    let ingress = taking("Accepted");
    let engine = ingress.engine();
    let detach = ["run", "--detach", "--engine", &engine, "--limit", "gpu=2"];
    let settings = [
        ("workers", "7"),
        ("fail-fast", "true"),
        ("coordination", "none"),
        ("on-code-change", "rerun"),
        ("on-type-change", "warn"),
        ("ttl", "30s"),
        ("deadline", "1h"),
    ];
    let place = Place::new();
    let begun = now();
    let options = settings.map(|(name, value)| format!("--{name}={value}"));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let by_options = place.call(&[&detach[..], &options].concat());
    let variable = |name: &str| format!("KART_{}", name.to_uppercase().replace('-', "_"));
    let variables = settings.map(|(name, value)| (variable(name), value));
    let variables = variables
        .each_ref()
        .map(|(name, value)| (&name[..], *value));
    let by_variables = place.call_in(&variables, &detach);
    let line = |(name, value): (&str, &str)| format!("{} = \"{value}\"\n", name.replace('-', "_"));
    place.write("kart.toml", &settings.map(line).concat());
    let by_file = place.call(&detach);
    for said in [by_options, by_variables, by_file] {
        assert_eq!(said.status, 0, "{}", said.stderr);
        let mut ways = ingress.next("/kart-runs/")["ways"].take();
        let deadline = ways["deadline"].take()["secs_since_epoch"]
            .as_u64()
            .unwrap();
        assert!(
            (begun + 3600..=now() + 3600).contains(&deadline),
            "{deadline}"
        );
        let expected = json!({
            "workers": 7,
            "limits": {"gpu": 2},
            "fail_fast": true,
            "coordination": "none",
            "on_code_change": "rerun",
            "on_type_change": "warn",
            "ttl": {"secs": 30, "nanos": 0},
            "deadline": null,
        });
        assert_eq!(ways, expected);
    }
    place.write("kart.toml", "");
    assert_eq!(place.call(&[&detach[..], &["--alone"]].concat()).status, 0);
    assert_eq!(ingress.next("/kart-runs/")["ways"]["coordination"], "none");
}

#[test]
fn a_setting_that_has_no_say_in_a_run_that_nobody_waits_for_is_told_wherever_it_comes_from() {
    let ingress = taking("Accepted");
    let engine = ingress.engine();
    let detach = ["run", "--detach", "--engine", &engine];
    let place = Place::new();
    let by_option = place.call(&[&detach[..], &["--wait", "5m"]].concat());
    let by_variable = place.call_in(&[("KART_GRACE", "5s")], &detach);
    place.write("kart.toml", "wait = \"5m\"\n");
    let by_file = place.call(&detach);
    for (said, place) in [
        (by_option, "'--wait' has no say"),
        (by_variable, "KART_GRACE has no say"),
        (by_file, "`wait` in kart.toml has no say"),
    ] {
        assert_eq!(said.status, 0, "{}", said.stderr);
        assert!(said.stderr.contains(place), "no {place}: {}", said.stderr);
    }
}

#[test]
fn a_run_that_joins_one_under_way_says_that_it_has_the_options_of_the_first() {
    let place = Place::new();
    let (first, second) = (taking("Accepted"), taking("PreviouslyAccepted"));
    let detach = |ingress: &Ingress| {
        let engine = ingress.engine();
        let args = ["run", "--detach", "--engine", &engine];
        (place.call(&args).stdout, place.json(&args))
    };
    let (told, json) = detach(&first);
    assert!(told.starts_with("left to the workers as inv_1: "), "{told}");
    assert_eq!(
        (&json["state"], &json["options"]),
        (&json!("detached"), &json!("given"))
    );
    let (told, json) = detach(&second);
    assert!(
        told.starts_with("under way already as inv_1, with the options that it was left with"),
        "{told}"
    );
    assert_eq!(
        (&json["state"], &json["options"]),
        (&json!("joined"), &json!("first"))
    );
}

#[test]
fn what_refuses_a_run_in_place_of_an_engine_is_told_apart() {
    let place = Place::new();
    let of_the_engine = |text: &str| json!({"message": text, "source": "ingress"});
    let version = json!({"max_admin_api_version": 4, "ingress_endpoint": "http://there:8080/"});
    let cases: [(&str, Answer, &[&str]); 6] = [
        (
            "/kart-batch/run",
            (404, of_the_engine("service 'kart-batch' not found")),
            &["'kart-batch' not found", "register them"],
        ),
        (
            "/kart-batch/run",
            (401, json!("who are you?")),
            &["who are you?", "KART_ENGINE_TOKEN"],
        ),
        (
            "/restate/health",
            (403, json!("not you")),
            &["not you", "KART_ENGINE_TOKEN"],
        ),
        (
            "/kart-batch/run",
            (400, of_the_engine("bad path")),
            &["400 Bad Request: bad path"],
        ),
        (
            "/restate/health",
            (404, json!("")),
            &["no ingress", "/restate/health is answered 404"],
        ),
        (
            "/version",
            (200, version),
            &["no ingress", "admin port", "http://there:8080/"],
        ),
    ];
    for (path, answer, parts) in cases {
        let is_admin = path == "/version";
        let ingress = Ingress::new(move |asked| match asked {
            "/restate/health" if is_admin => Some((404, Value::from(""))),
            asked => (asked == path).then(|| answer.clone()),
        });
        let said = place.call(&["run", "--engine", &ingress.engine()]);
        assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
        for part in parts {
            assert!(said.stderr.contains(part), "no {part}: {}", said.stderr);
        }
        let registers = said.stderr.contains("register");
        assert_eq!(
            registers,
            parts.contains(&"register them"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn a_run_that_stops_says_that_what_it_has_ordered_goes_on() {
    let place = Place::new();
    let ingress = Ingress::new(|_| None);
    let engine = ingress.engine();
    let stop = ["--deadline", "500ms", "--grace", "0s"];
    let said = place.call(&[&["run", "--engine", &engine][..], &stop].concat());
    assert_eq!(said.status, 75, "{}", said.stderr);
    let last = said.stderr.lines().last().unwrap();
    assert!(last.contains("goes on at the workers"), "{}", said.stderr);
    assert!(last.contains("the same command"), "{}", said.stderr);
}

#[test]
fn a_task_that_failed_on_an_engine_is_run_again_there() {
    let place = Place::new();
    let ingress = Ingress::new(|path| {
        let elapsed = json!({"secs": 0, "nanos": 0});
        let failed = json!({"causes": ["it broke"], "is_permanent": true, "elapsed": elapsed});
        path.starts_with("/kart/")
            .then(|| (200, json!({"failed": failed})))
    });
    let engine = ingress.engine();
    let said = place.call(&[
        "--engine",
        &engine,
        "--workspace",
        "its place",
        "run",
        "Fragile",
        "--n",
        "2",
    ]);
    assert_eq!(said.status, 1, "{}", said.stderr);
    let again = format!("run Fragile --workspace 'its place' --engine {engine} --n 2");
    assert!(said.stderr.contains(&again), "no {again}: {}", said.stderr);
}

#[test]
fn a_run_that_waits_for_another_says_for_which() {
    let place = Place::new();
    let ingress = Ingress::new(|_| None);
    let on_engine = ["run", "--engine", &ingress.engine()];
    let mut first = place.command(env!("CARGO_BIN_EXE_pipeline"), &on_engine);
    let mut first = first.spawn().unwrap();
    ingress.next("/kart/");
    let said = place.call(&["run", "--wait", "10ms"]);
    first.kill().unwrap();
    let pid = first.id();
    first.wait().unwrap();
    assert_eq!(said.status, 75, "{}", said.stderr);
    let waits = format!("waiting for up to 10ms: process {pid} on host ");
    assert!(said.stderr.starts_with(&waits), "{}", said.stderr);
}

#[test]
fn how_many_attempts_are_under_way_by_default_depends_on_the_engine() {
    let place = Place::new();
    let help = place.call(&["--help"]).stdout;
    assert!(
        help.contains("[default: the number of CPUs; with --engine 1000]"),
        "{help}"
    );
    let config = |args: &[&str]| {
        let said = place.call(&[&["config"], args].concat()).stdout;
        let line = said
            .lines()
            .find(|line| line.starts_with("workers "))
            .unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(config(&[]), "workers the number of CPUs (default)");
    assert_eq!(
        config(&["--engine", "restate=http://there:8080"]),
        "workers 1000 (default)"
    );
}
