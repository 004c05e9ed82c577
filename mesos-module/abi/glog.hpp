// One line in the log of the agent: the stream of a message that is written when it is destroyed.
#pragma once

#include <ostream>

namespace google {

constexpr int LOG_INFO = 0;
constexpr int LOG_WARNING = 1;
constexpr int LOG_ERROR = 2;

class LogMessage {
public:
  LogMessage(const char* file, int line, int severity);
  ~LogMessage();

  std::ostream& stream();

private:
  // Two or three pointers in glog 0.3.3 and 0.4.0.
  alignas(8) unsigned char room[256];
};

}  // namespace google
