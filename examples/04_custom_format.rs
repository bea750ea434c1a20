//! A format of one's own: pictures as PGM, which any viewer opens.
//!
//! ```text
//! cargo run --example 04_custom_format
//! ```

use std::str::FromStr;

use kart::format::Format;
use kart::{BoxError, Workspace, task};

/// A picture in shades of grey. It is neither `Serialize` nor `Clone`: only its format is asked.
struct Picture {
    width: usize,
    /// Row by row.
    pixels: Vec<u8>,
}

/// The binary PGM of the Netpbm tools: a header of three lines, then a byte for each pixel.
struct Pgm;

impl Format<Picture> for Pgm {
    const EXTENSION: &'static str = "pgm";
    const MEDIA_TYPE: &'static str = "image/x-portable-graymap";

    fn encode(picture: &Picture) -> Result<bytes::Bytes, BoxError> {
        let Picture { width, pixels } = picture;
        if *width == 0 || pixels.len() % width != 0 {
            // The task fails with this, and nothing is written.
            return Err(format!("{} pixels are no rows of {width}", pixels.len()).into());
        }
        let mut file = format!("P5\n{width} {}\n255\n", pixels.len() / width).into_bytes();
        file.extend(pixels);
        Ok(file.into())
    }

    /// What is not this format from the first byte to the last is an error, which the run reports
    /// with the name of the object.
    fn decode(bytes: bytes::Bytes) -> Result<Picture, BoxError> {
        let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
        let mut line = || lines.next().ok_or("the file ends in its header");
        let (magic, size, depth, pixels) = (line()?, line()?, line()?, line()?);
        if (magic, depth) != (b"P5", b"255") {
            return Err("not a binary PGM of 8 bits".into());
        }
        let size = std::str::from_utf8(size)?;
        let (width, height) = size.split_once(' ').ok_or("no size in the second line")?;
        let (width, height) = (usize::from_str(width)?, usize::from_str(height)?);
        if pixels.len() != width * height {
            return Err(format!("{} pixels instead of {size}", pixels.len()).into());
        }
        Ok(Picture {
            width,
            pixels: pixels.to_vec(),
        })
    }
}

/// The Mandelbrot set. The path says where the picture goes; its format, which no extension of
/// kart's own names, is given.
#[task(format = Pgm, path = "mandelbrot-{width}x{height}.pgm")]
fn mandelbrot(width: u16, height: u16) -> kart::Result<Picture> {
    let mut pixels = Vec::new();
    for row in 0..height {
        let y = f64::from(row) * 2.4 / f64::from(height) - 1.2;
        for column in 0..width {
            let x = f64::from(column) * 3.0 / f64::from(width) - 2.2;
            pixels.push(shade(x, y));
        }
    }
    Ok(Picture {
        width: width.into(),
        pixels,
    })
}

/// Black for what stays near, lighter the sooner it goes away.
fn shade(x: f64, y: f64) -> u8 {
    let (mut re, mut im) = (0.0, 0.0);
    for step in 0..=255_u8 {
        (re, im) = (re * re - im * im + x, 2.0 * re * im + y);
        if re * re + im * im > 4.0 {
            return 255 - step;
        }
    }
    0
}

/// A picture in letters, for terminals.
#[task(path = "mandelbrot.txt")]
fn letters(
    #[requires(Mandelbrot { width: 72, height: 24 })] picture: &Picture,
) -> kart::Result<String> {
    let letter = |shade: &u8| match shade {
        0 => '#',
        1..=245 => '+',
        246..=252 => '.',
        _ => ' ',
    };
    let rows = picture.pixels.chunks(picture.width);
    let lines = rows.map(|row| row.iter().map(letter).collect::<String>() + "\n");
    Ok(lines.collect())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let workspace = Workspace::open("./kart-workspace/pictures")?;
    print!("{}", kart::build(Letters, &workspace).await?);
    println!("{}", workspace.display_url("mandelbrot-72x24.pgm"));
    Ok(())
}
