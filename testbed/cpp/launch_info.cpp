#include "launch_info.hpp"

#include <vector>

namespace {

// The position behind the JSON value that starts at `from`; the text's end when it is cut off.
std::size_t endOfValue(const std::string& json, std::size_t from) {
  std::size_t depth = 0;
  bool inString = false;
  for (std::size_t i = from; i < json.size(); ++i) {
    const char c = json[i];
    if (inString) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        inString = false;
      }
    } else if (c == '"') {
      inString = true;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (--depth == 0) {
        return i + 1;
      }
    }
  }
  return json.size();
}

// The position of the array that is the value of the outermost object's key `key`, or npos.
std::size_t arrayOf(const std::string& json, const std::string& key) {
  const std::string quoted = '"' + key + '"';
  std::size_t depth = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] == '"') {
      std::size_t end = i + 1;
      while (end < json.size() && json[end] != '"') {
        end += json[end] == '\\' ? 2 : 1;
      }
      if (depth == 1 && json.compare(i, quoted.size(), quoted) == 0) {
        std::size_t value = json.find_first_not_of(" \t\r\n:", end + 1);
        if (value != std::string::npos && json[value] == '[') {
          return value;
        }
      }
      i = end;
    } else if (json[i] == '{' || json[i] == '[') {
      ++depth;
    } else if (json[i] == '}' || json[i] == ']') {
      --depth;
    }
  }
  return std::string::npos;
}

}  // namespace

std::string withoutMountsOf(const std::string& json, const std::string& source) {
  const std::size_t array = arrayOf(json, "mounts");
  if (array == std::string::npos) {
    return json;
  }
  const std::size_t arrayEnd = endOfValue(json, array);

  // Slashes may or may not be escaped, as JSON allows.
  std::string escaped;
  for (char c : source) {
    escaped += c == '/' ? std::string("\\/") : std::string(1, c);
  }
  std::string kept;
  for (std::size_t at = json.find('{', array); at < arrayEnd; at = json.find('{', at)) {
    const std::size_t end = endOfValue(json, at);
    const std::string mount = json.substr(at, end - at);
    if (mount.find("\"source\":\"" + source + '"') == std::string::npos &&
        mount.find("\"source\":\"" + escaped + '"') == std::string::npos) {
      kept += (kept.empty() ? "" : ",") + mount;
    }
    at = end;
  }
  return json.substr(0, array) + '[' + kept + ']' + json.substr(arrayEnd);
}
