//! The calls of a guest that the worker of the store answers.

use super::{
    super::{
        answers::{self, done, flag, later, swept, tally, walk},
        bulk::{self, Sending},
        host::Host,
        message::{Answer, Bulk, Call, encode, failed},
    },
    Broken, Guest,
};
use crate::{
    background,
    clock::Timestamp,
    error::Error,
    key::Digest,
    store::{generation::GenerationId, partition::Partition, worker::Request},
};

impl Guest {
    /// Everything that the worker answers.
    pub(super) fn request(
        &mut self,
        host: &Host,
        number: u32,
        call: &Call<'_>,
    ) -> std::result::Result<(), Broken> {
        match *call {
            Call::Remove { memo, digest } => {
                let (memo, digest) = (self.partition(memo)?.registration(), Digest::from_bytes(digest));
                self.ask(host, number, |reply| Request::Remove { memo, digest, reply }, flag);
            }
            Call::Clear { memo } => {
                let memo = self.partition(memo)?.registration();
                self.ask(host, number, |reply| Request::Clear { memo, reply }, done);
            }
            Call::RemoveOf { generation, digest, unless_since } => {
                let (generation, digest) = (GenerationId(generation), Digest::from_bytes(digest));
                let unless_since = unless_since.map(Timestamp);
                let remove = |reply| Request::RemoveOf { generation, digest, unless_since, reply };
                self.ask(host, number, remove, done);
            }
            Call::ClearOf { generation } => {
                let generation = GenerationId(generation);
                self.ask(host, number, |reply| Request::ClearOf { generation, reply }, done);
            }
            Call::Forget { name } => {
                let name = name.map(str::to_owned);
                self.ask(host, number, |reply| Request::Forget { name, reply }, flag);
            }
            Call::Count { memo } => {
                let memo = memo.map(|memo| self.partition(memo).map(Partition::registration)).transpose()?;
                self.ask(host, number, |reply| Request::Count { memo, reply }, tally);
            }
            Call::Totals => self.ask(
                host,
                number,
                |reply| Request::Totals { reply },
                |number, totals| encode(number, &Answer::Numbers(totals.to_numbers().to_vec())),
            ),
            Call::Names { after } => {
                let after = after.unwrap_or_default().to_owned();
                let answer = move |number, names: Vec<String>| answers::names(number, &names, &after);
                self.ask(host, number, |reply| Request::Names { reply }, answer);
            }
            Call::Flush => self.ask(host, number, |reply| Request::Flush { reply }, done),
            Call::Barrier => self.ask(host, number, |reply| Request::Barrier { reply }, done),
            Call::Sweep => self.ask(host, number, |reply| Request::Sweep { reply }, swept),
            Call::MakeRoom { name } => {
                let name = name.map(str::to_owned);
                self.ask(host, number, |reply| Request::MakeRoom { name, reply }, done);
            }
            Call::Server(bulk) => self.ask_server(host, number, bulk),
            Call::Walk { memo, after } => {
                let frame = walk(number, self.partition(memo)?, after);
                self.send(&frame);
            }
            _ => return Err(Broken),
        }
        Ok(())
    }

    /// Has the server of this process asked on another thread: its answer may take as long as its timeouts.
    fn ask_server(&mut self, host: &Host, number: u32, bulk: Bulk<'_>) {
        let (server, place) = (host.directory.server().cloned(), host.directory.place.as_ref());
        let (Some(server), Some(trash)) = (server, place.map(|place| place.trash().to_owned())) else {
            return self.answer(number, &Answer::Flag(false));
        };
        let of_message = |cause| Error::io("a message between processes", cause);
        let request = match bulk::receive(&trash, bulk) {
            Ok(request) => request,
            Err(cause) => return self.send(&failed(number, &of_message(cause))),
        };
        let (reply, outcome) = oneshot::channel();
        let ask = move || {
            let frame = match server.serve(&request) {
                None => encode(number, &Answer::Flag(false)),
                Some(Err(error)) => failed(number, &error),
                Some(Ok(answer)) => match Sending::new(&trash, &answer) {
                    Ok(sending) => encode(number, &Answer::Server(sending.bulk())),
                    Err(cause) => failed(number, &of_message(cause)),
                },
            };
            drop(reply.send(Ok(frame)));
        };
        // Without a thread the reply is dropped, which is an error to the guest.
        let _ = background::wait(ask);
        self.answers.push(later(number, outcome, |_, frame| frame));
    }
}
