use super::*;
use crate::format::File;

#[tokio::test]
async fn what_a_power_cut_tears_is_no_output_where_the_sidecar_was_not_written_yet() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    workspace.inner.keeps_metadata.set(Keeps::No);
    let key = Key::of(b"task");
    for (path, is_keyed) in [("plain.txt", false), ("keyed.txt", true)] {
        let publish = |content| {
            let provenance = Provenance::new(key, "Task", 4);
            let workspace = workspace.clone();
            async move {
                let output = Publication {
                    path,
                    content,
                    mode: Mode::Create,
                    is_keyed,
                    provenance: &provenance,
                };
                workspace.publish(output, &CommitGuard::open()).await
            }
        };
        let missing = File::at(directory.path().join("missing"));
        publish(Content::File(&missing)).await.unwrap_err();
        std::fs::write(directory.path().join(path), "").unwrap();
        let address = OutputAddress {
            path: path.into(),
            maker: Maker::Task(key),
        };
        let state = async || {
            let addresses = std::slice::from_ref(&address);
            workspace.output_states(addresses).await.unwrap().remove(0)
        };
        assert_eq!(state().await, OutputState::Unfinished);
        std::fs::remove_file(directory.path().join(path)).unwrap();
        let content = Content::Bytes(Bytes::from_static(b"text"));
        assert!(publish(content.clone()).await.unwrap());
        assert!(state().await.is_complete());
        if is_keyed {
            assert!(!publish(content).await.unwrap());
            assert!(
                state().await.provenance().is_some(),
                "the first record stays"
            );
        }
    }
}
