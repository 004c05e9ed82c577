// What recover() is handed: containers of messages by their layout in libstdc++, walked without knowing what a message is.
#pragma once

#include <cstddef>
#include <vector>

#include "protobuf.hpp"

using MessagePointers = std::vector<const google::protobuf::MessageLite*>;

inline const google::protobuf::MessageLite* messageAt(const char* place) {
  return reinterpret_cast<const google::protobuf::MessageLite*>(place);
}

// A std::vector of messages, `stride` bytes each.
class MessageVector {
public:
  // What lies behind the last whole message.
  std::size_t rest(std::size_t stride) const { return static_cast<std::size_t>(last - first) % stride; }

  MessagePointers messages(std::size_t stride) const {
    MessagePointers all;
    for (const char* place = first; last - place >= static_cast<std::ptrdiff_t>(stride); place += stride) {
      all.push_back(messageAt(place));
    }
    return all;
  }

private:
  const char* first;
  const char* last;
  const char* limit;
};

// A std::list of messages: a ring of nodes, and this is one of them.
class MessageList {
public:
  MessagePointers messages() const {
    MessagePointers all;
    for (const Node* node = ring.next; node != &ring; node = node->next) {
      all.push_back(messageAt(reinterpret_cast<const char*>(node + 1)));
    }
    return all;
  }

private:
  struct Node {
    const Node* next;
    const Node* previous;
  };

  Node ring;
  std::size_t size;
};

// A std::unordered_set of messages: a chain of nodes, each with its value behind the link. What lies behind the value (the
// hash code, since the library's hash may throw) is of no interest here.
class MessageSet {
public:
  MessagePointers messages() const {
    MessagePointers all;
    for (const Node* node = chain; node != nullptr; node = node->next) {
      all.push_back(messageAt(reinterpret_cast<const char*>(node + 1)));
    }
    return all;
  }

private:
  struct Node {
    const Node* next;
  };

  const void* buckets;
  std::size_t bucketCount;
  const Node* chain;
  std::size_t size;
};
