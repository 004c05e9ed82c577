//! Named places where a test ends the agent, as a power cut would.
//!
//! | point | where |
//! |---|---|
//! | `record-begin`, `record-end` | around a batch of records: of a lone container the first is the intent, the second the mountpoint, the third the release, the fourth the removal |
//! | `mount-begin`, `mount-end` | around the driver's Mount |
//! | `create-begin`, `create-end` | around the driver's Create of a volume that is made for a container |
//! | `remove-begin`, `remove-end` | around the driver's Remove |
//! | `unmount-begin`, `unmount-end` | around the driver's Unmount |
//! | `bind-begin`, `bind-end` | around the bind of a Docker container's volumes into its sandbox |

use crash_points::CrashPoints;

static POINTS: CrashPoints = CrashPoints::new("MESOS_EXTERNAL_VOLUMES_CRASH_AT");

/// In debug builds, ends the process with SIGKILL when `MESOS_EXTERNAL_VOLUMES_CRASH_AT` names this
/// point.
pub(crate) fn crash_point(name: &str) {
    POINTS.pass(name, |sentence| tracing::error!("{sentence}"));
}
