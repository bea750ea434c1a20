use kart::task;

#[task]
async fn conditional(#[cfg(unix)] _x: u8, #[cfg_attr(unix, allow(unused))] _y: u8) -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
