// What stands behind the module's descriptor: the release it names, and its factory.

#include <exception>

#include "cxx-bridge/src/lib.rs.h"
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
    logError(__FILE__, __LINE__, "Refused to load mesos_external_volumes: " + unknown(running));
  } catch (const std::exception& error) {
    logError(__FILE__, __LINE__, std::string("Cannot find out which Mesos runs: ") + error.what());
  }
  return NEWEST_TESTED;
}

// Null makes the agent exit; the line in its log says what is wrong. Nothing is made on a library that is laid out in another
// way than its release: it would corrupt the agent.
extern "C" void* external_volumes_create(const mesos::Parameters& parameters) {
  try {
    const std::string running = runningMesos();
    const Release* release = findRelease(running.c_str());
    std::optional<std::string> refusal;
    if (release == nullptr) {
      refusal = unknown(running);
    } else if (std::optional<std::string> problem = layoutProblem(*release)) {
      refusal = *problem + "; the agent's Mesos " + running + " is not built as the official one";
    }
    if (refusal) {
      logError(__FILE__, __LINE__, "Refused to start mesos_external_volumes: " + *refusal);
      return nullptr;
    }
    const std::string message = asMessage(parameters).SerializePartialAsString();
    const rust::Slice<const std::uint8_t> bytes{
        reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
    Calls calls(external_volumes::start(bytes, std::make_unique<AgentLog>()));
    return makeIsolator(release->shape, containerStateBytes(), std::move(calls));
  } catch (const std::exception& error) {
    logError(__FILE__, __LINE__, std::string("Cannot start mesos_external_volumes: ") + error.what());
    return nullptr;
  }
}
