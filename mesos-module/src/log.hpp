// Lines in the agent's log.
#pragma once

#include <string>

#include "cxx-bridge/include/host.hpp"

// Writes through glog, from any thread. What stands before the line's text tells the module's lines from Mesos' own:
// "external-volumes:ledger.rs:42]".
class AgentLog : public external_volumes::Log {
public:
  void write(std::int32_t severity, rust::Str file, std::uint32_t line, rust::Str text) const override;
};

void logError(const char* file, int line, const std::string& text);
