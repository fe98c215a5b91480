//! Processing an image. Shows a `codec` of one's own: the result is a type of another crate, which does not support
//! serde.
//!
//! ```text
//! # run it twice: the second time is a hit
//! cargo run -p examples --features pictures --example image_processing
//! # another picture, and the file of the small one
//! cargo run -p examples --features pictures --example image_processing -- picture.png small.png
//! ```

use std::{env, error::Error, io::Write, path::Path};

use image::{ImageError, RgbImage, imageops};
use memolith::{
    codec::{Codec, Payload, Shape},
    memo,
};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/frame-cost.png");

/// A small, soft copy, `width` pixels wide. A type of one's own around the picture, with serde's `into` and `from`,
/// would do as well. With a codec the function returns the type that the rest of the program uses.
#[memo(files(path), codec = Pixels)]
fn thumbnail(path: &Path, width: u32) -> Result<RgbImage, ImageError> {
    let picture = image::open(path)?.into_rgb8();
    let height = picture.height() * width / picture.width();
    Ok(imageops::blur(&imageops::thumbnail(&picture, width, height), 1.0))
}

/// Pictures as their size and their pixels.
///
/// The memo checks the bytes by checksums, so the codec must only check that they are exactly one picture. Change
/// `id` when the bytes change: values under another `id` are never read.
struct Pixels;

impl Codec<RgbImage> for Pixels {
    fn id(&self) -> &'static str {
        "pixels/1"
    }

    fn shape(&self) -> memolith::Result<Shape> {
        Ok(Shape::named("width, height, rgb8"))
    }

    fn encode(&self, picture: &RgbImage, out: &mut dyn Write) -> memolith::Result<()> {
        out.write_all(&picture.width().to_le_bytes())?;
        out.write_all(&picture.height().to_le_bytes())?;
        Ok(out.write_all(picture.as_raw())?)
    }

    fn decode(&self, payload: &Payload) -> memolith::Result<RgbImage> {
        let picture = || {
            let (width, rest) = payload.split_first_chunk()?;
            let (height, pixels) = rest.split_first_chunk()?;
            let (width, height) = (u32::from_le_bytes(*width), u32::from_le_bytes(*height));
            let picture = RgbImage::from_raw(width, height, pixels.to_vec())?;
            (3 * picture.pixels().len() == pixels.len()).then_some(picture)
        };
        picture().ok_or_else(|| memolith::Error::other("not a picture"))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().unwrap_or_else(|| PICTURE.into());
    let path = Path::new(&path);
    let small = timed::memo(thumbnail_memo(), path.display(), || thumbnail(path, 200))?;
    println!("{} x {} pixels", small.width(), small.height());
    if let Some(to) = arguments.next() {
        small.save(&to)?;
        println!("written to {}", to.display());
    }
    timed::kept();
    Ok(())
}
