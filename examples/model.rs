//! A model that is loaded once and read by many threads, with its answers remembered on disk beside it.
//!
//! ```text
//! cargo run --release --example model
//! ```
//!
//! The model is in a pool: everybody reads the same weights, and they are loaded anew when the file changes, because
//! the key is the file's stamp. The answers serialize, so they are a memo's.

use std::{error::Error, fs, path::Path, sync::Arc, thread, time::Instant};

use memolith::{FileStamp, Memo, ResourcePool, Store};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const INPUTS: usize = 256;
const OUTPUTS: usize = 4096;

/// One layer, row by row.
struct Model {
    weights: Vec<f32>,
}

impl Model {
    fn load(path: &Path) -> Result<Self> {
        let start = Instant::now();
        let bytes = fs::read(path)?;
        let weights = bytes.as_chunks::<4>().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
        println!("loaded {} MiB of weights in {:.1?}", bytes.len() >> 20, start.elapsed());
        Ok(Self { weights })
    }

    /// Which output answers strongest.
    fn classify(&self, input: &[f32]) -> usize {
        let strength = |row: &[f32]| row.iter().zip(input).map(|(weight, x)| weight * x).sum::<f32>();
        let rows = self.weights.chunks_exact(INPUTS).map(strength).enumerate();
        rows.max_by(|(_, one), (_, other)| one.total_cmp(other)).map_or(0, |(class, _)| class)
    }
}

fn model(pool: &ResourcePool, path: &Path) -> Result<Arc<Model>> {
    pool.get_or_try_insert_with(&FileStamp::of(path)?, || Model::load(path))
}

/// The answer depends on the weights and on the input: both are the key.
fn classify(
    pool: &ResourcePool,
    answers: &Memo<(FileStamp, u32), usize>,
    path: &Path,
    number: u32,
) -> Result<usize> {
    let stamp = FileStamp::of(path)?;
    answers.get_or_try_insert_with(&(stamp, number), || Ok(model(pool, path)?.classify(&input(number))))
}

fn input(number: u32) -> Vec<f32> {
    (0..INPUTS as u32).map(|place| noise(number.wrapping_mul(7919).wrapping_add(place))).collect()
}

/// Not random at all, but it looks so.
fn noise(seed: u32) -> f32 {
    let mixed = (seed ^ seed >> 16).wrapping_mul(0x45d9_f3b5);
    f32::from((mixed ^ mixed >> 15) as u16) / f32::from(u16::MAX) - 0.5
}

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("weights.bin");
    let weights = |shift: u32| -> Vec<u8> {
        (0..(INPUTS * OUTPUTS) as u32).flat_map(|place| noise(place + shift).to_le_bytes()).collect()
    };
    fs::write(&path, weights(0))?;

    // Old weights are let go when new ones come.
    let pool = ResourcePool::builder().max_entries(1).build()?;
    let store = Store::open(directory.path().join("cache"))?;
    let answers = Memo::builder("answers").open(&store)?;

    let ask = || -> Result<()> {
        let start = Instant::now();
        let classes = thread::scope(|scope| {
            let (pool, answers, path) = (&pool, &answers, path.as_path());
            let callers: Vec<_> = (0..4)
                .map(|number| {
                    scope.spawn(move || classify(pool, answers, path, number).map_err(|e| e.to_string()))
                })
                .collect();
            callers
                .into_iter()
                .map(|caller| caller.join().map_err(|_| "a caller panicked")?)
                .collect::<Result<Vec<_>, _>>()
        })?;
        println!("classes {classes:?} in {:.1?}", start.elapsed());
        Ok(())
    };
    println!("four threads ask:");
    ask()?;
    println!("they ask again, and the model is not even looked at:");
    ask()?;
    println!("the weights change on disk:");
    fs::write(&path, [weights(1), vec![0; 4 * INPUTS]].concat())?;
    ask()?;
    println!("{} model in the pool", pool.len());
    Ok(())
}
