//! Outputs over HTTP: whole, in parts, and nothing else.

mod common;

use bytes::Bytes;
use common::{Service, assert_refused, settings};
use kart::{TaskExt as _, Workspace};
use kart_serve::Allow;

async fn service(workspace: Workspace) -> Service {
    let mut settings = settings();
    settings.allow = Allow::All;
    let service = Service::on(settings, workspace).await;
    let answer = service.ask("POST", "/run/Quick", "{\"n\": 3}").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    service
}

async fn on_both(check: impl AsyncFn(Service)) {
    check(service(Workspace::open("memory://").unwrap()).await).await;
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("outer/workspace");
    std::fs::create_dir_all(directory.path().join("outer")).unwrap();
    std::fs::write(directory.path().join("outer/secret.txt"), "secret").unwrap();
    check(service(Workspace::open(&inner).unwrap()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_given_with_its_type_and_size() {
    on_both(async |service| {
        let answer = service.get("/artifacts/quick-3.txt").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "012345678901234567890123456789")
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(answer.header("content-length"), Some("30"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert!(
            answer
                .header("content-security-policy")
                .unwrap()
                .contains("sandbox")
        );
        let head = service.ask("HEAD", "/artifacts/quick-3.txt", "").await;
        assert_eq!(
            (head.status, head.header("content-length"), head.body.len()),
            (200, Some("30"), 0)
        );
        assert_refused(&service.get("/artifacts/quick-4.txt").await, 404);
        service.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_given_as_asked_for() {
    on_both(async |service| {
        for (range, status, body, content_range) in [
            ("bytes=0-4", 206, "01234", Some("bytes 0-4/30")),
            ("bytes=25-", 206, "56789", Some("bytes 25-29/30")),
            ("bytes=-3", 206, "789", Some("bytes 27-29/30")),
            ("bytes=28-99", 206, "89", Some("bytes 28-29/30")),
            ("bytes=2-1", 200, "012345678901234567890123456789", None),
            ("bytes=0-1,3-4", 200, "012345678901234567890123456789", None),
            ("pages=1-2", 200, "012345678901234567890123456789", None),
        ] {
            let answer = service
                .ask_with("GET", "/artifacts/quick-3.txt", &[("Range", range)], "")
                .await;
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (status, body),
                "{range}"
            );
            assert_eq!(answer.header("content-range"), content_range, "{range}");
        }
        let answer = service
            .ask_with(
                "GET",
                "/artifacts/quick-3.txt",
                &[("Range", "bytes=30-")],
                "",
            )
            .await;
        assert_refused(&answer, 416);
        assert_eq!(answer.header("content-range"), Some("bytes */30"));
        let headers = [("Range", "bytes=0-4"), ("If-Range", "\"some\"")];
        let answer = service
            .ask_with("GET", "/artifacts/quick-3.txt", &headers, "")
            .await;
        assert_eq!(answer.status, 200);
        service.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_output_comes_whole_and_in_large_parts() {
    on_both(async |service| {
        let bytes: Vec<u8> = (0..5_000_000_u32)
            .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
            .collect();
        service
            .workspace
            .create("large.bin", Bytes::from(bytes.clone()))
            .await
            .unwrap();
        let answer = service.get("/artifacts/large.bin").await;
        assert!(answer.body == bytes);
        let range = [("Range", "bytes=1000-4000999")];
        let answer = service
            .ask_with("GET", "/artifacts/large.bin", &range, "")
            .await;
        assert_eq!(answer.status, 206);
        assert!(answer.body == bytes[1000..4_001_000]);
        service.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_outputs_can_be_reached() {
    on_both(async |service| {
        let kept = service.workspace.list("_kart").await.unwrap();
        assert!(!kept.is_empty());
        for path in [
            kept[0].as_str(),
            "%5fkart/runs",
            "_KART/runs",
            "../secret.txt",
            "..%2fsecret.txt",
            "%2e%2e/secret.txt",
            "%2e%2e%2fsecret.txt",
            "units/../../secret.txt",
            "units/..%2f..%2fsecret.txt",
            "./_kart/x",
            "%2e/_kart/x",
            "/_kart/x",
            "%2f_kart/x",
            "%2fetc/passwd",
            "/etc/passwd",
            "..%5csecret.txt",
            "c:%5cwindows",
            "quick-3.txt%00",
            "quick-3.txt/",
            "units",
            "",
        ] {
            let answer = service.get(&format!("/artifacts/{path}")).await;
            assert!(
                matches!(answer.status, 404),
                "{path}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(!answer.text().contains("root:") && !answer.text().contains("secret"));
        }
        assert_refused(&service.get("/artifacts/%ff").await, 400);
        service.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_task_has_made_and_what_was_cut_off_are_not_given_by_key() {
    on_both(async |service| {
        let key = common::Quick { n: 3 }.key();
        let path = format!("/artifacts/quick-3.txt?key={key}");
        assert_eq!(service.get(&path).await.status, 200);
        let other = common::Quick { n: 4 }.key();
        let other = format!("/artifacts/quick-3.txt?key={other}");
        for method in ["GET", "HEAD"] {
            let answer = service.ask(method, &other, "").await;
            assert_eq!(answer.status, 404, "{method}");
            assert!(!answer.text().contains("0123456789"));
        }
        let (workspace, cut) = (&service.workspace, Bytes::from("0123"));
        workspace.replace("quick-3.txt", cut).await.unwrap();
        assert_refused(&service.get(&path).await, 409);
        service.end().await;
    })
    .await;
}

/// More than one piece of an answer.
#[kart::task(path = "large.bin", format = kart::format::Raw)]
async fn large() -> kart::Result<Vec<u8>> {
    Ok(vec![7; 3 << 20])
}

/// Changes the last byte of a stored file, and keeps what is recorded with it.
fn edit(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of the test")]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_edited_is_refused_or_broken_off() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    kart::build(Large, &workspace).await.unwrap();
    let service = service(workspace).await;
    let whole = service.get("/artifacts/large.bin").await;
    assert_eq!((whole.status, whole.body.len()), (200, 3 << 20));

    edit(&directory.path().join("quick-3.txt"));
    let key = common::Quick { n: 3 }.key();
    for query in ["", &format!("?key={key}")] {
        let answer = service.get(&format!("/artifacts/quick-3.txt{query}")).await;
        assert_refused(&answer, 409);
        assert!(answer.text().contains("quick-3.txt"), "{}", answer.text());
    }
    // It is known at the end of the bytes alone, when the head of the answer is under way.
    edit(&directory.path().join("large.bin"));
    let cut = service.get("/artifacts/large.bin").await;
    assert_eq!(cut.header("content-length"), Some("3145728"));
    assert!(cut.body.len() < 3 << 20, "{}", cut.body.len());
    service.end().await;
}
