use kart::task;

#[task]
unsafe fn no_safety() -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
const fn constant() -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
extern "C" fn foreign() -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
