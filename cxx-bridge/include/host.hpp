// What the Rust side asks of whoever hosts it: a place for one answer, and a log. The shim implements both.
#pragma once

#include <cstdint>

#include "rust/cxx.h"

namespace external_volumes {

// The answer to one call. `ready` and `fail` may be called from any thread; the first one counts, later ones do nothing.
// Destroyed without either, the implementation decides what its caller hears.
class Answer {
public:
  virtual ~Answer() = default;

  // The bytes of the answer's message; empty for an answer that has none.
  virtual void ready(rust::Slice<const std::uint8_t> message) const = 0;
  virtual void fail(rust::Str reason) const = 0;
};

// The log of the host process. `severity` is 0 for information, 1 for a warning, 2 for an error. Any thread.
class Log {
public:
  virtual ~Log() = default;
  virtual void write(std::int32_t severity, rust::Str file, std::uint32_t line, rust::Str text) const = 0;
};

}  // namespace external_volumes
