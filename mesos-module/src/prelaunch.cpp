#include "prelaunch.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

#include "measure.hpp"

namespace mesos {
namespace internal {
namespace slave {
class Gpu;
}
}  // namespace internal
}  // namespace mesos

namespace {

using interface::Prelaunch;
using Value = Option<mesos::DockerTaskExecutorPrepareInfo>;

// The library exports neither the constructor of a pending future of this type nor its `fail`. It
// exports the constructor of a completed one, which is made pending here, and the `fail` of another
// type whose value is as large.
using Other = process::Future<std::set<mesos::internal::slave::Gpu>>;

constexpr std::size_t MESSAGE_BYTES = 40;
static_assert(sizeof(std::set<int>) == MESSAGE_BYTES + 8, "as large as an optional message");

// The shared state: the beginning that all futures have, then the result.
struct State {
  process::Future<Nothing>::State head;
  // Of the result: whether it is one, or an error.
  alignas(8) std::int32_t result;
  // Whether it has a value. A pending future's has none.
  alignas(8) std::int32_t value;
  // The value: whether it has a message.
  alignas(8) std::int32_t message;
  alignas(8) unsigned char room[MESSAGE_BYTES];
  alignas(8) std::int32_t error;
};

static_assert(offsetof(State, result) == 16 && offsetof(State, value) == 24, "as seen in 1.4 to 1.11");
static_assert(offsetof(State, message) == 32 && offsetof(State, error) == 80, "as seen in 1.4 to 1.11");

constexpr std::int32_t SOME = 0;
constexpr std::int32_t NONE = 1;

State& stateOf(Prelaunch& future) { return reinterpret_cast<State&>(future.state()); }

// A future that was completed with the absence of a message.
bool isAsDeclared(const State& state) {
  return !state.head.lock && state.head.state == Prelaunch::State::READY && !state.head.discard &&
      !state.head.associated && state.result == SOME && state.value == SOME && state.message == NONE &&
      state.error == NONE;
}

}  // namespace

Prelaunch pendingPrelaunch() {
  Prelaunch future{None()};
  State& state = stateOf(future);
  state.head.state = Prelaunch::State::PENDING;
  state.value = NONE;
  return future;
}

void letLaunch(Prelaunch& future) { future._set(Value()); }

void refuseLaunch(Prelaunch& future, const std::string& reason) { reinterpret_cast<Other&>(future).fail(reason); }

std::optional<std::string> prelaunchProblem() {
  if (bytesOf<mesos::DockerTaskExecutorPrepareInfo>() != MESSAGE_BYTES) {
    return "a message of the hook interface has another size than expected";
  }
  Prelaunch made{None()};
  if (!isAsDeclared(stateOf(made))) {
    return "a future of the hook interface is not laid out as expected";
  }
  Prelaunch set = pendingPrelaunch();
  Prelaunch failed = pendingPrelaunch();
  letLaunch(set);
  refuseLaunch(failed, "checked");
  if (!isAsDeclared(stateOf(set)) || stateOf(failed).head.state != Prelaunch::State::FAILED ||
      reinterpret_cast<const std::string&>(failed.failure()) != "checked") {
    return "a future of the hook interface cannot be completed";
  }
  return std::nullopt;
}
