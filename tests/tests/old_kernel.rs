//! A kernel without `openat2`: everything here runs under a filter of system calls that answers for that one as an old kernel
//! does. The filter is the whole process', so this file has one test.

use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use testbed::{AgentSpec, Job};
use tests::{Site, Tasks, module};

/// The number of `openat2` on x86-64.
const OPENAT2: i64 = 437;

/// For all threads and all that they start from now on.
fn forget_openat2() {
    let no_such_call = SeccompAction::Errno(Errno::NOSYS.raw_os_error().unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with filters");
    let filter = SeccompFilter::new([(OPENAT2, vec![])].into(), SeccompAction::Allow, no_such_call, arch);
    let filter: BpfProgram = filter.and_then(TryInto::try_into).expect("a filter");
    apply_filter_all_threads(&filter).expect("root may filter its own calls");
}

#[test]
fn who_asks_for_a_volume_is_refused_with_the_reason_and_others_run() {
    forget_openat2();
    let host = tempfile::tempdir().unwrap();
    let host = host.path().canonicalize().unwrap().display().to_string();
    let spec = AgentSpec::default().module(module().parameter("allowed_host_paths", &host));
    let site = Site::with_agents(1, &spec);
    let volume = site.volume("v");
    let tasks = Tasks::connect(site.cluster());
    tasks.finish(site.agent(0), Job::shell("true"));
    for path in ["data", &host] {
        let job = Job::shell("true").label("volume.data", &volume);
        let message = tasks.fail(site.agent(0), job.label("volume.data.path", path));
        assert!(
            message.contains("'volume.data'") && message.contains("this kernel lacks openat2 (Linux 5.6)"),
            "{message}"
        );
    }
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&volume), [""; 0]);
}
