// Of protobuf: messages as bytes and back, and the repeated field by its layout (protobuf 3.3 and 3.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>

namespace google {
namespace protobuf {

// The base of every message, at offset 0. Its virtual destructor comes first in the table.
class MessageLite {
public:
  virtual ~MessageLite();

  // Neither checks for required fields: what Mesos made is handed on as it is.
  std::string SerializePartialAsString() const;
  bool ParsePartialFromArray(const void* bytes, int size);
};

// The base of every message with reflection, which is every message of Mesos; at offset 0 again. Deriving from MessageLite
// would ask for its virtual functions, so it does not.
class Message {
public:
  // Of an empty message exactly its sizeof: reflection adds what the fields hold to what the class takes.
  std::size_t SpaceUsedLong() const;
};

// Owns its elements, also those beyond `size` that are kept for reuse.
template <typename T>
class RepeatedPtrField {
public:
  RepeatedPtrField(const RepeatedPtrField&) = delete;
  RepeatedPtrField& operator=(const RepeatedPtrField&) = delete;

  ~RepeatedPtrField() {
    if (elements != nullptr && arena == nullptr) {
      for (int i = 0; i < elements->allocated; ++i) {
        delete elements->at[i];
      }
      ::operator delete(elements);
    }
  }

  int size() const { return used; }
  const MessageLite& operator[](int i) const { return *elements->at[i]; }

private:
  struct Elements {
    std::int32_t allocated;
    MessageLite* at[1];
  };

  void* arena;
  std::int32_t used;
  std::int32_t capacity;
  Elements* elements;
};

template <typename Key, typename Value>
class Map;

}  // namespace protobuf
}  // namespace google
