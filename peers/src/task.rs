//! The measurements: sizes, peers, and the three phases of a process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One kind of value, and the number of its calls.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Size {
    pub(crate) name: &'static str,
    /// Of the encoded value. A value over [`FRAME`] is a frame of four columns of `f64`.
    pub(crate) bytes: usize,
    /// The number of keys.
    pub(crate) calls: usize,
    /// How often each key is asked for once it is there.
    pub(crate) passes: usize,
    /// The number of rounds, each in new processes.
    pub(crate) rounds: usize,
}

/// In bytes. From here on values are frames, and each call is timed by itself.
pub(crate) const FRAME: usize = 1 << 20;

/// Of a record of numbers with a name; below it values are such records, and above it texts.
pub(crate) const RECORD: usize = 100;

pub(crate) const SIZES: [Size; 5] = [
    Size { name: "100 B", bytes: RECORD, calls: 2_000, passes: 20, rounds: 3 },
    Size { name: "4 KiB", bytes: 4 << 10, calls: 1_000, passes: 10, rounds: 3 },
    Size { name: "256 KiB", bytes: 256 << 10, calls: 100, passes: 5, rounds: 3 },
    Size { name: "10 M rows", bytes: 320_000_000, calls: 1, passes: 5, rounds: 3 },
    Size { name: "50 M rows", bytes: 1_600_000_000, calls: 1, passes: 3, rounds: 1 },
];

/// The measurement of disk use: values of 256 KiB are written, and the last [`LIVE`] of them stay.
pub(crate) const CHURN: Size = Size { name: "churn", bytes: 256 << 10, calls: 400, passes: 0, rounds: 3 };

/// 8 MiB of them.
pub(crate) const LIVE: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Every key is missed once, and then hit.
    First,
    /// In a new process, every key is hit once.
    Again,
    /// Values come and go.
    Churn,
    /// Several processes ask for the same keys at once.
    Together,
}

/// The argument of a child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) peer: String,
    pub(crate) phase: Phase,
    pub(crate) bytes: usize,
    pub(crate) calls: usize,
    pub(crate) passes: usize,
    pub(crate) live: usize,
    /// The number of the process, of several at once.
    pub(crate) process: usize,
    pub(crate) directory: PathBuf,
}

/// The answer of a child. Times are in seconds a call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Found {
    /// The first call of a key, without the computation.
    pub(crate) miss: Option<f64>,
    pub(crate) hit: Option<f64>,
    /// The number of computations.
    pub(crate) computed: Option<usize>,
    /// The largest resident size of the process, in bytes.
    pub(crate) peak: Option<u64>,
    /// Why there are no figures.
    pub(crate) refused: Option<String>,
}

impl Found {
    pub(crate) fn refused(reason: impl ToString) -> Self {
        Self { refused: Some(reason.to_string()), ..Self::default() }
    }
}

/// A row of the tables.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// In Cargo.lock, or among the packages of Python; empty for a row without a version.
    pub(crate) package: &'static str,
    pub(crate) is_python: bool,
    /// Its use, for a reader of its figures.
    pub(crate) note: &'static str,
}

const fn rust(name: &'static str, package: &'static str, note: &'static str) -> Peer {
    Peer { name, package, is_python: false, note }
}

const fn python(name: &'static str, package: &'static str, note: &'static str) -> Peer {
    Peer { name, package, is_python: true, note }
}

/// All ratios are taken to this row.
pub(crate) const OURS: &str = "memolith";

pub(crate) const PEERS: [Peer; 19] = [
    rust(
        "files by hand",
        "",
        "No cache: a miss is one `write` of the raw bytes, a hit one `clone()` out of a `HashMap`, a hit \
        after restart one `read`.",
    ),
    rust(OURS, "memolith", "Each hit is the caller's own value."),
    rust(
        "memolith, packed",
        "memolith",
        "The same, its columns under `#[serde(with = \"memolith::packed\")]`.",
    ),
    rust(
        "memolith, `Arc<V>`",
        "memolith",
        "Hits share one value. The memory budget is 4 GiB, so that a frame fits.",
    ),
    rust(
        "memolith, in a task",
        "memolith",
        "`future::Memo` in a task of a tokio runtime with one thread. foyer is called in such a task too.",
    ),
    rust("cached, disk, in a task", "cached", "Its async interface, on a tokio runtime with two threads."),
    rust("moka, in a task", "moka", "`moka::future` in a task of a tokio runtime with one thread."),
    rust(
        "cached, disk",
        "cached",
        "The default: each store is one transaction with fsync. Values in MessagePack, by redb.",
    ),
    rust(
        "cached, disk, not durable",
        "cached",
        "`durable(false)`, and one `flush` at the end: a crash before it loses \
        everything.",
    ),
    rust(
        "foyer",
        "foyer",
        "Memory and disk, `WriteOnInsertion`; stored later by a task of its own, so a miss does not \
        wait for the disk. Hits from memory share one value.",
    ),
    rust(
        "cacache",
        "cacache",
        "Files by the SHA-256 of their content, verified at each read; the values as postcard.",
    ),
    rust("redb", "redb", "By hand: postcard, one transaction a value without fsync, one with it at the end."),
    rust("sled", "sled", "By hand: postcard, `flush` at the end."),
    rust("moka", "moka", "Memory only, without a bound on bytes."),
    rust("quick_cache", "quick_cache", "Memory only, without a bound on bytes."),
    python(
        "Streamlit",
        "streamlit",
        "`st.cache_data(persist=\"disk\")`, outside of its server but with the server's own \
        storage on disk. Hits in one process unpickle from memory.",
    ),
    python("joblib", "joblib", "`Memory(mmap_mode=None)`."),
    python(
        "joblib, mmap",
        "joblib",
        "`Memory(mmap_mode=\"r\")`: a hit is a view of the file, which is read later.",
    ),
    python("diskcache", "diskcache", "`Cache.memoize`, SQLite and files."),
];
