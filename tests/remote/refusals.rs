//! A server that refuses: each reason has a message with its remedy, no value is lost, and no password is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::{
    machine::Machine,
    server::{Server, programs, wait_until},
};

/// A server that answers each command by its name.
fn fake(answer: impl Fn(&str) -> String + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{}/0", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || serve(client, &answer));
        }
    });
    url
}

fn serve(mut client: TcpStream, answer: &impl Fn(&str) -> String) -> Option<()> {
    let mut lines = BufReader::new(client.try_clone().ok()?);
    let number = |lines: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    loop {
        let count = number(&mut lines)?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut word = vec![0; number(&mut lines)? + 2];
            lines.read_exact(&mut word).ok()?;
            words.push(String::from_utf8_lossy(&word).trim_end().to_owned());
        }
        client.write_all(answer(&words[0]).as_bytes()).ok()?;
    }
}

/// A machine works beside the server, and says the reason.
#[track_caller]
fn refused(url: &str, says: &[&str]) {
    let machine = Machine::at(url);
    assert_eq!(machine.get("a", "first"), "first");
    assert_eq!(machine.get("a", "second"), "first", "it is on the machine");
    let failure = || [machine.memo.last_failure(), machine.store.last_failure()].into_iter().flatten().next();
    wait_until("it is told", || failure().is_some());
    let failure = failure().unwrap();
    assert!(failure.error.is_server(), "{failure}");
    for says in says {
        assert!(failure.to_string().contains(says), "{failure}");
    }
    for error in [failure.to_string(), format!("{:?}", failure.error), format!("{:?}", machine.store)] {
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = machine.memo.insert("b", &"x".to_owned()).unwrap_err();
    assert!(error.is_server() && !error.to_string().contains("hunter2"), "{error}");
    assert_eq!(machine.memo.get("b").unwrap().as_deref(), Some("x"));
}

#[test]
fn a_server_of_an_old_version() {
    let url = fake(|command| match command {
        "INFO" => "$22\r\nredis_version:6.2.14\r\n\r\n".into(),
        _ => "+OK\r\n".into(),
    });
    refused(&url, &["6.2.14", "7.0"]);
}

#[test]
fn a_server_that_repeats_what_it_was_sent() {
    let url = fake(|command| match command {
        "AUTH" => "-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n".into(),
        _ => "-ERR unknown command, with args beginning with: 'hunter2'\r\n".into(),
    });
    refused(&url, &[]);
}

#[test]
fn a_server_that_is_loading() {
    let url = fake(|command| match command {
        "AUTH" | "CLIENT" => "+OK\r\n".into(),
        _ => "-LOADING Redis is loading the dataset in memory\r\n".into(),
    });
    refused(&url, &["LOADING"]);
}

#[test]
fn a_server_that_answers_with_noise() {
    for noise in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "*3\r\n:1\r\n", "$-7\r\n", "\0\0\0\0", "$999999999999\r\nx"]
    {
        let url = fake(move |_| noise.to_owned());
        refused(&url, &[]);
    }
}

#[test]
fn a_node_of_a_cluster() {
    for program in programs() {
        let server = Server::start(program, &["--cluster-enabled", "yes"]);
        refused(&server.url(), &["cluster"]);
    }
}

#[test]
fn a_server_without_a_command() {
    for program in programs() {
        let server = Server::start(program, &["--rename-command", "EVALSHA", ""]);
        refused(&server.url(), &["command"]);
    }
}
