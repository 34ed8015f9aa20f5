//! Somebody who looks at the pages of a box without a browser.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

/// A password takes a slow processor seconds.
const ANSWER: Duration = Duration::from_secs(20);
/// A file of 31 MB is taken and read through.
const UPLOAD: Duration = Duration::from_secs(600);
/// Where another box had this address before, the way to the one that has it now is looked for anew.
const CONNECT: Duration = Duration::from_secs(3);
/// The emulated adapter loses a packet now and then, and a box that has just started is busy.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Visitor {
    address: Ipv4Addr,
    cookie: String,
}

impl Visitor {
    /// Not signed in.
    pub fn at(address: &str) -> Visitor {
        Visitor { address: address.parse().expect("an address"), cookie: String::new() }
    }

    pub fn signed_in(address: &str, password: &str) -> Visitor {
        let mut visitor = Visitor::at(address);
        let answer = visitor.post("/sign-in", &format!("password={}", password.replace(' ', "+")));
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        visitor.cookie = cookie.unwrap_or_else(|| panic!("{address} lets nobody in: {answer}")).to_owned();
        visitor
    }

    /// With its head.
    pub fn get(&self, path: &str) -> String {
        let (address, cookie) = (self.address, &self.cookie);
        self.say(&format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        ))
    }

    /// A form, as a page sends it. With its head.
    pub fn post(&self, path: &str, form: &str) -> String {
        self.say(&format!("{}{form}", self.head(path, "application/x-www-form-urlencoded", form.len() as u64)))
    }

    /// A form with a file, sent once. With its head.
    pub fn upload(&self, path: &str, file: &Path) -> String {
        let mut content = File::open(file).expect("a file");
        let before = "--here\r\nContent-Disposition: form-data; name=\"file\"; filename=\"it.img.xz\"\r\n\r\n";
        let after = "\r\n--here--\r\n";
        let length = (before.len() + after.len()) as u64 + content.metadata().expect("a file").len();
        let head = self.head(path, "multipart/form-data; boundary=here", length);
        let mut send = || {
            let mut stream = TcpStream::connect_timeout(&(self.address, 80).into(), CONNECT)?;
            stream.set_read_timeout(Some(UPLOAD))?;
            stream.set_write_timeout(Some(UPLOAD))?;
            stream.write_all(format!("{head}{before}").as_bytes())?;
            io::copy(&mut content, &mut stream)?;
            stream.write_all(after.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        send().unwrap_or_else(|error: io::Error| panic!("{} does not take {}: {error}", self.address, file.display()))
    }

    fn head(&self, path: &str, kind: &str, length: u64) -> String {
        let (address, cookie) = (self.address, &self.cookie);
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    }

    /// What the devices page lists of those with an address, as name, address and MAC. Without one are also the made-up clients by which a
    /// twin searches for other servers.
    pub fn devices(&self) -> Vec<String> {
        let answer = self.get("/devices/devices.csv");
        let (_, rows) = answer.split_once("name,address,mac,").unwrap_or_else(|| panic!("no list of devices: {answer}"));
        let first_three = |row: &str| row.splitn(4, ',').take(3).collect::<Vec<_>>().join(",");
        let has_address = |row: &String| row.contains(',') && !row.contains(",\"\",");
        let mut devices: Vec<String> = rows.lines().skip(1).map(first_three).filter(has_address).collect();
        devices.sort_unstable();
        devices
    }

    /// Of the program in the box, in MB.
    pub fn memory_mb(&self) -> f64 {
        let metrics = self.get("/metrics");
        let line = metrics.lines().find(|line| line.starts_with("process_resident_memory_bytes "));
        let bytes: f64 = line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("{metrics}"));
        bytes / 1e6
    }

    fn say(&self, bytes: &str) -> String {
        let began = Instant::now();
        loop {
            match self.try_say(bytes) {
                Ok(answer) if answer.starts_with("HTTP/1.1 ") => return answer,
                Ok(_) | Err(_) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(300)),
                other => panic!("{} does not answer: {other:?}", self.address),
            }
        }
    }

    fn try_say(&self, bytes: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&(self.address, 80).into(), CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(bytes.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
