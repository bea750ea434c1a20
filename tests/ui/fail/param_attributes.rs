use kart::task;

#[task]
async fn bare(#[param] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn misspelt(#[param(secrt, defualt = 1)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn twice(#[param(secret, secret)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn both(#[param(secret, insignificant)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn no_value(#[param(default)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn flag(#[param(secret = true)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn two_attributes(#[param(secret)] #[param(default = 1)] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

#[task]
async fn two_roles(#[resource] #[param(secret)] #[context] _x: u8) -> anyhow::Result<u8> {
    Ok(1)
}

fn main() {}
