//! A site with a scheduler on it, and somebody who watches: shows what happens while it waits for what is to come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::follow::Follower;
use super::service::{JobReport, Service};
use super::site::{Left, Site};
use super::{DemoError, say};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(50);

/// The site, its scheduler, and what its tasks say.
#[derive(Debug)]
pub struct Stage<'a> {
    // Dropped in this order: the scheduler before what it schedules on.
    service: Service,
    site: Site,
    follower: Follower,
    began: Instant,
    stop: &'a AtomicBool,
}

impl<'a> Stage<'a> {
    /// Starts a scheduler on the site. `crash_at` is as in [`Service::start`].
    ///
    /// # Errors
    /// [`DemoError`]; then nothing is left running.
    pub fn open(
        site: Site,
        began: Instant,
        stop: &'a AtomicBool,
        crash_at: Option<&str>,
    ) -> Result<Stage<'a>, DemoError> {
        let service = match Service::start(&site, crash_at) {
            Ok(service) => service,
            Err(error) => {
                site.tear_down()?;
                return Err(error);
            }
        };
        Ok(Stage {
            service,
            site,
            follower: Follower::new(began),
            began,
            stop,
        })
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The scheduler.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What the tasks say.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// A line of progress.
    pub fn say(&self, text: impl std::fmt::Display) {
        say(self.began, text);
    }

    /// Shows what is new.
    ///
    /// # Errors
    /// [`DemoError::Interrupted`]; [`DemoError::Unreadable`].
    pub fn look(&mut self) -> Result<(), DemoError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DemoError::Interrupted);
        }
        self.follower.show();
        while let Some(event) = self.service.event()? {
            self.follower.show();
            self.follower.heed(&self.site, &event);
            if let Some(line) = event.human() {
                say(self.began, line);
            }
        }
        Ok(())
    }

    /// Shows what happens until `found` finds something.
    ///
    /// # Errors
    /// [`DemoError::InVain`] when it does not within `limit`; what `found` fails of.
    pub fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut found: impl FnMut(&mut Stage<'a>) -> Result<Option<T>, DemoError>,
    ) -> Result<T, DemoError> {
        let deadline = Instant::now() + limit;
        loop {
            self.look()?;
            if let Some(found) = found(self)? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(DemoError::InVain {
                    what: what.to_owned(),
                    limit,
                });
            }
            thread::sleep(LOOK);
        }
    }

    /// Shows what happens for so long.
    ///
    /// # Errors
    /// As [`Stage::look`].
    pub fn watch(&mut self, length: Duration) -> Result<(), DemoError> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.look()?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Shows what happens until a run is over, and returns how it ended.
    ///
    /// # Errors
    /// As [`Stage::until`].
    pub fn until_over(&mut self, run: &str, limit: Duration) -> Result<JobReport, DemoError> {
        let report = self.until(&format!("{run} is over"), limit, |stage| {
            let report = stage.service.run(run)?;
            Ok(Some(report).filter(|report| report.status != "running"))
        })?;
        self.look()?;
        Ok(report)
    }

    /// Waits until the scheduler has ended by itself, and starts another one on its folder.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn restart_service(&mut self, limit: Duration) -> Result<(), DemoError> {
        self.until("the scheduler has ended", limit, |stage| stage.service.status())?;
        self.look()?;
        self.service = Service::start(&self.site, None)?;
        Ok(())
    }

    /// Waits until no volume is mounted or attached, and returns what still is.
    ///
    /// # Errors
    /// [`DemoError`] when the storage or the mount table cannot be asked.
    pub fn wait_until_nothing_is_left(&self) -> Result<Left, DemoError> {
        self.site.wait_until_nothing_is_left()
    }

    /// Ends and removes everything.
    ///
    /// # Errors
    /// [`DemoError::Cluster`] with what could not be removed.
    pub fn tear_down(self) -> Result<(), DemoError> {
        let Stage { service, site, .. } = self;
        drop(service);
        site.tear_down()
    }
}
