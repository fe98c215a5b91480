//! The values: a record of 100 bytes, a text, a frame of four columns.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::task::{RECORD, Size, Task};

pub(crate) trait Value: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// A value of about `bytes` bytes, and another one for each number.
    fn sample(bytes: usize, number: usize) -> Self;

    /// For bounds in bytes.
    fn weight(&self) -> usize;

    /// The bytes alone, without any format.
    fn write(&self, path: &Path) -> io::Result<()>;

    fn read(path: &Path) -> io::Result<Self>;
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    station: String,
    at: u64,
    values: [f64; 8],
}

impl Value for Record {
    fn sample(bytes: usize, number: usize) -> Self {
        assert_eq!(bytes, RECORD);
        let at = 1_767_225_600_000_000 + number as u64;
        Self { station: format!("station {number:019}"), at, values: [0.1 + number as f64; 8] }
    }

    fn weight(&self) -> usize {
        RECORD
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, postcard::to_stdvec(self).map_err(io::Error::other)?)
    }

    fn read(path: &Path) -> io::Result<Self> {
        postcard::from_bytes(&fs::read(path)?).map_err(io::Error::other)
    }
}

impl Value for String {
    fn sample(bytes: usize, number: usize) -> Self {
        let mut text = format!("{number:020}");
        text.extend(std::iter::repeat_n('x', bytes - 20));
        text
    }

    fn weight(&self) -> usize {
        self.len()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self)
    }

    fn read(path: &Path) -> io::Result<Self> {
        fs::read_to_string(path)
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Frame {
    columns: [Vec<f64>; 4],
}

impl Value for Frame {
    fn sample(bytes: usize, number: usize) -> Self {
        let rows = bytes / 4 / size_of::<f64>();
        let column = |column: usize| (0..rows).map(|row| (row + column + number) as f64).collect();
        Self { columns: std::array::from_fn(column) }
    }

    fn weight(&self) -> usize {
        self.columns.iter().map(|column| column.len() * size_of::<f64>()).sum()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        self.columns.iter().try_for_each(|column| file.write_all(bytemuck::cast_slice(column)))
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let rows = file.metadata()?.len() as usize / 4 / size_of::<f64>();
        let mut columns = [(); 4].map(|()| vec![0.0_f64; rows]);
        columns.iter_mut().try_for_each(|column| file.read_exact(bytemuck::cast_slice_mut(column)))?;
        Ok(Self { columns })
    }
}

/// The same frame with its columns packed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PackedFrame {
    #[serde(with = "memolith::packed")]
    columns: Vec<Vec<f64>>,
}

impl Value for PackedFrame {
    fn sample(bytes: usize, number: usize) -> Self {
        Self { columns: Frame::sample(bytes, number).columns.into() }
    }

    fn weight(&self) -> usize {
        self.columns.iter().map(|column| column.len() * size_of::<f64>()).sum()
    }

    fn write(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Task {
    pub(crate) fn new(
        peer: &str,
        phase: crate::task::Phase,
        size: &Size,
        directory: std::path::PathBuf,
    ) -> Self {
        let Size { bytes, calls, passes, .. } = *size;
        Self {
            peer: peer.to_owned(),
            phase,
            bytes,
            calls,
            passes,
            live: crate::task::LIVE,
            process: 0,
            directory,
        }
    }
}
