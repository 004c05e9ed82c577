// What stands behind the modules' descriptors: the release they name, and their factories.

#include <exception>

#include "bytes.hpp"
#include "cxx-bridge/src/lib.rs.h"
#include "hook.hpp"
#include "layout.hpp"
#include "log.hpp"
#include "messages.hpp"
#include "shape.hpp"

namespace {

std::string named(const std::string& running) { return running.empty() ? "of an unknown release" : running; }

std::string unknown(const std::string& running) {
  return std::string("this build knows Mesos ") + OLDEST_KNOWN + " to " + NEWEST_KNOWN + ", and the agent is Mesos " +
      named(running) + "; run an agent of those or a build of the module that knows this one";
}

}  // namespace

// The release that the module is for, as its descriptor names it. Called while the library is loaded, before Mesos reads the
// descriptor. Mesos loads an isolator that names the running release and refuses any other, so that is what a release
// gets that is known here; any other gets one that it does not accept.
extern "C" const char* external_volumes_mesos_version() noexcept {
  try {
    static const std::string running = runningMesos();
    if (findRelease(running.c_str()) != nullptr) {
      return running.c_str();
    }
    logError(__FILE__, __LINE__, "Refused to load the external volumes modules: " + unknown(running));
  } catch (const std::exception& error) {
    logError(__FILE__, __LINE__, std::string("Cannot find out which Mesos runs: ") + error.what());
  }
  return NEWEST_TESTED;
}

namespace {

// Null makes the agent exit; the line in its log says what is wrong. Nothing is made on a library
// that is laid out in another way than its release: it would corrupt the agent. `make` gets the
// release, its version and the parameters.
template <typename Problem, typename Make>
void* create(const char* name, const mesos::Parameters& parameters, Problem problemOf, Make make) {
  try {
    const std::string running = runningMesos();
    const Release* release = findRelease(running.c_str());
    std::optional<std::string> refusal;
    if (release == nullptr) {
      refusal = unknown(running);
    } else if (std::optional<std::string> problem = problemOf(*release)) {
      refusal = *problem + "; the agent's Mesos " + running + " is not built as the official one";
    }
    if (refusal) {
      logError(__FILE__, __LINE__, std::string("Refused to start ") + name + ": " + *refusal);
      return nullptr;
    }
    const std::string message = serialized(parameters);
    return make(*release, running, bytes(message));
  } catch (const std::exception& error) {
    logError(__FILE__, __LINE__, std::string("Cannot start ") + name + ": " + error.what());
    return nullptr;
  }
}

}  // namespace

extern "C" void* external_volumes_create(const mesos::Parameters& parameters) {
  return create(
      "mesos_external_volumes",
      parameters,
      layoutProblem,
      [](const Release& release, const std::string&, rust::Slice<const std::uint8_t> message) {
        Calls calls(external_volumes::start(message, std::make_unique<AgentLog>()));
        return makeIsolator(release.shape, containerStateBytes(), std::move(calls));
      });
}

extern "C" void* external_volumes_create_hook(const mesos::Parameters& parameters) {
  return create(
      "mesos_external_volumes_hook",
      parameters,
      hookProblem,
      [](const Release& release, const std::string& running, rust::Slice<const std::uint8_t> message) {
        HookCalls calls(external_volumes::start_hook(message, running, std::make_unique<AgentLog>()));
        return makeHook(release, std::move(calls));
      });
}
