//! The messages of a server that does not answer, or refuses.

use redis::{RedisError, ServerError};

use super::Redis;
use crate::error::{Error, ErrorKind};

/// A failure at the server, as an error with its remedy.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the server is of no use for anything at the moment.
    pub(super) is_down: bool,
}

impl Redis {
    /// The connection failed, or could not be made.
    pub(super) fn unreachable(&self, cause: &RedisError) -> Error {
        if let Some(code) = cause.code() {
            return self.refused(code, cause.detail()).error;
        }
        let address = self.address();
        let message = if cause.is_timeout() {
            format!(
                "the server at {address} did not answer within {:?}: look whether it runs, or raise the timeouts",
                self.response_timeout
            )
        } else if cause.kind() == redis::ErrorKind::AuthenticationFailed {
            unauthorized(&address)
        } else {
            format!("the server at {address} cannot be reached: {}", self.without_secrets(&cause.to_string()))
        };
        Error::new(ErrorKind::Server, &message)
    }

    /// The server answered with an error.
    pub(super) fn refusal(&self, cause: &ServerError) -> Failure {
        self.refused(cause.code(), cause.details())
    }

    fn refused(&self, code: &str, detail: Option<&str>) -> Failure {
        let address = self.address();
        let detail = detail.unwrap_or_default();
        let (message, is_down) = match code {
            "OOM" => (
                format!(
                    "the server at {address} is full: raise its maxmemory, or have it evict (maxmemory-policy allkeys-lru)"
                ),
                false,
            ),
            "READONLY" => (
                format!(
                    "the server at {address} is a replica and takes no writes: name the primary in the URL"
                ),
                false,
            ),
            "MISCONF" | "NOREPLICAS" => (
                format!(
                    "the server at {address} refuses writes, because it cannot save or replicate them: {}",
                    self.without_secrets(detail)
                ),
                false,
            ),
            "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" => {
                (format!("the server at {address} is not ready ({code}): it is asked again when it is"), true)
            }
            "NOAUTH" | "WRONGPASS" => (unauthorized(&address), true),
            "NOPERM" => (
                format!(
                    "the user of the URL lacks a permission on the server at {address}: {}; allow it the commands, the keys and the \
                     channels `memolith:*`",
                    self.without_secrets(detail)
                ),
                false,
            ),
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => (
                format!(
                    "the server at {address} is a node of a cluster ({code}), which is not followed: name a single server, or a proxy"
                ),
                true,
            ),
            _ if is_auth(detail) => (unauthorized(&address), true),
            _ if is_unknown(detail) => (
                format!(
                    "the server at {address} lacks a command or an option that is needed: Redis 7.0 or later, or Valkey, has them all"
                ),
                true,
            ),
            _ => (
                format!(
                    "the server at {address} answered with an error: {code} {}",
                    self.without_secrets(detail)
                ),
                false,
            ),
        };
        Failure { error: Error::new(ErrorKind::Server, &message), is_down }
    }

    /// The version of the server is too old.
    pub(super) fn outdated(&self, version: &str) -> Error {
        let address = self.address();
        Error::new(
            ErrorKind::Server,
            format!("the server at {address} is Redis {version}: Redis 7.0 or later, or Valkey, is needed"),
        )
    }

    pub(super) fn unexpected(&self) -> Error {
        Error::new(
            ErrorKind::Server,
            format!("the server at {} gave an answer that does not fit the question", self.address()),
        )
    }

    /// A server may repeat what it was sent.
    fn without_secrets(&self, message: &str) -> String {
        self.secrets().fold(message.to_owned(), |message, secret| message.replace(secret, "***"))
    }
}

fn unauthorized(address: &str) -> String {
    format!("the server at {address} refuses the user or the password: look at them in the URL")
}

fn is_auth(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    detail.contains("auth") && (detail.contains("password") || detail.contains("required"))
}

fn is_unknown(detail: &str) -> bool {
    let detail = detail.to_ascii_lowercase();
    detail.contains("unknown command")
        || detail.contains("syntax error")
        || detail.contains("unknown subcommand")
}
