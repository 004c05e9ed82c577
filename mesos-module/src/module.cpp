// The factory behind the module's descriptor.

#include <exception>

#include "cxx-bridge/src/lib.rs.h"
#include "layout.hpp"
#include "log.hpp"
#include "messages.hpp"
#include "shape.hpp"

namespace {

// Nothing is made on a library that is not the one this module was written for: it would corrupt the agent.
std::optional<std::string> refusal() {
  const std::string running = runningMesos();
  if (running != MESOS_VERSION) {
    return "this build is for Mesos " MESOS_VERSION ", and the agent is Mesos " +
        (running.empty() ? "of an unknown release" : running);
  }
  if (std::optional<std::string> problem = layoutProblem()) {
    return *problem + "; the agent is not an official build of that release";
  }
  return std::nullopt;
}

}  // namespace

// Null makes the agent exit; the line in its log says what is wrong.
extern "C" void* external_volumes_create(const mesos::Parameters& parameters) {
  try {
    if (std::optional<std::string> reason = refusal()) {
      logError(__FILE__, __LINE__, "Refused to start mesos_external_volumes: " + *reason);
      return nullptr;
    }
    const std::string message = asMessage(parameters).SerializePartialAsString();
    const rust::Slice<const std::uint8_t> bytes{
        reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
    return makeIsolator_1_10(Calls(external_volumes::start(bytes, std::make_unique<AgentLog>())));
  } catch (const std::exception& error) {
    logError(__FILE__, __LINE__, std::string("Cannot start mesos_external_volumes: ") + error.what());
    return nullptr;
  }
}
