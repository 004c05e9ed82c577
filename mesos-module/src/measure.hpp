// The size of a message in the library that runs.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "protobuf.hpp"

template <typename Message>
std::size_t bytesOf() {
  // A message is made here first, where it fits whatever its size.
  struct Storage {
    alignas(16) unsigned char bytes[65536];
  };
  auto storage = std::make_unique<Storage>();
  auto* message = new (storage->bytes) Message();
  const std::size_t bytes = reinterpret_cast<google::protobuf::Message*>(message)->SpaceUsedLong();
  message->~Message();
  return bytes;
}
