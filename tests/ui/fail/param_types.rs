use kart::task;

#[task]
async fn opaque(x: impl Send) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn unique(x: &mut u8) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn static_str(x: &'static str) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn nested(x: Option<&str>) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn nested_slice(x: &[&[u8]]) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn twice(x: &&u8) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn lifetime(x: std::borrow::Cow<'_, str>) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn dynamic(x: &dyn Send) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn several(x: (&str, &u8)) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

fn main() {}
