//! Messages of libprocess: HTTP requests without answers, from one process of libprocess to another.
//!
//! ```text
//! POST /slave(1)/mesos.internal.RegisterExecutorMessage HTTP/1.1
//! User-Agent: libprocess/executor(1)@127.0.0.1:40000
//! Libprocess-From: executor(1)@127.0.0.1:40000
//! Content-Length: 70
//! ```
//!
//! A side notices the other one's death when the connection that it sends on ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use crate::executor::Input;

/// This executor's name in libprocess.
const NAME: &str = "executor(1)";
/// No message between an agent and an executor comes near this.
const LARGEST: usize = 64 << 20;

/// A message that came.
#[derive(Debug)]
pub(crate) struct Received {
    /// Who sent it, as `slave(1)@127.0.0.1:5051`.
    pub(crate) from: String,
    /// Its type, as `RunTaskMessage`.
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
}

/// This process as others see it. What comes is handed on as [`Input`].
pub(crate) struct Libprocess {
    address: String,
    inputs: Sender<Input>,
    link: Option<Link>,
}

/// The connection to the agent.
struct Link {
    pid: String,
    stream: TcpStream,
}

impl Libprocess {
    /// Listens on a free port of this host.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn listen(inputs: Sender<Input>) -> io::Result<Libprocess> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let received = inputs.clone();
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let received = received.clone();
                thread::spawn(move || read_all(stream, &received));
            }
        });
        Ok(Libprocess {
            address,
            inputs,
            link: None,
        })
    }

    /// Opens the connection to the agent with this pid. When it ends, [`Input::AgentGone`] names the pid.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn link(&mut self, pid: &str) -> io::Result<()> {
        let (_, address) = pid
            .split_once('@')
            .ok_or_else(|| io::Error::other(format!("'{pid}' is not the address of an agent")))?;
        let stream = TcpStream::connect(address)?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let (mut other, inputs, name) = (stream.try_clone()?, self.inputs.clone(), pid.to_owned());
        thread::spawn(move || {
            // Nothing is answered on it: it is read to notice its end.
            let _ = io::copy(&mut other, &mut io::sink());
            let _ = inputs.send(Input::AgentGone(name));
        });
        self.link = Some(Link {
            pid: pid.to_owned(),
            stream,
        });
        Ok(())
    }

    /// Whether messages go to the agent with this pid.
    pub(crate) fn is_linked_to(&self, pid: &str) -> bool {
        self.link.as_ref().is_some_and(|link| link.pid == pid)
    }

    /// Sends nothing to the agent any more.
    pub(crate) fn unlink(&mut self) {
        self.link = None;
    }

    /// Sends a message, without an answer. What is lost is sent again when the agent asks for it (`ReconnectExecutorMessage`).
    pub(crate) fn send(&mut self, name: &str, body: &[u8]) {
        let Some(link) = &mut self.link else { return };
        let to = link.pid.split('@').next().unwrap_or_default();
        let from = format!("{NAME}@{}", self.address);
        let mut request = format!(
            "POST /{to}/mesos.internal.{name} HTTP/1.1\r\nUser-Agent: libprocess/{from}\r\nLibprocess-From: {from}\r\n\
             Connection: Keep-Alive\r\nHost: \r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        if let Err(error) = link.stream.write_all(&request) {
            tracing::warn!(%error, name, "the agent does not take a message");
        }
    }

    /// Where this process listens; the agent acknowledges updates there.
    pub(crate) fn pid(&self) -> String {
        format!("{NAME}@{}", self.address)
    }
}

fn read_all(stream: TcpStream, inputs: &Sender<Input>) {
    let mut reader = BufReader::new(stream);
    loop {
        match read_one(&mut reader) {
            Ok(Some(message)) => {
                if inputs.send(Input::Message(message)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "cannot read what came"),
        }
    }
}

/// The next message; none when the other side closed the connection.
fn read_one(reader: &mut impl BufRead) -> io::Result<Option<Received>> {
    let garbage = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line
        .split(' ')
        .nth(1)
        .ok_or_else(|| garbage("a request without a path"))?;
    let name = path.rsplit('.').next().unwrap_or_default().to_owned();
    let (mut from, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let Some((key, value)) = header.split_once(':') else {
            return Err(garbage("a header without a colon"));
        };
        match (key.to_ascii_lowercase().as_str(), value.trim()) {
            ("libprocess-from", value) => value.clone_into(&mut from),
            ("content-length", value) => length = value.parse().map_err(|_| garbage("a length that is no number"))?,
            ("transfer-encoding", "chunked") => chunked = true,
            _ => {}
        }
    }
    let body = if chunked {
        read_chunks(reader)?
    } else {
        read_exactly(reader, length)?
    };
    Ok(Some(Received { from, name, body }))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk without a length"))?;
        body.extend(read_exactly(reader, length)?);
        line.clear();
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(reader: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    if length > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message that is too large",
        ));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_in_chunks_as_mesos_sends_it_and_with_a_length() {
        let head = "POST /executor(1)/mesos.internal.RunTaskMessage HTTP/1.1\r\nLibprocess-From: slave(1)@h:1\r\n";
        let both = format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{head}Content-Length: 2\r\n\r\nde{head}\r\n"
        );
        let mut reader = both.as_bytes();
        for expected in ["abc", "de", ""] {
            let message = read_one(&mut reader).unwrap().unwrap();
            assert_eq!(
                (message.from.as_str(), message.name.as_str()),
                ("slave(1)@h:1", "RunTaskMessage")
            );
            assert_eq!(message.body, expected.as_bytes());
        }
        assert!(read_one(&mut reader).unwrap().is_none());
    }
}
