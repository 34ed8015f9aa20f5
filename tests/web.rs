//! The dashboard of the real binary, from outside, over real connections: what `src/web/attacks.rs` cannot show. Needs no
//! network and no rights.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twinlease");
const PATIENCE: Duration = Duration::from_secs(30);
const FORM: &str = "Origin: http://localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";

/// Killed when dropped, with its folder.
struct Server {
    child: Child,
    data: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
}

impl Server {
    fn start(name: &str) -> Server {
        let data = std::env::temp_dir().join(format!("twinlease-web-{name}-{}", std::process::id()));
        let (http, https) = (free_port(), free_port());
        let server = Server { child: run(&data, http, https), data, http, https };
        wait_until("the dashboard is there", || TcpStream::connect(http).is_ok());
        server
    }

    fn restart(&mut self) {
        // SAFETY: the process is our child and not yet waited for, so its id is no other's.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        assert_eq!(self.child.wait().expect("our child").code(), Some(0));
        self.child = run(&self.data, self.http, self.https);
        wait_until("it is there again", || TcpStream::connect(self.http).is_ok());
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.http).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// Sends these bytes and reads until the server closes.
    fn send(&self, bytes: &str) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes.as_bytes());
        read_all(&mut stream)
    }

    fn get(&self, path: &str, cookie: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, cookie: &str, form: &str) -> String {
        let length = form.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n{FORM}Content-Length: {length}\r\nConnection: close\r\n\r\n{form}"
        ))
    }

    fn claim(&self) -> String {
        cookie(&self.post("/claim", "", "password=correct+horse+battery&again=correct+horse+battery"))
    }

    /// The command line, with something to read.
    fn say(&self, words: &[&str], input: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(words).env("TWINLEASE_DATA", &self.data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        child.wait_with_output().expect("our child")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.join("log")).unwrap_or_default()
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs").count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn run(data: &PathBuf, http: SocketAddr, https: SocketAddr) -> Child {
    fs::create_dir_all(data).expect("a folder");
    let log = fs::OpenOptions::new().create(true).append(true).open(data.join("log")).expect("a file");
    let (http, https) = (http.to_string(), https.to_string());
    let words = ["run", "--twin-listen", "off", "--web-listen", &http, "--web-tls-listen", &https, "--data"];
    Command::new(PROGRAM).args(words).arg(data).stderr(log).spawn().expect("the program is built")
}

/// Below those that the kernel hands out, and another one each time: nobody else takes it meanwhile.
fn bound_port() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = || 20_000 + (std::process::id() * 64 + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, port() as u16)).ok();
    (0..1000).find_map(bind).expect("a port")
}

fn free_port() -> SocketAddr {
    bound_port().local_addr().expect("bound")
}

fn read_all(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until this was said.
fn read_until(stream: &mut TcpStream, words: &str) -> String {
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    let start = Instant::now();
    while !said.contains(words) {
        // Heartbeats go on whatever happens.
        assert!(start.elapsed() < PATIENCE, "{words:?} was not said in time, but: {said}");
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            other => panic!("{words:?} was not said ({other:?}), but: {said}"),
        }
    }
    said
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

fn cookie(answer: &str) -> String {
    let set =
        answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("no cookie in {answer}"));
    set.split(';').next().expect("a value").to_owned()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_claim_the_sign_in_and_the_command_line_agree_on_one_password() {
    let mut server = Server::start("password");
    assert!(server.get("/", "").contains("location: /claim"));
    let mine = server.claim();
    assert_eq!(status(&server.get("/", &mine)), 200);
    assert_eq!(status(&server.post("/claim", "", "password=another+good+one&again=another+good+one")), 409);
    server.restart();
    assert!(server.get("/", &mine).contains("location: /sign-in"), "sessions do not survive a restart; the password does");
    let again = cookie(&server.post("/sign-in", "", "password=correct+horse+battery"));
    assert_eq!(status(&server.get("/", &again)), 200);
    let weak = server.say(&["password", "set"], "short\n");
    assert!(weak.status.code() == Some(1) && String::from_utf8_lossy(&weak.stderr).contains("too short"));
    assert_eq!(server.say(&["password", "set"], "from the command line\n").status.code(), Some(0));
    wait_until("who knew the old one is out", || server.get("/", &again).contains("location: /sign-in"));
    let third = cookie(&server.post("/sign-in", "", "password=from+the+command+line"));
    assert_eq!(status(&server.get("/", &third)), 200);
    assert_eq!(server.say(&["password", "reset"], "").status.code(), Some(0));
    wait_until("it can be claimed again", || server.get("/", &third).contains("location: /claim"));
    let export = server.say(&["export", "--json"], "");
    assert!(!String::from_utf8_lossy(&export.stdout).contains("argon2"), "no file has a hash");
}

#[test]
fn a_stopped_server_can_be_given_a_password_too() {
    let mut server = Server::start("stopped");
    let _ = server.child.kill();
    let _ = server.child.wait();
    assert_eq!(server.say(&["password", "set"], "while it was off\n").status.code(), Some(0));
    server.child = run(&server.data, server.http, server.https);
    wait_until("it is there", || TcpStream::connect(server.http).is_ok());
    let mine = cookie(&server.post("/sign-in", "", "password=while+it+was+off"));
    assert_eq!(status(&server.get("/", &mine)), 200);
}

#[test]
fn nonsense_on_the_wire_stops_nobody() {
    let server = Server::start("nonsense");
    let mine = server.claim();
    for bytes in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}",
    ] {
        let mut stream = server.connect();
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(&mut stream);
        assert!(answer.is_empty() || matches!(status(&answer), 400..500), "{bytes:?}: {answer}");
    }
    let endless = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200 << 10));
    let answer = server.send(&endless);
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    let announced = format!("POST /sign-in HTTP/1.1\r\nHost: localhost\r\n{FORM}Content-Length: 100000000000\r\n\r\npassword=x");
    assert_eq!(status(&server.send(&announced)), 413);
    // Cut off in the middle: nothing happens, and nothing is left.
    for _ in 0..50 {
        let mut stream = server.connect();
        let _ = stream.write_all(format!("POST /settings/password HTTP/1.1\r\nHost: localhost\r\nCookie: {mine}\r\n{FORM}Content-Length: 100\r\n\r\ncurrent=").as_bytes());
    }
    // So many from one host at once wait for each other; those that were cut off make room at once.
    wait_until("the page is there again", || status(&server.get("/", &mine)) == 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn one_who_sends_slowly_or_opens_too_much_does_not_keep_others_out() {
    let server = Server::start("slow");
    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: loc").expect("sent");
    let started = Instant::now();
    let many: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(server.http).ok()).collect();
    // Those who are too many are closed at once, without a word.
    std::thread::sleep(Duration::from_millis(500));
    let open = many.iter().filter(|stream| {
        stream.set_nonblocking(true).expect("a socket");
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    let open = open.count();
    assert!((20..60).contains(&open), "{open} of 100 may stay");
    assert!(server.threads() < 20, "no thread for each");
    drop(many);
    wait_until("others are served", || {
        let mut stream = server.connect();
        stream.write_all(b"GET /claim HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
            && status(&read_all(&mut stream)) == 200
    });
    let rest = read_all(&mut slow);
    let waited = started.elapsed();
    assert!(rest.is_empty() || status(&rest) == 408, "{rest}");
    assert!(waited < Duration::from_secs(29), "a header that does not end is waited for {waited:?}");
}

#[test]
fn https_has_a_key_of_its_own_that_nobody_else_may_read() {
    let mut server = Server::start("https");
    let shown = server.tls("/claim");
    assert!(shown.0.starts_with("HTTP/1.1 200") && shown.0.contains("Welcome to twinlease"), "{}", shown.0);
    let file = server.data.join("web-tls.json");
    assert_eq!(fs::metadata(&file).expect("it is kept").permissions().mode() & 0o777, 0o600);
    server.restart();
    wait_until("https is there again", || TcpStream::connect(server.https).is_ok());
    assert_eq!(server.tls("/claim").1, shown.1, "browsers are not asked again");
    fs::write(&file, b"damaged").expect("written");
    server.restart();
    wait_until("https is there again", || TcpStream::connect(server.https).is_ok());
    assert_ne!(server.tls("/claim").1, shown.1, "a damaged one is made anew");
}

impl Server {
    /// The answer, and the certificate.
    fn tls(&self, path: &str) -> (String, Vec<u8>) {
        let start = Instant::now();
        loop {
            match self.try_tls(path) {
                Some(told) => return told,
                None => assert!(start.elapsed() < PATIENCE, "no https"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_tls(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").ok()?).ok()?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect(self.https).ok()?);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let answer = read_all(&mut stream);
        let certificate = stream.conn.peer_certificates()?.first()?.to_vec();
        (!answer.is_empty()).then_some((answer, certificate))
    }
}

/// Takes any certificate, as a person does who clicks on.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[test]
fn a_port_that_is_taken_is_told_and_had_as_soon_as_it_is_free() {
    let taken = bound_port();
    let data = std::env::temp_dir().join(format!("twinlease-web-taken-{}", std::process::id()));
    let (http, https) = (taken.local_addr().expect("bound"), free_port());
    let server = Server { child: run(&data, http, https), data, http, https };
    wait_until("it says so", || server.log().contains("another program has it"));
    wait_until("and everything else works", || server.say(&["status"], "").status.code() == Some(1));
    drop(taken);
    wait_until("it has the port", || TcpStream::connect(http).is_ok());
    assert!(server.get("/claim", "").contains("Welcome to twinlease"));
    assert_eq!(server.log().matches("another program has it").count(), 1, "told once");
}

#[test]
fn a_page_is_told_what_has_changed_until_its_visitor_is_signed_out() {
    let mut server = Server::start("live");
    let mine = server.claim();
    let mut live = server.connect();
    write!(live, "GET /live?live=&at=%2F HTTP/1.1\r\nHost: localhost\r\nCookie: {mine}\r\n\r\n").expect("sent");
    let first = read_until(&mut live, "\n\n");
    assert!(
        first.contains("text/event-stream") && first.contains("event: parts") && first.contains("No network is set up yet"),
        "{first}"
    );
    let settings = server.data.join("settings.toml");
    fs::write(
        &settings,
        "[[subnet]]\nnetwork = \"203.0.113.0/24\"\ninterface = \"nowhere0\"\npools = [\"203.0.113.10-203.0.113.99\"]\n",
    )
    .expect("written");
    let said = server.say(&["import", settings.to_str().expect("text")], "");
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    let started = Instant::now();
    let second = read_until(&mut live, "Nobody is answering DHCP");
    assert!(started.elapsed() < Duration::from_secs(2), "{second}");
    server.post("/sign-out", &mine, "");
    read_until(&mut live, "event: bye");
    // And one who goes away leaves nothing: far more streams than there are seats, one after the other.
    let mine = cookie(&server.post("/sign-in", "", "password=correct+horse+battery"));
    for _ in 0..100 {
        wait_until("a seat is free again", || {
            let mut live = server.connect();
            write!(live, "GET /live HTTP/1.1\r\nHost: localhost\r\nCookie: {mine}\r\n\r\n").expect("sent");
            status(&read_until(&mut live, "\r\n\r\n")) == 200
        });
    }
    server.restart();
}

#[test]
fn uploads_that_are_too_large_or_break_off_change_nothing_and_are_told() {
    let server = Server::start("uploads");
    let mine = server.claim();
    let settings = || server.say(&["export", "--json"], "").stdout;
    let before = settings();
    let head = |length: usize| {
        format!(
            "POST /settings/import HTTP/1.1\r\nHost: localhost\r\nCookie: {mine}\r\nOrigin: http://localhost\r\nAccept: text/html\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    let begin = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big.conf\"\r\n\r\n";
    let whole = |content: &str| format!("{begin}{content}\r\n--x--\r\n");

    let announced = server.send(&head(1 << 40));
    assert_eq!(status(&announced), 413, "{announced}");
    // Sent to its end: the answer comes while the rest is on its way, so it may be lost with the connection.
    let large = whole(&"# nothing\n".repeat(900_000));
    let answer = server.send(&(head(large.len()) + &large));
    assert!(answer.is_empty() || answer.contains("more than 8 MiB"), "{answer}");
    for cut in [0, 10, begin.len(), begin.len() + 4, begin.len() + 4000] {
        let mut stream = server.connect();
        let sent = whole(&"subnet 192.0.2.0 ".repeat(4000));
        let _ = stream.write_all((head(sent.len()) + &sent[..cut]).as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = read_all(&mut stream);
        assert!(answer.is_empty() || !answer.contains("location: /settings/import/"), "cut after {cut}: {answer}");
    }
    // What did not arrive whole is not kept, as if it had.
    let kept = || fs::read_dir(server.data.join("uploads")).map_or(0, |files| files.flatten().count());
    wait_until("nothing is left of what was cut off", || kept() == 0);
    // Whole, and nonsense: other bounds than it says, none of the fields, bytes that are no text.
    for body in ["--y\r\n\r\n--y--\r\n".to_owned(), "--x--\r\n".to_owned(), whole("\u{0}\u{1}\u{2}\u{feff}"), whole("")] {
        let answer = server.send(&(head(body.len()) + &body));
        assert!((200..500).contains(&status(&answer)) && !answer.contains("location: /settings/import/"), "{body:?}: {answer}");
    }
    assert_eq!(settings(), before);
    assert!(kept() <= 6, "{} files are left behind", kept());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(status(&server.get("/", &mine)), 200);
}

/// Two kept addresses; the note of the second has no room left.
fn kept_two(server: &Server) {
    let file = server.data.join("two.toml");
    let long = "x".repeat(998);
    let settings = format!(
        "[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.100-192.0.2.199\"]\n\
         [[reservation]]\nmac = \"02:00:5e:00:53:01\"\naddress = \"192.0.2.31\"\nname = \"printer\"\nnote = \"In the study\"\n\
         [[reservation]]\nmac = \"02:00:5e:00:53:02\"\naddress = \"192.0.2.32\"\nname = \"lamp\"\nnote = \"{long}\"\n"
    );
    fs::write(&file, settings).expect("a folder");
    let import = server.say(&["import", file.to_str().expect("text")], "");
    assert_eq!(import.status.code(), Some(0), "{}", String::from_utf8_lossy(&import.stderr));
}

const BOTH: &str = "id=02-00-5e-00-53-01&id=02-00-5e-00-53-02&back=%2Fdevices%3Fsort%3Dname";

#[test]
fn a_tag_for_several_is_one_change_that_one_click_takes_back() {
    let server = Server::start("tags");
    let mine = server.claim();
    kept_two(&server);
    let export = || String::from_utf8_lossy(&server.say(&["export"], "").stdout).into_owned();
    let before = export();
    let answer = server.post("/devices/tag", &mine, &format!("{BOTH}&tag=%23Study&make=tag"));
    assert!(status(&answer) == 303 && answer.contains("location: /devices?sort=name"), "{answer}");
    assert!(export().contains("In the study #study"), "{}", export());
    let page = server.get("/devices", &mine);
    assert!(
        page.contains("printer has the tag #study.") && page.contains("The note of *lamp*"),
        "one has no room for it: {page}"
    );
    let undo = page.split("action=\"").find_map(|part| part.split('"').next().filter(|to| to.ends_with("/revert")));
    assert_eq!(status(&server.post(undo.expect("an Undo"), &mine, "")), 303);
    assert_eq!(export(), before);

    server.post("/devices/tag", &mine, &format!("{BOTH}&tag=study&make=tag"));
    assert!(server.get("/devices?q=%23study", &mine).contains("1 of 2 devices"), "it is found");
    server.post("/devices/tag", &mine, &format!("{BOTH}&tag=study&make=untag"));
    assert!(server.get("/devices", &mine).contains("printer has the tag #study no longer."));
    assert_eq!(export(), before);
    server.post("/devices/tag", &mine, "tag=study&make=tag");
    assert!(server.get("/devices", &mine).contains("Nothing was ticked."));
}

#[test]
fn a_tag_that_is_none_comes_back_and_a_strangers_form_does_nothing() {
    let server = Server::start("no-tags");
    let mine = server.claim();
    kept_two(&server);
    let export = || server.say(&["export"], "").stdout;
    let before = export();
    let huge = "x".repeat(50_000);
    for tag in ["", "two+words", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a%00b", "%E2%80%AEgpj", "%23", huge.as_str()] {
        let answer = server.post("/devices/tag", &mine, &format!("{BOTH}&tag={tag}&make=tag"));
        assert_eq!(status(&answer), 422, "{tag:.60}: {answer:.300}");
        assert!(!answer.contains("<script>alert") && !answer.contains("`\u{202e}") && answer.len() < 40_000, "{answer}");
        assert_eq!(answer.matches(" checked").count(), 2, "the ticks stay: {answer}");
    }
    let form = format!("{BOTH}&tag=study&make=tag");
    let stranger = server.post("/devices/tag", "", &form);
    assert_eq!(status(&stranger), 401, "{stranger}");
    let length = form.len();
    let elsewhere = server.send(&format!(
        "POST /devices/tag HTTP/1.1\r\nHost: localhost\r\nCookie: {mine}\r\nOrigin: http://evil.example\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{form}"
    ));
    assert_eq!(status(&elsewhere), 403, "{elsewhere}");
    assert_eq!(export(), before, "nothing was changed");
}
