// The agent's list of what its containerizer waits for, behind GET /containerizer/debug.
#pragma once

namespace mesos {
namespace internal {

class PendingFutureTracker;

// A tracker whose process runs, for the life of the program.
//
// The library's own factory is inline in a header that only mesos-agent includes, so the class is put together here:
// a real agent wraps every isolator and the launcher with it, and that is part of what a module meets.
PendingFutureTracker* createPendingFutureTracker();

}  // namespace internal
}  // namespace mesos
