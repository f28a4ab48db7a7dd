//! The shell at a terminal, as people use it: what it shows, what it completes, and what it remembers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use support::{Server, Step};

const LOGIN: &str = r#"{"token":"t-9","buyer_id":7,"idle_timeout_s":300}"#;
const CART: &str = r#"{"lines":[{"item_id":"3-17","name":"Lamp","price":"19.99","quantity":2,"available":5}],
    "total":"39.98","saved_version":4}"#;
const BOUGHT: &str = r#"{"purchase_id":"p-1","lines":[{"item_id":"3-17","name":"Lamp","seller_id":12,"price":"19.99","quantity":2}],
    "total":"39.98"}"#;
/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program at a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// So much of the screen was looked at.
    looked_at: usize,
}

impl Terminal {
    fn buyers_shell(state: &Path, server: &str) -> Terminal {
        let size = Winsize { ws_row: 40, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let line = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_buyer"));
        command.arg("shell").env_clear().env("TERM", "xterm").env("XDG_STATE_HOME", state);
        command.env("AGORA_BUYER_SERVERS", server).stdin(line()).stdout(line()).stderr(line());
        let child = command.spawn().unwrap();
        let keyboard = File::from(pty.master);
        let (mut output, screen) = (keyboard.try_clone().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let shown = Arc::clone(&screen);
        // Ends with an error when nobody has the other end any more.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Terminal { child, keyboard, screen, looked_at: 0 }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().unwrap().clone();
            let new = &screen[self.looked_at..];
            if let Some(at) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.looked_at += at + text.len();
                return;
            }
            assert!(Instant::now() < until, "no {text:?} in {:?}", String::from_utf8_lossy(new));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that was ever shown.
    fn ends(mut self) -> String {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_prompts_completes_and_remembers_no_secrets() {
    let server = Server::playing([
        Step::status(201, LOGIN),
        Step::ok(CART),
        Step::ok(r#"{"thumbs_up":0,"thumbs_down":1}"#),
        Step::status(201, BOUGHT),
        Step::status(201, LOGIN),
    ])
    .await;
    let state = tempfile::tempdir().unwrap();
    let mut shell = Terminal::buyers_shell(state.path(), &server.url());
    shell.shows("buyer (not logged in)> ");
    shell.types("logi\t");
    shell.shows("login ");
    shell.types("ada\r");
    shell.shows("password: ");
    shell.types("s3cret\r");
    shell.shows("Logged in as ada");
    shell.shows("buyer ada> ");
    shell.types("cart\r");
    shell.shows("39.98");
    shell.shows("buyer ada> ");
    shell.types("feedback 3\t");
    shell.shows("feedback 3-17 ");
    shell.types("d\t");
    shell.shows("feedback 3-17 down ");
    shell.types("\r");
    shell.shows("+0 -1");
    shell.shows("buyer ada> ");
    shell.types("buy\r");
    for (asked, answer) in [
        ("name on the card: ", "Ada Example"),
        ("card number: ", "4111111111111111"),
        ("expiry (MM/YYYY): ", "12/2099"),
        ("security code: ", "737"),
    ] {
        shell.shows(asked);
        shell.types(&format!("{answer}\r"));
    }
    shell.shows("Bought for 39.98");
    shell.shows("buyer ada> ");
    shell.types("login ada --password hunter2\r");
    shell.shows("Logged in as ada");
    shell.shows("buyer ada> ");
    shell.types("exit\r");
    let screen = shell.ends();
    assert!(!screen.contains("s3cret") && !screen.contains("4111") && !screen.contains("737"), "{screen:?}");

    let bodies: Vec<String> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies[0].contains("s3cret") && bodies[3].contains("4111111111111111"), "{bodies:?}");
    assert_eq!(bodies[2], r#"{"vote":"down"}"#);
    let history = std::fs::read_to_string(state.path().join("agora/buyer-history")).unwrap();
    for line in ["login ada", "cart", "feedback 3-17 down", "buy", "exit"] {
        assert!(history.lines().any(|kept| kept.trim_end() == line), "no {line:?} in {history}");
    }
    for secret in ["s3cret", "hunter2", "Ada Example", "4111", "12/2099", "737"] {
        assert!(!history.contains(secret), "{secret} in {history}");
    }
}
