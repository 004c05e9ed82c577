#include "launch_info.hpp"

namespace {

// The position of the quote that closes the string opened at `quote`, or the text's end.
std::size_t endOfString(const std::string& json, std::size_t quote) {
  std::size_t i = quote + 1;
  while (i < json.size() && json[i] != '"') {
    i += json[i] == '\\' ? 2 : 1;
  }
  return i;
}

// The position behind the array or object that opens at `from`; the text's end when it is cut off.
std::size_t endOfValue(const std::string& json, std::size_t from) {
  std::size_t depth = 0;
  for (std::size_t i = from; i < json.size(); ++i) {
    if (json[i] == '"') {
      i = endOfString(json, i);
    } else if (json[i] == '[' || json[i] == '{') {
      ++depth;
    } else if ((json[i] == ']' || json[i] == '}') && --depth == 0) {
      return i + 1;
    }
  }
  return json.size();
}

// The position of the value of `key` in the object that opens at `object`, or npos.
std::size_t valueOf(const std::string& json, std::size_t object, const std::string& key) {
  const std::string quoted = '"' + key + '"';
  std::size_t depth = 0;
  for (std::size_t i = object; i < json.size(); ++i) {
    if (json[i] == '"') {
      const std::size_t end = endOfString(json, i);
      // A key, not a value: a colon follows.
      const std::size_t colon = json.find_first_not_of(" \t\r\n", end + 1);
      if (depth == 1 && colon != std::string::npos && json[colon] == ':' &&
          json.compare(i, quoted.size(), quoted) == 0) {
        return json.find_first_not_of(" \t\r\n", colon + 1);
      }
      i = end;
    } else if (json[i] == '{' || json[i] == '[') {
      ++depth;
    } else if ((json[i] == '}' || json[i] == ']') && --depth == 0) {
      return std::string::npos;
    }
  }
  return std::string::npos;
}

// The string at `quote`, with the one escape that a path from Mesos may have (`\/`) undone.
std::string pathAt(const std::string& json, std::size_t quote) {
  std::string path;
  const std::size_t end = endOfString(json, quote);
  for (std::size_t i = quote + 1; i < end; ++i) {
    if (!(json[i] == '\\' && i + 1 < end && json[i + 1] == '/')) {
      path += json[i];
    }
  }
  return path;
}

bool endsWith(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace

std::string withoutMountsAt(const std::string& json, const std::string& ending) {
  const std::size_t array = valueOf(json, 0, "mounts");
  if (array == std::string::npos || json[array] != '[') {
    return json;
  }
  const std::size_t arrayEnd = endOfValue(json, array);
  std::string kept;
  for (std::size_t at = json.find('{', array); at < arrayEnd; at = json.find('{', at)) {
    const std::size_t end = endOfValue(json, at);
    const std::size_t value = valueOf(json, at, "target");
    if (value == std::string::npos || json[value] != '"' || !endsWith(pathAt(json, value), ending)) {
      kept += (kept.empty() ? "" : ",") + json.substr(at, end - at);
    }
    at = end;
  }
  return json.substr(0, array) + '[' + kept + ']' + json.substr(arrayEnd);
}
