//! Several processes on one directory: the process that holds LOCK is the host, all others are guests and talk to it over
//! SOCKET.

#![allow(dead_code, unused_imports, reason = "it has no caller yet")]

mod socket;
