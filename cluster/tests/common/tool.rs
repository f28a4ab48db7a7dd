//! A tool that starts processes and keeps temporary files, as a user starts it, and what it leaves behind.
//!
//! The tool gets a directory for temporary files of its own. Whatever it starts inherits that, so that its processes are found by
//! it, orphans too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// Later than this a signal is a wish of its own, and not the same one again.
pub const A_SECOND_WISH: Duration = Duration::from_millis(1_200);
const ATTEMPTS: usize = 4;
/// A cluster that is told to stop, and not to hurry, waits for so long for processes that do not end.
const GRACE: Duration = Duration::from_secs(5);

/// A running tool. Killed when the test ends, however it does; then what it started ends by itself.
pub struct Tool {
    child: Child,
    home: tempfile::TempDir,
}

impl Tool {
    /// Starts a command with its own directory for temporary files.
    pub fn start(mut command: Command) -> Tool {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("tmp")).unwrap();
        let output = File::create(home.path().join("output")).unwrap();
        command.env("TMPDIR", home.path().join("tmp")).stdin(Stdio::null());
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        Tool { child, home }
    }

    /// What it has said.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.path().join("output")).unwrap()).into_owned()
    }

    /// What is in its directory for temporary files.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.home.path().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The processes that it started, and that live.
    pub fn processes(&self) -> Vec<u32> {
        let all = std::fs::read_dir("/proc").unwrap();
        let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| *pid != self.child.id() && is_of(*pid, self.home.path())).collect()
    }

    /// Whether it catches this signal.
    pub fn catches(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
    }

    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&Tool) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "not {what}, {ended:?}: {}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_until_it_says(&mut self, words: &str) {
        self.wait_until(words, |tool| tool.output().contains(words));
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for its end; its exit code. At this very moment nothing may be left of what it started and wrote.
    pub fn ends_without_a_trace(&mut self) -> Option<i32> {
        let code = self.child.wait().unwrap().code();
        let (processes, files) = (self.processes(), self.files());
        assert!(processes.is_empty(), "processes are left: {processes:?}; {}", self.output());
        assert!(files.is_empty(), "files are left: {files:?}; {}", self.output());
        code
    }

    /// Two signals at once, as `timeout` and terminals send them: they are one wish. Its exit code.
    pub fn told_twice_at_once(&mut self, signals: [Signal; 2]) -> Option<i32> {
        assert!(!self.processes().is_empty(), "there is nothing to leave behind: {}", self.output());
        signals.into_iter().for_each(|signal| self.signal(signal));
        self.ends_without_a_trace()
    }
}

/// A tool is told to stop while its processes can't, and then once more: it kills them instead of waiting. Its exit code, and what it
/// said. Whether it was quick shows in the quickest of several, since the machine may be busy.
pub fn told_to_hurry(start: impl Fn() -> Tool) -> (Option<i32>, String) {
    let mut attempts = Vec::new();
    for _ in 0..ATTEMPTS {
        let mut tool = start();
        let held = Held::hold(tool.processes(), tool.home.path());
        let told = Instant::now();
        tool.signal(Signal::SIGINT);
        std::thread::sleep(A_SECOND_WISH);
        let is_held_up = tool.child.try_wait().unwrap().is_none() && !tool.processes().is_empty();
        if is_held_up {
            tool.signal(Signal::SIGINT);
        }
        let code = tool.ends_without_a_trace();
        let took = told.elapsed();
        drop(held);
        if is_held_up && took < GRACE {
            return (code, tool.output());
        }
        attempts.push(if is_held_up { format!("it took {took:?}") } else { "nothing held it up".into() });
    }
    panic!("it did not hurry: {attempts:?}");
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether a process lives and has its directory for temporary files there.
fn is_of(pid: u32, home: &Path) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let wanted = format!("TMPDIR={}", home.join("tmp").display());
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
}

/// Processes that stand still, whoever tells them to go on, until this is dropped.
struct Held {
    release: Arc<AtomicBool>,
    holding: Option<JoinHandle<()>>,
}

impl Held {
    fn hold(pids: Vec<u32>, home: &Path) -> Held {
        assert!(!pids.is_empty(), "nobody to hold");
        let hold = {
            let home = home.to_owned();
            move || {
                for pid in pids.iter().filter(|pid| is_of(**pid, &home)) {
                    kill(Pid::from_raw(*pid as i32), Signal::SIGSTOP).ok();
                }
            }
        };
        hold();
        let release = Arc::new(AtomicBool::new(false));
        let released = Arc::clone(&release);
        let holding = std::thread::spawn(move || {
            while !released.load(Ordering::Relaxed) {
                hold();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Held { release, holding: Some(holding) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release.store(true, Ordering::Relaxed);
        self.holding.take().map(JoinHandle::join);
    }
}
