//! What alerts are sent to in tests: small servers on loopback that write down what they hear.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// An address that nobody listens on.
pub fn silence() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound")
}

pub struct HttpServer {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl HttpServer {
    pub fn answering(status: &str, headers: &str) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        let (sender, requests) = channel();
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let request = read_request(&stream);
                let _ = stream.write_all(answer.as_bytes());
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        HttpServer { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }

    pub fn was_called(&self) -> bool {
        self.requests.recv_timeout(Duration::from_millis(200)).is_ok()
    }
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut text, mut length) = (String::new(), 0);
    while reader.read_line(&mut text).is_ok_and(|count| count > 2) {
        let last = text.lines().last().unwrap_or_default().to_lowercase();
        if let Some(value) = last.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    text + String::from_utf8_lossy(&body).as_ref()
}

pub struct SmtpServer {
    pub port: u16,
    said: Receiver<String>,
}

impl SmtpServer {
    /// `verdict`: on the first recipient of each mail.
    pub fn start(verdict: &'static str) -> SmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let (sender, said) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if sender.send(converse(stream, verdict)).is_err() {
                    return;
                }
            }
        });
        SmtpServer { port, said }
    }

    /// All that a client said in one conversation.
    pub fn said(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("a conversation")
    }
}

fn converse(mut stream: TcpStream, verdict: &str) -> String {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let _ = stream.write_all(b"220 test\r\n");
    let (mut all, mut in_data) = (String::new(), false);
    loop {
        let mut line = String::new();
        if !reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            return all;
        }
        all += &line;
        let answer = match line.trim_end() {
            "." if in_data => {
                in_data = false;
                "250 taken"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            "QUIT" => {
                let _ = stream.write_all(b"221 bye\r\n");
                return all;
            }
            line if line.starts_with("RCPT") => verdict,
            _ => "250 fine",
        };
        let _ = stream.write_all(format!("{answer}\r\n").as_bytes());
    }
}
