//! A model that is loaded once and read by many threads. Shows a key of one's own: with new weights it is loaded anew.
//!
//! ```text
//! cargo run -p examples --example model
//! ```
//!
//! Loaded weights are in memory only: they are loaded once a process, and the hits are in the same run. The answers
//! of a model can be serialized, and may be kept on disk: see the example `inference`.

use std::{error::Error, fs, io, path::Path, sync::Arc, thread};

use memolith::{FileStamp, ResourcePool};

const INPUTS: usize = 256;
const OUTPUTS: usize = 1024;

/// One layer, row by row.
struct Model {
    weights: Vec<f32>,
}

impl Model {
    fn load(path: &Path) -> io::Result<Self> {
        timed::ran();
        let bytes = fs::read(path)?;
        let weights = bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        Ok(Self { weights })
    }

    /// Which output answers strongest.
    fn classify(&self, input: &[f32]) -> usize {
        let strength = |row: &[f32]| row.iter().zip(input).map(|(weight, x)| weight * x).sum::<f32>();
        let rows = self.weights.chunks_exact(INPUTS).map(strength).enumerate();
        rows.max_by(|(_, one), (_, other)| one.total_cmp(other)).map_or(0, |(class, _)| class)
    }
}

/// The key is the stamp of the file, so all callers read the same weights until the file changes.
fn model(pool: &ResourcePool, path: &Path) -> Result<Arc<Model>, Box<dyn Error + Send + Sync>> {
    pool.get_or_try_insert_with(&FileStamp::of(path)?, || Ok(Model::load(path)?))
}

/// From four threads at once.
fn ask(pool: &ResourcePool, path: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let classes = thread::scope(|scope| {
        let answer = |number| {
            let model = timed::resource(format_args!("question {number}"), || model(pool, path));
            model.map(|model| model.classify(&input(number)))
        };
        let callers = [0, 1, 2, 3].map(|number| scope.spawn(move || answer(number)));
        let answers = callers.into_iter().map(|caller| caller.join().map_err(|_| "a caller panicked")?);
        answers.collect::<Result<Vec<_>, _>>()
    })?;
    println!("answered by classes {classes:?}");
    Ok(())
}

fn input(number: u32) -> Vec<f32> {
    (0..INPUTS as u32).map(|place| noise(number.wrapping_mul(7919).wrapping_add(place))).collect()
}

/// A number that looks random, and is the same in each run.
fn noise(seed: u32) -> f32 {
    let mixed = (seed ^ seed >> 16).wrapping_mul(0x45d9_f3b5);
    f32::from((mixed ^ mixed >> 15) as u16) / f32::from(u16::MAX) - 0.5
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("weights.bin");
    let weights = |from: u32| -> Vec<u8> {
        (from..from + (INPUTS * OUTPUTS) as u32).flat_map(|place| noise(place).to_le_bytes()).collect()
    };
    fs::write(&path, weights(0))?;

    // Old weights are released when new ones come.
    let pool = ResourcePool::builder().max_entries(1).build()?;
    ask(&pool, &path)?;
    println!("asked again:");
    ask(&pool, &path)?;
    println!("the weights change on disk:");
    fs::write(&path, [weights(1), vec![0; 4 * INPUTS]].concat())?;
    ask(&pool, &path)?;
    println!("{} model in the pool", pool.len());
    Ok(())
}
