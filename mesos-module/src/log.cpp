#include "log.hpp"

#include "glog.hpp"

namespace {

// glog prints what follows the last slash.
std::string shownFile(const std::string& file) {
  std::size_t slash = file.rfind('/');
  return "external-volumes:" + (slash == std::string::npos ? file : file.substr(slash + 1));
}

}  // namespace

void AgentLog::write(std::int32_t severity, rust::Str file, std::uint32_t line, rust::Str text) const {
  const std::string shown = shownFile(std::string(file));
  google::LogMessage message(shown.c_str(), static_cast<int>(line), severity);
  message.stream().write(text.data(), static_cast<std::streamsize>(text.size()));
}

void logError(const char* file, int line, const std::string& text) {
  AgentLog().write(google::LOG_ERROR, file, static_cast<std::uint32_t>(line), text);
}
