// Messages and texts as what Rust takes.
#pragma once

#include <string>

#include "messages.hpp"
#include "rust/cxx.h"

// Incomplete on purpose: never looked into.
template <typename Message>
std::string serialized(const Message& message) {
  return asMessage(message).SerializePartialAsString();
}

inline rust::Slice<const std::uint8_t> bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
