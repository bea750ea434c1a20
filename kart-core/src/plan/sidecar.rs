//! Where sidecars are: the objects that say which key wrote a path without a key.

const SIDECARS: &str = "_kart/paths/";
const EXTENSION: &str = ".key";

/// Returns the path of the sidecar of a path without a key.
///
/// On a disk nothing lies below a file, and `x.key` is the sidecar of `x`. So a folder that is called `x.key` gets a `_`
/// at its end, as does one that is called `x.key_`.
pub(crate) fn sidecar(path: &str) -> String {
    let (folders, name) = split(path);
    let folders = folders.map(|folder| {
        let more = if is_like_a_sidecar(folder) { "_" } else { "" };
        format!("{folder}{more}/")
    });
    format!("{SIDECARS}{}{name}{EXTENSION}", folders.collect::<String>())
}

/// Returns the path whose sidecar that is.
pub fn path_of_sidecar(sidecar: &str) -> Option<String> {
    let path = sidecar.strip_prefix(SIDECARS)?.strip_suffix(EXTENSION)?;
    let (folders, name) = split(path);
    let folders = folders.map(|folder| {
        let shorter = folder.strip_suffix('_');
        let shorter = shorter.filter(|folder| is_like_a_sidecar(folder));
        format!("{}/", shorter.unwrap_or(folder))
    });
    Some(folders.collect::<String>() + name)
}

/// The folders of a path, and what it is called in the last of them.
fn split(path: &str) -> (impl Iterator<Item = &str>, &str) {
    let (folders, name) = match path.rsplit_once('/') {
        Some((folders, name)) => (Some(folders), name),
        None => (None, path),
    };
    (folders.into_iter().flat_map(|it| it.split('/')), name)
}

fn is_like_a_sidecar(folder: &str) -> bool {
    folder.trim_end_matches('_').ends_with(EXTENSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_sidecar_of_its_own_and_no_folder_is_called_like_one() {
        for (path, expected) in [
            ("x", "_kart/paths/x.key"),
            ("a/x.key", "_kart/paths/a/x.key.key"),
            ("x.key/y", "_kart/paths/x.key_/y.key"),
            ("x.key_/y", "_kart/paths/x.key__/y.key"),
            ("a/.key/x_/y", "_kart/paths/a/.key_/x_/y.key"),
        ] {
            assert_eq!(sidecar(path), expected);
            assert_eq!(path_of_sidecar(expected).as_deref(), Some(path));
        }
        assert_eq!(path_of_sidecar("_kart/steps/x.key"), None);
    }
}
