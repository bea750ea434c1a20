//! Runs on an engine: what is wrong is told before anything is asked of it.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::Place;
use super::ingress::{Answer, Ingress};

/// Nobody listens there.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("restate=http://{}", listener.local_addr().unwrap())
}

#[test]
fn wrong_use_of_an_engine_ends_with_status_2_and_says_what_to_type() {
    let place = Place::new();
    let engine = nowhere();
    let wrong: [(&[&str], &[&str]); 8] = [
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
            &["run", "--detach", "--engine", &engine, "--alone"],
            &["'--alone'", "'--detach'"],
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
