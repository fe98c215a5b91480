//! Tracked inputs: files, environment variables and provided values that a memoized function reads while it runs.
//!
//! A memoized function may depend on more than its key: a configuration file, a variable of the environment, the settings of the
//! caller. A function that reads them by this module need not have them in its key. Its computation notes each input with a
//! fingerprint of the answer, and a later call gets the stored value only while each of these inputs has the same answer.
//!
//! ```
//! use memolith::{Memo, Store, inputs};
//!
//! # let folder = tempfile::tempdir()?;
//! # let config = folder.path().join("prices.toml");
//! # std::fs::write(&config, "7")?;
//! let store = Store::temporary()?;
//! let totals: Memo<u64, u64> = Memo::builder("totals").open(&store)?;
//! let total = |rides: u64| {
//!     totals.get_or_insert_with(&rides, || {
//!         let price = inputs::read_to_string(&config).unwrap(); // noted
//!         rides * price.trim().parse::<u64>().unwrap()
//!     })
//! };
//! assert_eq!(total(6), 42);
//! assert_eq!(total(6), 42); // a hit
//! std::fs::write(&config, "8")?;
//! assert_eq!(total(6), 48); // the file has changed: computed again
//! std::fs::write(&config, "7")?;
//! assert_eq!(total(6), 42); // a hit: the value of each answer is kept
//! assert_eq!(totals.stats().inserts, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Inputs
//!
//! | function | input | answers that differ |
//! |---|---|---|
//! | [`read`], [`read_to_string`] | the contents of a file | other contents; the file is not there |
//! | [`exists`] | a path | there is something; there is nothing |
//! | [`list`] | the names in a folder | other names; the folder is not there |
//! | [`env()`] | an environment variable | another value; it is not set |
//! | [`get`] | a value that a [`scope`] around the call provides | another value, by its encoding as a key: 1 and 1.0 differ |
//!
//! A path is noted as it was given, and so a relative path is a file of the current folder of each call. Equal contents are an
//! equal answer: a file that was touched, or checked out again, is no miss.
//!
//! # Computations that note an input
//!
//! Each computation that is under way around the reading notes it: the memoized function that reads, the one that called it, and
//! so on. The hit of an inner call passes its inputs on to the computations around it. A provided value is noted by the
//! computations *within* the scope that provides it, because the code around that scope chooses the value itself.
//!
//! Outside of memoized functions the functions of this module do just their work.
//!
//! # When a value is a hit again
//!
//! All values that a key had under different answers are its *variants*. A lookup compares the variants with the answers of
//! today, the newest variant first, and stops at the first input of a variant that differs. [`remove`](crate::Memo::remove) and
//! [`insert`](crate::Memo::insert) drop all variants of the key.
//!
//! A key keeps up to 64 variants, and up to 64 KiB for the names and fingerprints of their inputs; the oldest leave first. Inputs
//! suit answers that change now and then. Answers that many callers vary belong in the key: five sliders with ten positions each
//! have 100,000 permutations, and as provided values they would push each other out.
//!
//! # Results that are not stored
//!
//! The caller gets its value in any case. The value is not stored, and
//! [`Memo::last_failure`](crate::Memo::last_failure) tells the reason, if
//!
//! - an input had two answers during one computation: the file was edited in between;
//! - an input could not be read for another reason than that it is not there, or a file is no regular file;
//! - no scope provides the value that [`get`] asked for, or the value cannot be serialized;
//! - the computation read more than 1,024 inputs, or more than 64 KiB for their names and fingerprints.
//!
//! # Changes that are not noticed
//!
//! - Inputs that are read by other means: `std::fs`, `std::env`, a library, a child process, the network, a clock.
//! - Inputs that are read on a thread or in a task that the function starts without its [`Context`](crate::Context).
//! - Inputs that a resource of a pool read when it was built. Only the computations during which it was built note them.
//! - A change of the current folder *during* the computation: the lookup resolves a relative path where it is called.
//! - A change of the environment during the computation, after the variable was read. The next call notices it.
//! - A write through a shared memory map before the system dates it, and an edit on a network file system before this machine
//!   hears of it.
//!
//! # Threads and tasks
//!
//! The threads that a function starts do not know its computation. [`Context::run`](crate::Context::run) tells them, with
//! `std::thread::scope` and in a thread pool such as rayon alike. It hands the provided values on too.
//!
//! ```
//! use memolith::{Context, Memo, Store, inputs};
//!
//! # let folder = tempfile::tempdir()?;
//! # let paths = ["a", "b"].map(|name| folder.path().join(name));
//! # paths.iter().for_each(|path| std::fs::write(path, "text").unwrap());
//! let store = Store::temporary()?;
//! let sizes: Memo<str, usize> = Memo::builder("sizes").open(&store)?;
//! let size = sizes.get_or_insert_with("all", || {
//!     let context = Context::current();
//!     std::thread::scope(|scope| {
//!         let readers = paths.each_ref().map(|path| {
//!             let context = &context;
//!             scope.spawn(move || context.run(|| inputs::read(path).unwrap().len()))
//!         });
//!         readers.into_iter().map(|reader| reader.join().unwrap()).sum()
//!     })
//! });
//! assert_eq!(size, 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In async code the futures that a function awaits belong to its computation without that. A spawned task needs
//! [`Context::wrap`](crate::Context::wrap). A scope follows a task by [`Scope::wrap`].
//!
//! # Values of the caller
//!
//! ```
//! use memolith::{Memo, Store, inputs};
//!
//! let store = Store::temporary()?;
//! let lengths: Memo<u32, String> = Memo::builder("lengths").open(&store)?;
//! let length = |meters: u32| {
//!     lengths.get_or_insert_with(&meters, || match inputs::get::<String>("units").as_deref() {
//!         Ok("imperial") => format!("{:.0} ft", f64::from(meters) / 0.3048),
//!         _ => format!("{meters} m"),
//!     })
//! };
//! for (units, shown) in [("metric", "3 m"), ("imperial", "10 ft"), ("metric", "3 m")] {
//!     inputs::scope(|scope| {
//!         scope.provide("units", units);
//!         assert_eq!(length(3), shown);
//!     });
//! }
//! assert_eq!(lengths.stats().inserts, 2); // the third call is a hit
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # Cost of a lookup
//!
//! Each input of the newest variant is asked at each call, also if the value is in memory. A hit of a value with one input takes
//! about 1 us longer than one without. A further file takes some 0.6 us: one look at its length and times. A further
//! provided value takes 0.3 us. A folder is listed at each lookup.
//!
//! A file is read again only if its length or times differ from those at the computation. Those of a file that was written
//! less than 2 s before are not trusted: while it is that young it is read at each lookup, and after that once a process.
//!
//! In a task, a call of a memo with variants looks on another thread, because a lookup may read files.

mod scope;
mod system;

pub use self::{
    scope::{Scope, get, scope},
    system::{env, exists, list, read, read_to_string},
};
