//! The last good version of a file that is read again whenever it changes.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use tracing::{error, info};

use crate::read;

/// How long a look at the file may take. Local disks need microseconds; a network file system may hang for ever.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// A file that changed less than this before it was read is read again at the next look: the kernel's time stamps are coarse, so
/// that a second change may leave the same stamp.
const UNSETTLED: Duration = Duration::from_secs(1);

/// One file of an operator. Each call of [`Kept::current`] looks at the file; a thread of its own does the reading, so that
/// a file system that hangs delays one call by two seconds and no call after it.
#[derive(Debug)]
pub struct Kept<T> {
    path: PathBuf,
    /// What messages call the file.
    name: String,
    ask: Sender<()>,
    answers: Receiver<Look<T>>,
    state: Mutex<State<T>>,
}

/// What is in force.
#[derive(Debug)]
pub struct Content<T> {
    /// The last good version; none when there has been no good version yet.
    pub value: Option<Arc<T>>,
    /// What is wrong with the file as it is now, in one line that names it.
    pub problem: Option<String>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<Arc<T>>,
    problem: Option<String>,
    /// A look has not been answered yet.
    is_waiting: bool,
}

/// What the thread found.
#[derive(Debug)]
enum Look<T> {
    Unchanged,
    Good(T),
    Bad(String),
}

impl<T: Send + 'static> Kept<T> {
    /// Reads the file for the first time. What is wrong with it is in [`Kept::current`]. `name` is what messages call the
    /// file, in words before its path: "policy".
    ///
    /// # Errors
    /// The thread that reads cannot be started.
    pub fn open<E: std::fmt::Display>(
        name: &str,
        path: &Path,
        max_bytes: u64,
        parse: impl Fn(&str) -> Result<T, E> + Send + 'static,
    ) -> io::Result<Self> {
        let (ask, asked) = unbounded::<()>();
        let (tell, answers) = unbounded();
        let mut reader = Reader {
            path: path.to_owned(),
            max_bytes,
            seen: None,
        };
        thread::Builder::new().name("mev-files".to_owned()).spawn(move || {
            for () in asked {
                let look = reader.look(|text| parse(text).map_err(|error| error.to_string()));
                if tell.send(look).is_err() {
                    return;
                }
            }
        })?;
        let kept = Self {
            path: path.to_owned(),
            name: name.to_owned(),
            ask,
            answers,
            state: Mutex::new(State {
                value: None,
                problem: None,
                is_waiting: false,
            }),
        };
        kept.look(false);
        Ok(kept)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last good version of the file, and what is wrong with the file as it is now. Looks at the file, so it is not for a
    /// thread that must not wait for a disk; takes two seconds at most.
    pub fn current(&self) -> Content<T> {
        self.look(true)
    }

    fn look(&self, is_reread: bool) -> Content<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = if state.is_waiting {
            Duration::ZERO
        } else {
            // The thread ends only with the sender.
            let _ = self.ask.send(());
            TIME_LIMIT
        };
        let look = self.answers.recv_timeout(limit);
        state.is_waiting = look.is_err();
        let file = self.path.display();
        match look {
            Ok(Look::Unchanged) => {}
            Ok(Look::Good(value)) => {
                if is_reread {
                    info!(%file, "{} read again", self.name);
                }
                state.value = Some(Arc::new(value));
                state.problem = None;
            }
            Ok(Look::Bad(problem)) => self.tell(&mut state, &format!("{} {problem}", self.name)),
            Err(RecvTimeoutError::Timeout) => {
                let problem = format!(
                    "{} {file}: it could not be read within {} s, as of a network file system that hangs: put it on a local disk",
                    self.name,
                    TIME_LIMIT.as_secs()
                );
                self.tell(&mut state, &problem);
            }
            Err(RecvTimeoutError::Disconnected) => {
                let problem = format!(
                    "{} {file}: the thread that reads it has failed: restart the agent",
                    self.name
                );
                self.tell(&mut state, &problem);
            }
        }
        Content {
            value: state.value.clone(),
            problem: state.problem.clone(),
        }
    }

    /// Takes note of a problem, and logs it unless it is known already.
    fn tell(&self, state: &mut State<T>, problem: &str) {
        if state.problem.as_deref() == Some(problem) {
            return;
        }
        if state.value.is_some() {
            error!(
                problem,
                "the {} cannot be used as it is now; the last good version stays in force", self.name
            );
        }
        state.problem = Some(problem.to_owned());
    }
}

/// What changes when the file does: it is replaced, rewritten, or touched by chmod or chown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What the thread remembers of the file.
struct Reader {
    path: PathBuf,
    max_bytes: u64,
    seen: Option<Seen>,
}

struct Seen {
    stamp: Result<Stamp, String>,
    /// A later change cannot have the same stamp.
    is_settled: bool,
    /// Of the text; none when it could not be read.
    text_hash: Option<u64>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file has been as it is long enough that a change from now on leaves another stamp.
    fn is_settled(&self) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.checked_sub(changed).is_some_and(|age| age > UNSETTLED)
    }
}

impl Reader {
    fn look<T>(&mut self, parse: impl Fn(&str) -> Result<T, String>) -> Look<T> {
        // Before the file is read: a change in between shows at the next look.
        let stamp = read::metadata(&self.path)
            .map(|metadata| Stamp::of(&metadata))
            .map_err(|problem| problem.of(&self.path).to_string());
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.is_settled && seen.stamp == stamp)
        {
            return Look::Unchanged;
        }
        let is_settled = stamp.as_ref().map_or(true, Stamp::is_settled);
        let text = match &stamp {
            Ok(_) => read::read(&self.path, self.max_bytes).map_err(|error| error.to_string()),
            Err(problem) => Err(problem.clone()),
        };
        let text_hash = text.as_ref().ok().map(|text| {
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            hasher.finish()
        });
        let is_known = text_hash.is_some() && self.seen.as_ref().is_some_and(|seen| seen.text_hash == text_hash);
        self.seen = Some(Seen {
            stamp,
            is_settled,
            text_hash,
        });
        match text {
            Ok(_) if is_known => Look::Unchanged,
            Ok(text) => match parse(&text) {
                Ok(value) => Look::Good(value),
                Err(problem) => Look::Bad(format!("{}: {problem}", self.path.display())),
            },
            Err(problem) => Look::Bad(problem),
        }
    }
}
