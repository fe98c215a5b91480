//! Redis and Valkey.
//!
//! * **Keys.** Everything lies under `memolith:{namespace}:`. `v:` and `c:` are values and the leases of computations, `e` and `e:`
//!   the epochs of the namespace and of a memo, `s` the stream of changes; `m` is the channel on which messages wake other machines.
//! * **Connections.** Two for a directory: callers share one, and pack what they ask at the same time into one round trip
//!   (`link`); the thread of the tier listens on the other one (`listener`). Only that thread connects.
//! * **Order.** A change goes to the server first, then to the local store. The stream tells it to the other machines, and each
//!   keeps the position up to which it applied the stream (`journal`).
//! * **Failures.** `link` is the circuit breaker; `failure` has the messages; `retries` are the changes that the server did not get.

mod applied;
mod changes;
mod failure;
mod journal;
mod keeping;
mod keys;
mod leases;
mod link;
mod listener;
mod local;
mod making_up;
mod position;
mod reading;
mod reply;
mod retries;
mod scripts;
mod server;
mod stream;
mod wakes;

pub(crate) use self::{
    local::Local,
    server::RedisServer,
    stream::{LocalChange, ToApply},
};

use std::{fmt, time::Duration};

use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::{
    checksum::checksum,
    error::{Error, ErrorKind, Result},
};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(100);
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
const MAX_VALUE: u64 = 1 << 20;
const LEASE: Duration = Duration::from_secs(10);

/// The shortest lease: it is renewed every third of it, by a thread that looks every quarter of a second.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// The version of the operations that processes of one directory exchange.
const OPERATIONS: u32 = 1;

/// The longest value of a server, 512 MB.
const LARGEST_VALUE: u64 = 512 << 20;

const LONGEST_NAMESPACE: usize = 128;

/// A server of Redis 7.0 or later, or of Valkey, that the stores of several machines share.
///
/// It is given to a store with [`StoreBuilder::remote`](crate::StoreBuilder::remote). To make one connects to nothing: the store
/// connects when it is opened, and again whenever the server is back.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use memolith::remote::Redis;
///
/// let redis = Redis::open("redis://shop:secret@cache.internal:6379/0")?
///     .namespace("shop")
///     .connect_timeout(Duration::from_millis(250))
///     .max_value(256 << 10);
/// assert!(!format!("{redis:?}").contains("secret"));
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "give it to `Store::builder().remote(..)`"]
pub struct Redis {
    info: ConnectionInfo,
    namespace: Option<String>,
    connect_timeout: Duration,
    response_timeout: Duration,
    max_value: u64,
    lease: Duration,
}

impl Redis {
    /// The server at a URL: `redis://[user][:password@]host[:port][/db]`, `rediss://…` over TLS (with the feature `redis-tls`), or
    /// `redis+unix:///path[?db=0]`. It is the server that takes writes. A cluster is not followed, nor a sentinel asked.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if the URL cannot be read, or needs the feature `redis-tls`. The message does not repeat it,
    /// because it may hold a password.
    pub fn open(url: &str) -> Result<Self> {
        let refused = |message: &str| Error::new(ErrorKind::Config, message);
        let info = url.into_connection_info().map_err(|_| {
            refused("the URL of the server cannot be read: write it as redis://user:password@host:6379/0")
        })?;
        if !info.addr().is_supported() {
            return Err(refused(
                "the URL of the server asks for TLS, or for a Unix socket, which this build does not have: enable the feature \
                 `redis-tls`, or use redis://",
            ));
        }
        // Replies have other forms under the newer protocol.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        Ok(Self {
            info: info.set_redis_settings(settings),
            namespace: None,
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            max_value: MAX_VALUE,
            lease: LEASE,
        })
    }

    /// The name of those that share values: stores of one namespace share them, others do not. It has to be set, because two
    /// programs may have memos of one name. Letters, digits, and `-_./:`; at most 128 bytes.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long to wait for a connection; 100 ms unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long to wait for an answer; 500 ms unless set. After that the server is left alone for a second, and for twice as
    /// long after each further failure, up to a minute. No call waits for it meanwhile.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// The longest encoded value in bytes that goes to the server; 1 MiB unless set. A longer one stays on its machine, and
    /// each machine computes its own.
    pub fn max_value(mut self, bytes: u64) -> Self {
        self.max_value = bytes;
        self
    }

    /// How long other machines wait for a computation of a machine that has died; 10 s unless set. While the machine lives it renews
    /// its lease, however long the computation takes.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// # Errors
    ///
    /// Of the kind `config`, for an option that cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::Config, message));
        let Some(namespace) = &self.namespace else {
            return refuse(
                "the server has no namespace: call `namespace(..)` with the name of those that share values",
            );
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
        if namespace.is_empty() || namespace.len() > LONGEST_NAMESPACE || !namespace.bytes().all(is_plain) {
            return refuse(
                "the namespace is empty, longer than 128 bytes, or has other characters than letters, digits and -_./:",
            );
        }
        if self.connect_timeout.is_zero() || self.response_timeout.is_zero() {
            return refuse("a timeout of the server is zero: nothing could ever be answered");
        }
        if self.max_value > LARGEST_VALUE {
            return refuse("`max_value` is more than 512 MiB, which no server takes");
        }
        if self.lease < SHORTEST_LEASE {
            return refuse("the lease is shorter than a second: it could not be renewed in time");
        }
        Ok(())
    }

    fn client(&self) -> redis::RedisResult<Client> {
        // The client takes the provider of the process. One that the program has chosen stays.
        #[cfg(feature = "redis-tls")]
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::open(self.info.clone())
    }

    /// The server without its password.
    fn address(&self) -> String {
        self.info.addr().to_string()
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        self.info.redis_settings().password().into_iter().filter(|secret| !secret.is_empty())
    }

    /// Of the server, its database and user, and the namespace, for processes of one version.
    fn identity(&self) -> u64 {
        let settings = self.info.redis_settings();
        let named = (OPERATIONS, self.address(), settings.db(), settings.username(), &self.namespace);
        checksum(format!("{named:?}").as_bytes())
    }

    /// Whether it names the same server, database, namespace and limits.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let identity = |redis: &Self| {
            let settings = redis.info.redis_settings();
            let user = settings.username().map(str::to_owned);
            let password = settings.password().map(str::to_owned);
            (redis.info.addr().clone(), settings.db(), user, password)
        };
        identity(self) == identity(other)
            && self.namespace == other.namespace
            && (self.connect_timeout, self.response_timeout, self.max_value, self.lease)
                == (other.connect_timeout, other.response_timeout, other.max_value, other.lease)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.address())
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("max_value", &self.max_value)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
