//! Runs on an engine: what is wrong is told before anything is asked of it.

use std::net::TcpListener;

use super::Place;

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
