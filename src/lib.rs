//! memolith remembers the results of slow functions on disk.

mod builder;
mod checksum;
mod clock;
pub mod codec;
mod error;
mod flight;
mod flow;
mod key;
mod memo;
mod memory;
pub mod observe;
mod record;
mod shape;
mod stamp;
pub mod stats;
mod store;
mod sync;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
#[cfg(not(feature = "testing"))]
mod testing;

pub use crate::{
    builder::MemoBuilder,
    error::{Error, Result},
    memo::Memo,
    stamp::FileStamp,
    stats::Stats,
    store::{Store, StoreBuilder, Swept},
};
