//! Raw identifiers, names that generated code uses itself, and tasks of all visibilities.
#![deny(warnings, missing_docs, unreachable_pub)]

use kart::task;

/// The names of generated locals are the user's to use.
#[task(path = "{name}/{ext}.json")]
pub async fn r#type(
    r#match: u8,
    name: &str,
    ext: &str,
    call: u8,
    params: u8,
    requires: u8,
    formatter: u8,
    wire: u8,
    r#fn: u8,
) -> anyhow::Result<u8> {
    let _ = (name, ext);
    Ok(r#match + call + params + requires + formatter + wire + r#fn)
}

/// A type with the name of a type parameter somewhere.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct D;

/// Uses it.
#[task]
pub async fn uses_d(
    d: &D,
    #[requires(Type { r#match: 1, name: String::new(), ext: String::new(), call: 1, params: *uses_d, requires: 1, formatter: 1, wire: 1, r#fn: 1 })]
    x: u8,
    uses_d: &u8,
) -> anyhow::Result<D> {
    let _ = (d, x, uses_d);
    Ok(D)
}

/// Chooses it.
#[task]
pub async fn chooses_d(#[requires] d: &D) -> anyhow::Result<u8> {
    let _ = d;
    Ok(1)
}

mod inner {
    use kart::task;

    #[task(struct = Renamed, name = "other/Name")]
    pub(crate) async fn visible(x: u8) -> anyhow::Result<u8> {
        Ok(x)
    }

    #[task]
    pub(super) async fn to_parent(#[requires(Private { x: 1 })] x: u8) -> anyhow::Result<u8> {
        Ok(x)
    }

    #[task]
    async fn private(#[param(default = 2)] x: u8) -> anyhow::Result<u8> {
        Ok(x)
    }
}

fn main() {
    #[task]
    async fn local(n: u8, #[requires(Local { n: n + 1 })] next: u8) -> anyhow::Result<u8> {
        Ok(next)
    }

    let _ = (Local { n: 1 }, inner::Renamed { x: 1 }, inner::ToParent);
    let _ = ChoosesD {
        d: UsesD { d: D, uses_d: 1 }.into(),
    };
}
